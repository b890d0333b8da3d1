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
 * region of the boot that read the image, made for another place of the kernel. The word before
 * __nosave_end is in no image, so it tells (src/arm/nosave-word.ts).
 *
 * An orderly end (restart, power off, halt, kexec) is told by the same pointer: native_machine_shutdown() stops the other CPUs
 * with wait = 1, and panic() with 0. Then the mark goes by which a reset is captured (src/arm/orderly-end.ts), and so it does
 * where a kdump kernel takes over.
 *
 * hook_crash_shutdown is reached only when the crash stub has put it into machine_ops, because panic() is to run its
 * notifiers first.
 *
 * In: RDI = the native function's argument; a kernel stack; any CR3 with the kernel image mapped.
 * To the crash stub: RDX = its physical address, R8 = CR3, R9 = CR4, R10 = RSP, R11 = where to come back,
 * RBX RBP R12-R15 RDI as the kernel left them, interrupts off, supervisor CET and LASS off, CR3 = a copy of the kernel's
 * top-level table, with the stub's memory in the low half. On the stack: RFLAGS, HOOK_* (hook-slots.h), return address in the hook, return address in the kernel.
 * Position-independent: the references to kernel symbols are PC-relative, linked by src/arm/link-hook.ts.
 */
#include "../include/hook-slots.h"
#include "../include/plan.h"

/*
 * HOOK_WINDOW_PMD's 2 MiB: level2_fixmap_pgt maps the last GiB. A second one behind it. Present, writable, a large page.
 */
#define WINDOW ((HOOK_WINDOW_PMD << 21) - (1 << 30))
#define SECOND_WINDOW (WINDOW + (1 << 21))
#define WINDOW_FLAGS 0x83
#define WINDOW_ADDRESS 0x000fffffffe00000

	.text
	.globl hook_stop, hook_crash_stop, hook_crash_shutdown, hook_halt, hook_slots
hook_stop:
	endbr64
	cmpl	$-1, panic_cpu(%rip)
	jne	1f
	cmpl	$1, %edi
	jne	2f
	call	take_mark_back
	jmp	2f
1:	movl	$HOOK_STOP, %esi
	call	take_over
2:	jmp	native_stop_other_cpus

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

refuse:
	popfq
	popq	%rsi
say:
	pushq	%rdi
	leaq	not_captured(%rip), %rdi
	movq	%rcx, %rsi
	leaq	1(%rcx), %rdx
	xorl	%eax, %eax		/* no vector registers, for a variadic function */
	call	_printk
	popq	%rdi
9:	ret

take_over:
	cmpq	$0, kexec_crash_image(%rip)
	jne	take_mark_back
take_over_now:
	leaq	hook_slots(%rip), %r10
	movq	SLOT_REGION(%r10), %rdx
	testq	%rdx, %rdx
	jz	9b
	movq	SLOT_SUM(%r10), %rax
	leaq	resumed(%rip), %rcx
	cmpq	%rax, __nosave_end - 8(%rip)
	jne	say
	movq	%cr3, %r8
	leaq	encrypted(%rip), %rcx
	testq	%r8, SLOT_ENCRYPTION(%r10)
	jnz	say
	pushq	%rsi
	pushfq
	cli
	/*
	 * The sum comes before anything of the region is used: read through the kernel's own tables, of which two entries
	 * that are always empty lead to the region's first 2 MiB and to the top-level table for so long.
	 */
	leaq	level2_fixmap_pgt + 8 * HOOK_WINDOW_PMD(%rip), %r9
	leaq	WINDOW_FLAGS(%rdx), %rax
	movq	%rax, (%r9)
	movabsq	$WINDOW_ADDRESS, %rax
	andq	%r8, %rax
	orb	$WINDOW_FLAGS, %al
	movq	%rax, 8(%r9)
	movabsq	$SUM_FACTOR, %rax
	movq	SLOT_WORDS(%r10), %rcx
	movq	$WINDOW, %rsi
	xorl	%r11d, %r11d
2:	xorq	(%rsi), %r11
	imulq	%rax, %r11
	addq	$8, %rsi
	decq	%rcx
	jnz	2b
	/*
	 * The stub's top-level table: the kernel's own, wherever it lies, with the stub's memory as first entry. So stack,
	 * IDT and all else of the kernel stay where they were.
	 */
	pushq	%rdi
	movq	$WINDOW + PLACE_SCRATCH_TABLES, %rdi
	movl	%r8d, %esi
	andl	$0x1ff000, %esi
	addq	$SECOND_WINDOW, %rsi
	movb	$512 >> 8, %ch		/* RCX is 0 */
	cld
	rep movsq
	movq	SLOT_FIRST_ENTRY(%r10), %rax
	movq	%rax, -4096(%rdi)
	movq	%rcx, (%r9)
	movq	%rcx, 8(%r9)
	invlpg	-8(%rdi)
	invlpg	-8(%rsi)
	popq	%rdi
	leaq	damaged(%rip), %rcx
	cmpq	SLOT_SUM(%r10), %r11
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
	leaq	PLACE_SCRATCH_TABLES(%rdx), %rax
	movq	%rax, %cr3
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

/* By the window of the sum, for one word. No check of the kernel comes first: that word must be the mark. */
take_mark_back:
	leaq	hook_slots(%rip), %r10
	movq	SLOT_MARK(%r10), %rax
	testq	%rax, %rax
	jz	9b
	movq	SLOT_REGION(%r10), %rdx
	addq	$WINDOW_FLAGS, %rdx
	xorl	%ecx, %ecx
	movq	$WINDOW + PLACE_RUNNING, %rsi
	leaq	level2_fixmap_pgt + 8 * HOOK_WINDOW_PMD(%rip), %r9
	pushfq
	cli
	movq	%rdx, (%r9)
	cmpq	%rax, (%rsi)
	jne	1f
	movq	%rcx, (%rsi)
	clflush	(%rsi)			/* a reset may lose what is in the cache only */
1:	movq	%rcx, (%r9)
	invlpg	(%rsi)
	popfq
	ret

not_captured:				/* KERN_EMERG: include/linux/kern_levels.h. The first character is the number's last. */
	.asciz	"\0010saveoops: E3%.1s not captured:%s\n"
damaged:
	.asciz	"2 the crash stub or its tables are damaged"
resumed:
	.asciz	"3 resumed from disk"
encrypted:
	.asciz	"4 memory is encrypted"

	.balign	8
hook_slots:
	.fill	SLOT_SUM, 1, 0
hook_sum:
	.fill	SLOTS_SIZE - SLOT_SUM, 1, 0
