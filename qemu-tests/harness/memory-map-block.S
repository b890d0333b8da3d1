/*
 * A boot block for tests: gives the machine another E820 memory map, then boots its second disk. The disk that starts
 * with it is drive 0x80. It moves itself and the map to the top of low memory, which it takes from the BIOS's count,
 * hooks INT 15h, and reads the first sector of drive 0x81 to 0x7c00 as the BIOS would.
 *
 * Sector 0 is this code; the map follows from sector 1 on: entries of 20 bytes as INT 15h, AX = E820h gives them (ACPI
 * specification, "INT 15H, E820H"), `entries` of them.
 */
#define KIB 4			/* of low memory */
#define SECTORS (KIB * 2)

	.code16
	.text
	.globl start
start:
	cli
	xorw	%ax, %ax
	movw	%ax, %ss
	movw	$0x7c00, %sp
	movw	%ax, %ds
	sti
	cld
	subw	$KIB, 0x413		/* KiB of low memory, BIOS data area */
	movw	0x413, %ax
	shlw	$6, %ax
	movw	%ax, %es
	pushl	$0			/* disk address packet: first sector, */
	pushl	$0
	pushw	%es			/* where to, */
	pushw	$0
	pushw	$SECTORS
	pushw	$16
	movw	%sp, %si
	movb	$0x42, %ah
	movb	$0x80, %dl
	int	$0x13
	jc	fail
	addw	$16, %sp
	pushw	%es
	pushw	$moved
	lret

moved:
	cli
	movl	0x15 * 4, %eax
	movl	%eax, %es:old
	movw	$handler, 0x15 * 4
	movw	%es, 0x15 * 4 + 2
	sti
	xorw	%ax, %ax
	movw	%ax, %es
	movw	$0x0201, %ax		/* one sector, */
	movw	$0x0001, %cx		/* the first, */
	movw	$0x0081, %dx		/* of the second disk */
	movw	$0x7c00, %bx
	int	$0x13
	jc	fail
	movw	$0x0081, %dx
	ljmp	$0, $0x7c00

fail:
	hlt
	jmp	fail

handler:
	cmpw	$0xe820, %ax
	jne	other
	cmpl	$0x534d4150, %edx	/* "SMAP" */
	jne	other
	pushl	%esi
	pushw	%ds
	pushw	%di
	pushw	%cs
	popw	%ds
	imull	$20, %ebx, %esi
	addl	$0x200, %esi
	movw	$10, %cx
	cld
	rep movsw
	popw	%di
	incl	%ebx
	cmpw	entries, %bx
	jb	1f
	xorl	%ebx, %ebx
1:	popw	%ds
	popl	%esi
	movl	$20, %ecx
	movl	$0x534d4150, %eax
	pushw	%bp
	movw	%sp, %bp
	andw	$~1, 6(%bp)		/* carry of the caller's flags: IP CS FLAGS above BP */
	popw	%bp
	iret
other:
	ljmp	*%cs:old

	.balign	4
old:	.long	0

	.org	508
entries:
	.word	0
	.word	0xaa55
