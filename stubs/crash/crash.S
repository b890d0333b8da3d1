/*
 * Crash stub, assembly part. Lies at the start of the crash region; the hook has checked every byte of it.
 * On entry: see stubs/hook/hook.S. It runs on its own stack, under tables that map its region one to one and the dead
 * kernel where it was.
 */
#include "crash.h"
#include "modes.h"
#include "plan.h"

	.section .head, "ax"
	.code64
	.globl crash_entry
crash_entry:
	leaq	PLACE_STATE(%rdx), %rcx
	movabsq	$ENTERED, %rax
	cmpq	%rax, STATE_ENTERED(%rcx)
	je	1f			/* once only: a panic inside the stub must not come here again */
	movq	%rax, STATE_ENTERED(%rcx)
	movq	%r8, STATE_CR3(%rcx)
	movq	%r9, STATE_CR4(%rcx)
	movq	%r10, STATE_RSP(%rcx)
	movq	%r11, STATE_BACK(%rcx)
	movq	%rbx, STATE_RBX(%rcx)
	movq	%rbp, STATE_RBP(%rcx)
	movq	%r12, STATE_R12(%rcx)
	movq	%r13, STATE_R13(%rcx)
	movq	%r14, STATE_R14(%rcx)
	movq	%r15, STATE_R15(%rcx)
	movq	%rdi, STATE_RDI(%rcx)
	leaq	PLACE_STACK_TOP(%rdx), %rsp
	movq	%rdx, %rdi
	movq	%rcx, %rbx
	call	crash_main
	/* Refused before the point of no return: back to panic(). */
	movq	%rbx, %rcx
	movq	STATE_CR3(%rcx), %r8
	movq	STATE_CR4(%rcx), %r9
	movq	STATE_RSP(%rcx), %r10
	movq	STATE_BACK(%rcx), %r11
	movq	STATE_RBP(%rcx), %rbp
	movq	STATE_R12(%rcx), %r12
	movq	STATE_R13(%rcx), %r13
	movq	STATE_R14(%rcx), %r14
	movq	STATE_R15(%rcx), %r15
	movq	STATE_RDI(%rcx), %rdi
	movq	STATE_RBX(%rcx), %rbx
1:	jmp	*%r11

/*
 * call_kernel(stack, function, argument): calls a function of the dead kernel on its own stack.
 * In: RDI = stack pointer, RSI = virtual address, RDX = the function's only argument.
 */
	.globl call_kernel
call_kernel:
	pushq	%rbx
	pushq	%rbp
	pushq	%r12
	pushq	%r13
	pushq	%r14
	pushq	%r15
	movq	%rsp, %rbx
	leaq	-256(%rdi), %rsp
	andq	$-16, %rsp
	movq	%rdx, %rdi
	xorl	%ebp, %ebp
	movq	%cr4, %rax
	btrq	$23, %rax		/* CET: the kernel seals what it calls directly, no ENDBR64 is left there */
	movq	%rax, %cr4
	cld
	call	*%rsi
	cli
	movq	%cr4, %rax
	btrq	$23, %rax		/* what writes CR4 does so from the kernel's own copy of it */
	movq	%rax, %cr4
	movq	%rbx, %rsp
	popq	%r15
	popq	%r14
	popq	%r13
	popq	%r12
	popq	%rbp
	popq	%rbx
	ret

/*
 * leave_vmx(stack, clear): VMXOFF, which the kernel's crash path would do as one of its last steps (KVM). It writes CR4
 * after that, with its own LASS bit, and could then not return to the low half. The loaded VMCSs are cleared before
 * (Intel SDM vol. 3, 25.11.1): by clear(), of the kernel, or 0. It may have left VMX operation itself.
 */
	.globl leave_vmx
leave_vmx:
	leaq	nothing(%rip), %rax
	testq	%rsi, %rsi
	cmovzq	%rax, %rsi
	xorl	%edx, %edx
	call	call_kernel
	movq	%cr4, %rax
	btrq	$13, %rax		/* VMXE */
	jnc	nothing
	vmxoff
	movq	%rax, %cr4
nothing:
	ret

/*
 * use_own_tables(idt): own GDT and IDT, so that nothing of the dead kernel is needed any more. RDI = 4 KiB IDT.
 * Its breakpoints go first: they would hit here, or in the crash kernel's code before it has handlers.
 */
	.globl use_own_tables
use_own_tables:
	xorl	%eax, %eax
	movq	%rax, %dr7
	leaq	gdt(%rip), %rax
	subq	$16, %rsp
	movw	$31, (%rsp)
	movq	%rax, 2(%rsp)
	lgdt	(%rsp)
	movw	$4095, (%rsp)
	movq	%rdi, 2(%rsp)
	lidt	(%rsp)
	addq	$16, %rsp
	movl	$0x18, %eax
	movl	%eax, %ss
	popq	%rax
	pushq	$0x08
	pushq	%rax
	lretq

/* An NMI after use_own_tables() is nobody's. */
	.globl on_nmi
on_nmi:
	iretq

/* triple_fault(): the last of all ways to reset a machine, an exception without handlers. */
	.globl triple_fault
triple_fault:
	subq	$16, %rsp
	movq	$0, (%rsp)
	movq	$0, 8(%rsp)
	lidt	(%rsp)
	int3

/* Every other exception after use_own_tables() ends here. */
	.globl on_exception
on_exception:
	cld
	andq	$-16, %rsp
	call	exception
1:	hlt
	jmp	1b

/*
 * enter_crash_kernel(entry, boot_params): the 32-bit boot protocol (Documentation/arch/x86/boot.rst).
 * CR4 loses CET, PCIDE and FRED first, in 64-bit mode: clearing CR0.PG with PCIDE set faults (Intel SDM vol. 3,
 * 4.10.1), and CR0.WP cannot go while CET is on. Then paging, EFER.LME with NXE, CR4.
 */
	.globl enter_crash_kernel, enter_crash_kernel_jump
enter_crash_kernel:
	movl	%edi, %eax
	movq	%cr4, %rcx
	btrq	$23, %rcx
	btrq	$17, %rcx
	btrq	$32, %rcx
	movq	%rcx, %cr4
	flat_32_bit_code
	movl	%edx, %fs
	movl	%edx, %gs
	movl	%eax, %edi
	paging_off
	movl	$0xc0000080, %ecx	/* EFER */
	xorl	%eax, %eax
	xorl	%edx, %edx
	wrmsr
	movl	%edx, %cr4
	movl	%edx, %cr3
	movl	$0x11, %edx		/* CR0: PE, ET */
	movl	%edx, %cr0
	movl	%edi, %eax
	xorl	%ebx, %ebx
	xorl	%ecx, %ecx
	xorl	%edx, %edx
	xorl	%ebp, %ebp
	xorl	%edi, %edi
enter_crash_kernel_jump:
	jmp	*%eax
	.code64

/*
 * reset_entry: from the COM32 module, after a reset. 32-bit code, flat segments, paging and interrupts off. EBX = crash region,
 * physical; ESI = below it firmware and boot loader have used memory, bytes. Goes on in reset_main(region, lost) in long
 * mode, under the region's own tables and nothing else. A section of its own, as everything else here is 64-bit code.
 */
	.section .reset, "ax"
	.code32
	.globl reset_entry
reset_entry:
	cli
	cld
	leal	PLACE_STACK_TOP(%ebx), %esp
	call	1f
1:	popl	%ebp
	leal	PLACE_SCRATCH_TABLES(%ebx), %edi
	movl	$1024, %ecx
	xorl	%eax, %eax
	rep stosl
	leal	PLACE_SCRATCH_TABLES(%ebx), %edi
	leal	PLACE_PAGE_TABLES + 0x1063(%ebx), %eax	/* write_stub_tables(): the page behind the fifth level's */
	movl	%eax, (%edi)
	subl	$8, %esp
	leal	(gdt - 1b)(%ebp), %eax
	movw	$31, (%esp)
	movl	%eax, 2(%esp)
	lgdt	(%esp)
	movl	$0x20, %eax		/* CR4.PAE */
	movl	%eax, %cr4
	enter_long_mode in_long_mode, 1b

	.text
	.code64
in_long_mode:
	flat_data
	movl	%ebx, %edi
	leaq	PLACE_STACK_TOP(%rdi), %rsp
	movl	%esi, %esi
	call	reset_main

	.section .rodata, "a"
	.balign 16
gdt:	flat_segments
