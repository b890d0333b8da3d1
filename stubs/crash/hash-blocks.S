/*
 * hash_blocks(state, p, count): by the SHA extensions when CPUID has them and what else they take, else plain_blocks().
 * The dead kernel's vector registers are evidence, and panic() may go on: each that is used is saved before, and given back after; so are
 * CR0 and CR4, whose EM, TS and OSFXSR make these instructions fault (Intel SDM vol. 3, 2.5; early in the boot OSFXSR is still 0).
 */
#define CR0_EM_TS 0xc
#define CR4_OSFXSR_BIT 9
#define SAVED 11

	.text
	.globl hash_blocks
	.hidden hash_blocks
hash_blocks:
	pushq	%rbx
	movq	%rdx, %r8		/* CPUID changes RDX */
	xorl	%eax, %eax
	cpuid
	cmpl	$7, %eax
	jb	1f
	movl	$1, %eax
	cpuid
	btl	$9, %ecx		/* SSSE3 */
	jnc	1f
	btl	$19, %ecx		/* SSE4.1 */
	jnc	1f
	movl	$7, %eax
	xorl	%ecx, %ecx
	cpuid
	btl	$29, %ebx		/* SHA */
	jnc	1f
	movq	%r8, %rdx
	movq	%cr0, %r8
	movq	%cr4, %r9
	movq	%r8, %rax
	andq	$~CR0_EM_TS, %rax
	movq	%rax, %cr0
	movq	%r9, %rax
	btsq	$CR4_OSFXSR_BIT, %rax
	movq	%rax, %cr4
	subq	$16*SAVED, %rsp
	.irp	n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10
	movups	%xmm\n, 16*\n(%rsp)
	.endr
	call	sha_ni_blocks
	.irp	n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10
	movups	16*\n(%rsp), %xmm\n
	.endr
	addq	$16*SAVED, %rsp
	movq	%r9, %cr4
	movq	%r8, %cr0
	popq	%rbx
	ret
1:	movq	%r8, %rdx
	popq	%rbx
	jmp	plain_blocks
