/*
 * Under UEFI: the two ways in, the landing once firmware is gone, and the way back to the kernel that the kernel's own
 * EFI stub was about to start. efi.c tells the story.
 */
#include "modes.h"

	.text
	.code64
/*
 * EFI handover (boot.rst, "EFI Handover Protocol"). In: RDI = image handle, RSI = system table, RDX = boot_params, System V
 * calling convention, in the image as the loader has put it: nothing there is written.
 */
	.globl efi_handover64
efi_handover64:
	leaq	entry32(%rip), %rcx
	xorl	%r8d, %r8d
	jmp	efi_move

/* PE entry (UEFI 2.10, 4.1). In: RCX = image handle, RDX = system table, Microsoft's calling convention. The same holds. */
	.globl efi_pe64
efi_pe64:
	pushq	%rdi
	pushq	%rsi
	subq	$8, %rsp
	movq	%rcx, %rdi
	movq	%rdx, %rsi
	xorl	%edx, %edx
	leaq	entry32(%rip), %rcx
	movl	$1, %r8d
	call	efi_move
	addq	$8, %rsp
	popq	%rsi
	popq	%rdi
	ret

/*
 * From the first instruction of the kernel that the stub has started. In: RSI = boot_params, the return address behind the
 * patch on the stack; the stub's page tables, which map memory one to one, with four or five levels.
 */
	.globl efi_landing
efi_landing:
	cli
	cld
	popq	%rax
	subq	$12, %rax	/* PATCH_SIZE */
	movq	%rax, efi_came_from(%rip)
	movq	%rsi, efi_stub_boot_params(%rip)
	movq	%rsp, stub_rsp(%rip)
	movq	%cr0, %rax
	movq	%rax, stub_cr0(%rip)
	movq	%cr3, %rax
	movq	%rax, stub_cr3(%rip)
	movq	%cr4, %rax
	movq	%rax, stub_cr4(%rip)
	sgdt	stub_gdt(%rip)
	/* Where the top-level table is above 4 GiB, 32-bit code can only load a copy of it. */
	movq	stub_cr3(%rip), %rsi
	andq	$~0xfff, %rsi
	leaq	stub_top_table(%rip), %rdi
	movl	$512, %ecx
	rep movsq
	leaq	boot_stack_top(%rip), %rsp
	call	landed
	movl	%eax, %esi
	leaq	gdt(%rip), %rcx
	movq	%rcx, gdt_pointer + 2(%rip)
	lgdt	gdt_pointer(%rip)
	leaq	entry32(%rip), %rax
	jmp	to_32

/*
 * way_back: not armed. Jumped to in 64-bit mode on the stub's GDT, in the image's own entry stub: the copy in the crash
 * region need not be executable under the page tables that come back here. Their number of levels can be changed only with
 * paging off (Intel SDM vol. 3, 4.1.2).
 */
	.globl way_back
way_back:
	leaq	boot_stack_top(%rip), %rsp
	leaq	gdt(%rip), %rcx
	movq	%rcx, gdt_pointer + 2(%rip)
	lgdt	gdt_pointer(%rip)
	leaq	1f(%rip), %rbp
	leaq	stub_top_table(%rip), %rdi
	movl	stub_cr4(%rip), %esi
	flat_32_bit_code
	paging_off
	movl	%esi, %cr4
	movl	%edi, %cr3
	pushl	$0x08
	pushl	%ebp
	movl	%cr0, %eax
	orl	$0x80000000, %eax
	movl	%eax, %cr0
	lret
	.code64
1:	movq	stub_cr3(%rip), %rax
	movq	%rax, %cr3
	movq	stub_cr4(%rip), %rax
	movq	%rax, %cr4
	movq	stub_cr0(%rip), %rax
	movq	%rax, %cr0
	leaq	boot_stack_top(%rip), %rsp
	call	give_kernel_back
	/*
	 * Flat segments stay loaded as they are: the kernel loads its own, and a stub that has switched to 5 levels has a GDT
	 * without those that firmware's selectors name.
	 */
	lgdt	stub_gdt(%rip)
	movq	stub_rsp(%rip), %rsp
	movq	efi_stub_boot_params(%rip), %rsi
	movq	efi_came_from(%rip), %rax
	jmp	*%rax

	.data
	.balign 8
	.globl efi_came_from, efi_stub_boot_params
efi_came_from:
	.quad	0
efi_stub_boot_params:
	.quad	0
stub_rsp:
	.quad	0
stub_cr0:
	.quad	0
stub_cr3:
	.quad	0
stub_cr4:
	.quad	0
stub_gdt:
	.skip	10

	.bss
	.balign 4096
stub_top_table:
	.skip	4096
