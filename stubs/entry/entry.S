/*
 * Entry stub, assembly part: the way in (32-bit boot protocol), the way on (startup_64 of the armed kernel) and the
 * way back (startup_32 of the untouched bzImage that leads the image).
 *
 * In, at entry32 (Documentation/arch/x86/boot.rst, "32-bit Boot Protocol"): paging off, flat CS/DS/ES/SS, interrupts
 * off, ESI = boot_params. The image may lie anywhere page-aligned below 4 GiB; the code is position-independent.
 * Nothing outside the stub itself, its stack included, is written before entry_main() has decided.
 */
#include "extra-gibs.h"
#include "modes.h"
#include "plan.h"

	.section .head, "ax"
	.code32
	.globl entry32
entry32:
	cli
	cld
	/* boot_params.scratch serves as stack until the stub knows where it is. */
	leal	(0x1e4 + 4)(%esi), %esp
	call	1f
1:	popl	%ebp
	subl	$(1b - entry32), %ebp
	leal	(boot_stack_top - entry32)(%ebp), %esp
	movl	%esi, (saved_boot_params - entry32)(%ebp)

	/* Long mode? (CPUID is there on everything that boots a 64-bit kernel; others fail in their own code.) */
	movl	$0x80000000, %eax
	cpuid
	cmpl	$0x80000001, %eax
	jb	no_long_mode
	movl	$0x80000001, %eax
	cpuid
	btl	$29, %edx
	jnc	no_long_mode

	/* Identity map of the first 4 GiB with 2 MiB pages: enough to decide, entry_main() extends it. */
	leal	(boot_pml4 - entry32)(%ebp), %edi
	leal	0x1003(%edi), %eax
	movl	%eax, (%edi)
	leal	0x1000(%edi), %ebx
	leal	0x2003(%edi), %eax
	movl	$4, %ecx
1:	movl	%eax, (%ebx)
	addl	$0x1000, %eax
	addl	$8, %ebx
	loop	1b
	leal	0x2000(%edi), %ebx
	movl	$0x83, %eax
	movl	$2048, %ecx
1:	movl	%eax, (%ebx)
	addl	$0x200000, %eax
	addl	$8, %ebx
	loop	1b

	leal	(gdt - entry32)(%ebp), %eax
	movl	%eax, (gdt_pointer + 2 - entry32)(%ebp)
	lgdt	(gdt_pointer - entry32)(%ebp)
	movl	%cr4, %eax
	orl	$0x20, %eax		/* CR4.PAE */
	movl	%eax, %cr4
	enter_long_mode in_long_mode, entry32

no_long_mode:
	movl	(saved_boot_params - entry32)(%ebp), %esi
	movl	%ebp, %eax
	subl	(stub_offset - entry32)(%ebp), %eax
	jmp	*%eax

	.code64
in_long_mode:
	flat_data
	xorl	%eax, %eax
	movl	%eax, %fs
	movl	%eax, %gs
	movl	%ebp, %ebp
	movl	%esp, %esp
	movl	saved_boot_params(%rip), %edi
	movl	%ebp, %esi
	call	entry_main
	jmp	unarmed

/* Not armed: on to the untouched kernel, whose start is image_base, or back to the one that UEFI was to start. */
unarmed:
	movl	image_base(%rip), %eax
	cmpq	$0, efi_came_from(%rip)
	jne	1f
	movl	saved_boot_params(%rip), %esi
	jmp	to_32
1:	addl	stub_offset(%rip), %eax
	leaq	entry32(%rip), %rcx
	leaq	way_back(%rip), %rdx
	subq	%rcx, %rdx
	addq	%rdx, %rax
	jmp	*%rax

/*
 * leave_image(copy): go on in the copy of this stub at physical address copy, in relocated_main().
 * In: RDI = copy. The debugger's first stop: RAX = copy.
 */
	.globl leave_image, leave_image_jump
leave_image:
	leaq	entry32(%rip), %rcx
	leaq	1f(%rip), %rax
	subq	%rcx, %rax
	leaq	(%rdi, %rax), %rcx
	movq	%rdi, %rax
leave_image_jump:
	jmp	*%rcx
1:	leaq	gdt(%rip), %rcx
	movq	%rcx, gdt_pointer + 2(%rip)
	lgdt	gdt_pointer(%rip)
	leaq	boot_stack_top(%rip), %rsp
	movq	%rax, %rdi
	call	relocated_main
	jmp	unarmed

/*
 * to_32: leaves long mode and jumps to 32-bit code as the 32-bit boot protocol wants it.
 * In: EAX = entry, ESI = boot_params. Flat CS 0x10, DS/ES/SS 0x18, paging and EFER.LME off, CR4 = 0,
 * EBX = EBP = EDI = 0, interrupts off.
 */
	.globl to_32
to_32:
	flat_32_bit_code
	movl	%edx, %fs
	movl	%edx, %gs
	movl	%eax, %edi
	paging_off
	movl	$0xc0000080, %ecx
	rdmsr
	btrl	$8, %eax
	wrmsr
	xorl	%edx, %edx
	movl	%edx, %cr4
	movl	%edi, %eax
	xorl	%ebx, %ebx
	xorl	%ebp, %ebp
	xorl	%edi, %edi
	jmp	*%eax
	.code64

/*
 * enter_kernel(entry, delta, boot_params, pml5): the last jump.
 * In: RDI = physical address of startup_64, RSI = KASLR offset, RDX = boot_params, ECX = top-level table for
 * 5-level paging or 0. Turning CR4.LA57 on needs paging off (Intel SDM vol. 3, 4.1.2), so that way leads through
 * 32-bit code. The debugger's second stop: RAX = entry, RCX = KASLR offset, RSI = boot_params.
 */
	.globl enter_kernel, enter_kernel_jump
enter_kernel:
	movq	%rdi, enter_at(%rip)
	movq	%rsi, enter_delta(%rip)
	movl	%edx, enter_boot_params(%rip)
	testl	%ecx, %ecx
	jz	2f
	movl	%ecx, %edi
	leaq	entry32(%rip), %rbp
	flat_32_bit_code
	paging_off
	movl	%cr4, %edx
	btsl	$12, %edx		/* LA57 */
	movl	%edx, %cr4
	movl	%edi, %cr3
	pushl	$0x08
	leal	(2f - entry32)(%ebp), %eax
	pushl	%eax
	movl	%cr0, %eax
	orl	$0x80000000, %eax
	movl	%eax, %cr0
	lret
	.code64
2:	movl	$0x18, %eax
	movl	%eax, %ds
	movl	%eax, %es
	movl	%eax, %ss
	movq	enter_at(%rip), %rax
	movq	enter_delta(%rip), %rcx
	movl	enter_boot_params(%rip), %esi
enter_kernel_jump:
	jmp	*%rax

	.section .data, "aw"
	.balign 8
enter_at:
	.quad	0
enter_delta:
	.quad	0
enter_boot_params:
	.long	0
	.globl saved_boot_params, image_base, image_checked
saved_boot_params:
	.long	0
image_checked:			/* the COM32 module writes 1 here once it has found the image to be whole */
	.long	0
image_base:
	.long	0
	.balign 16
	.globl gdt, gdt_pointer
gdt:	flat_segments
gdt_pointer:
	.word	gdt_pointer - gdt - 1
	.quad	0

	/* stub_offset and the rest of struct plan: filled in by the build. */
	.balign 4096
	.globl plan
plan:
	.long	0, SHARED_VERSION, 0
stub_offset:
	.long	0
	.fill	4096 - 16, 1, 0

	.section .bss, "aw", @nobits
	.balign 4096
	.globl boot_pml4, boot_pml5, boot_pdpt, boot_pd, extra_tables
boot_pml4:
	.skip	4096
boot_pdpt:
	.skip	4096
boot_pd:
	.skip	4 * 4096
extra_tables:
	.skip	EXTRA_TABLES * 4096
boot_pml5:
	.skip	4096
boot_stack:
	.skip	16384
	.globl boot_stack_top
boot_stack_top:
