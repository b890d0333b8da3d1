/*
 * The hook: linked by the build into a gap of the primary kernel's .text, reached through smp_ops.
 *
 * panic() calls smp_ops.stop_other_cpus (by smp_send_stop()) or, with crash_kexec_post_notifiers,
 * smp_ops.crash_stop_other_cpus, once it has printed its message. hook_halt is reached through pv_ops. Everything here
 * but a panic goes straight on to the native function, and so does a panic that Saveoops has no part in: a kexec crash
 * kernel is loaded (kexec_crash_image), nothing is armed (slots zero), or the check below fails. In that case all
 * registers, CR3 and CR4 are as they were, and panic() goes on as if the hook were not there.
 *
 * A failed check is said by _printk(), with the message of panic() and on the same consoles.
 *
 * A machine that came back from hibernation runs the image's kernel, with the slots of an earlier boot, beside the
 * region of the boot that read the image: its page tables are for another place of the kernel. The word before
 * __nosave_end is in no image, so it tells (src/arm/nosave-word.ts).
 *
 * hook_crash_shutdown is reached only when the crash stub has put it into machine_ops, because panic() is to run its
 * notifiers first.
 *
 * In: RDI = the native function's argument; a kernel stack; any CR3 with the kernel image mapped.
 * To the crash stub: RDX = its physical address, R8 = CR3, R9 = CR4, R10 = RSP, R11 = where to come back,
 * RBX RBP R12-R15 RDI as the kernel left them, interrupts off, supervisor CET and LASS off, CR3 = the prepared tables. On the
 * stack: RFLAGS, HOOK_* (hook-slots.h), return address in the hook, return address in the kernel.
 * Position-independent: the references to kernel symbols are PC-relative, linked by src/arm/link-hook.ts.
 */
#include "../include/hook-slots.h"
#include "../include/plan.h"

/* HOOK_WINDOW_PMD's 2 MiB: level2_fixmap_pgt maps the last GiB. Present, a large page, not writable. */
#define WINDOW ((HOOK_WINDOW_PMD << 21) - (1 << 30))
#define WINDOW_FLAGS 0x81

	.text
	.globl hook_stop, hook_crash_stop, hook_crash_shutdown, hook_halt, hook_slots
hook_stop:
	endbr64
	cmpl	$-1, panic_cpu(%rip)
	je	1f
	movl	$HOOK_STOP, %esi
	call	take_over
1:	jmp	native_stop_other_cpus

hook_crash_stop:
	endbr64
	cmpl	$-1, panic_cpu(%rip)
	je	1f
	movl	$HOOK_CRASH_STOP, %esi
	call	take_over
1:	jmp	kdump_nmi_shootdown_cpus

/*
 * In machine_ops.crash_shutdown, called by __crash_kexec() after the notifiers: RDI = pt_regs. The kexec image that
 * led here does not exist, so there is no way back into __crash_kexec(): what panic() would have done comes here.
 */
hook_crash_shutdown:
	endbr64
	movl	$HOOK_CRASH_SHUTDOWN, %esi
	call	take_over_now
	cmpl	$0, panic_timeout(%rip)
	je	1f
	call	emergency_restart
1:	hlt
	jmp	1b

/*
 * In pv_ops.irq.halt: an exception before the kernel has its own handlers ends in early_fixup_exception(), which
 * prints it and halts for ever, without panic(). Every other caller gets the native function.
 */
hook_halt:
	endbr64
	leaq	early_fixup_exception(%rip), %rax
	cmpq	%rax, (%rsp)
	jb	1f
	leaq	early_fixup_exception_end(%rip), %rax
	cmpq	%rax, (%rsp)
	jae	1f
	movl	$HOOK_STOP, %esi
	call	take_over
1:	jmp	native_halt

take_over:
	cmpq	$0, kexec_crash_image(%rip)
	jne	9f
take_over_now:
	movq	hook_slots + SLOT_REGION(%rip), %rdx
	testq	%rdx, %rdx
	jz	9f
	movq	hook_sum(%rip), %rax
	leaq	resumed(%rip), %rcx
	cmpq	%rax, __nosave_end - 8(%rip)
	jne	say
	movq	%cr3, %r8
	movq	%r8, %rax
	shlq	$12, %rax
	shrq	$51, %rax		/* CR3 bits 51:39: the C-bit of an encrypted kernel; RAM ends below 512 GiB */
	jnz	9f
	pushq	%rsi
	pushfq
	cli
	/*
	 * The sum comes before anything of the region is used, the prepared tables included: read through the
	 * kernel's own, of which one entry that is always empty leads to the region's first 2 MiB for so long.
	 */
	leaq	level2_fixmap_pgt + 8 * HOOK_WINDOW_PMD(%rip), %r9
	movq	(%r9), %r10
	leaq	WINDOW_FLAGS(%rdx), %rax
	movq	%rax, (%r9)
	movabsq	$SUM_FACTOR, %rax
	movq	hook_slots + SLOT_WORDS(%rip), %rcx
	movq	$WINDOW, %rsi
	xorl	%r11d, %r11d
2:	xorq	(%rsi), %r11
	imulq	%rax, %r11
	addq	$8, %rsi
	decq	%rcx
	jnz	2b
	movq	%r10, (%r9)
	invlpg	-8(%rsi)
	leaq	damaged(%rip), %rcx
	cmpq	hook_sum(%rip), %r11
	jne	refuse
	/*
	 * CR4.CET: the stub's own branches and its kernel calls are plain indirect ones. CR4.LASS: the supervisor may
	 * not touch the low half, where the stub lies.
	 */
	movq	%cr4, %r9
	movq	%r9, %rax
	andq	$~(1 << 23 | 1 << 27), %rax
	movq	%rax, %cr4
	movq	%rsp, %r10
	leaq	come_back(%rip), %r11
	movq	hook_slots + SLOT_CR3(%rip), %rax
	movq	%rax, %cr3
	/* No stack from here: it is not mapped. */
	jmp	*%rdx
come_back:
	endbr64
	/* Refused by the crash stub, which has said why. */
	movq	%r8, %cr3
	movq	%r10, %rsp
	movq	%r9, %cr4
	popfq
	popq	%rsi
	ret

refuse:
	popfq
	popq	%rsi
say:
	pushq	%rdi
	movq	%rcx, %rdi
	xorl	%eax, %eax		/* no vector registers, for a variadic function */
	call	_printk
	popq	%rdi
9:	ret

damaged:				/* KERN_EMERG: include/linux/kern_levels.h */
	.asciz	"\0010saveoops: E32 not captured: the crash stub or its tables are damaged\n"
resumed:
	.asciz	"\0010saveoops: E33 not captured: resumed from disk\n"

	.balign	8
hook_slots:
	.fill	SLOT_SUM, 1, 0
hook_sum:
	.fill	SLOTS_SIZE - SLOT_SUM, 1, 0
