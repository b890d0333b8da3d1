/*
 * Between 64-bit and 32-bit code, for both stubs: their GDT, and the way down (Intel SDM vol. 3, 10.8.5.4).
 * For assembly files.
 */

/* The segments of the 32-bit boot protocol (Documentation/arch/x86/boot.rst) and one of 64-bit code. */
.macro flat_segments
	.quad	0
	.quad	0x00af9a000000ffff	/* 0x08: 64-bit code */
	.quad	0x00cf9a000000ffff	/* 0x10: __BOOT_CS, flat 32-bit code */
	.quad	0x00cf92000000ffff	/* 0x18: __BOOT_DS, flat data */
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
