/*
 * Between 64-bit and 32-bit code, for both stubs: their GDT, the way up and the way down (Intel SDM vol. 3, 10.8.5.4).
 * For assembly files.
 */

/* The segments of the 32-bit boot protocol (Documentation/arch/x86/boot.rst) and one of 64-bit code. */
.macro flat_segments
	.quad	0
	.quad	0x00af9a000000ffff	/* 0x08: 64-bit code */
	.quad	0x00cf9a000000ffff	/* 0x10: __BOOT_CS, flat 32-bit code */
	.quad	0x00cf92000000ffff	/* 0x18: __BOOT_DS, flat data */
.endm

/*
 * From 32-bit code to `target` in long mode, with flat_segments loaded and CR4.PAE set. EDI = top-level page table, EBP = where `base`
 * lies, ESP = a stack below 4 GiB. Changes EAX, ECX, EDX.
 */
.macro enter_long_mode target, base
	movl	%edi, %cr3
	movl	$0xc0000080, %ecx	/* EFER */
	rdmsr
	btsl	$8, %eax		/* LME */
	wrmsr
	pushl	$0x08
	leal	(\target - \base)(%ebp), %eax
	pushl	%eax
	movl	%cr0, %eax
	orl	$0x80000001, %eax	/* PG, PE */
	movl	%eax, %cr0
	lret
.endm

/* In 64-bit code, when it has just been entered so: flat data segments. Changes EAX. */
.macro flat_data
	movl	$0x18, %eax
	movl	%eax, %ds
	movl	%eax, %es
	movl	%eax, %ss
.endm

/* Goes on in compatibility mode with flat CS, DS, ES and SS. Changes RCX, and leaves __BOOT_DS in EDX. */
.macro flat_32_bit_code
	leaq	.Lflat\@(%rip), %rcx
	pushq	$0x10
	pushq	%rcx
	lretq
	.code32
.Lflat\@:
	movl	$0x18, %edx
	movl	%edx, %ds
	movl	%edx, %es
	movl	%edx, %ss
.endm

/* Clears CR0.PG, which ends long mode. Changes EDX. */
.macro paging_off
	movl	%cr0, %edx
	andl	$0x7fffffff, %edx
	movl	%edx, %cr0
.endm
