/*
 * SHA-256 by the SHA extensions (Intel SDM vol. 2, SHA256RNDS2, SHA256MSG1, SHA256MSG2), with SSSE3 and SSE4.1: 2.5 instructions a byte.
 * sha_ni_blocks(state, p, count): RDI, RSI, RDX. XMM0 to XMM10 change.
 */

/* Working variables A B E F and C D G H, highest first; w0 to w3 hold the schedule's last 16 words. */
#define ABEF %xmm1
#define CDGH %xmm2
#define TEMP %xmm7
#define SWAP %xmm8

/* Four rounds with the words in w. SHA256RNDS2 makes two, with those in XMM0's lower half. */
.macro rounds group, w
	movdqa	\w, %xmm0
	paddd	16*\group(%rax), %xmm0
	sha256rnds2 %xmm0, ABEF, CDGH
	pshufd	$0x0e, %xmm0, %xmm0
	sha256rnds2 %xmm0, CDGH, ABEF
.endm

/* The first 16 words are those of the block, big-endian. */
.macro read group, w
	movdqu	16*\group(%rsi), \w
	pshufb	SWAP, \w
	rounds	\group, \w
.endm

/* Four more words in w0's place: w0 to w3 are the 16 before them, the oldest first. */
.macro next group, w0, w1, w2, w3
	sha256msg1 \w1, \w0
	movdqa	\w3, TEMP
	palignr	$4, \w2, TEMP
	paddd	TEMP, \w0
	sha256msg2 \w3, \w0
	rounds	\group, \w0
.endm

.macro next_four group
	next	\group, %xmm3, %xmm4, %xmm5, %xmm6
	next	(\group+1), %xmm4, %xmm5, %xmm6, %xmm3
	next	(\group+2), %xmm5, %xmm6, %xmm3, %xmm4
	next	(\group+3), %xmm6, %xmm3, %xmm4, %xmm5
.endm

	.text
	.globl sha_ni_blocks
	.hidden sha_ni_blocks
sha_ni_blocks:
	testq	%rdx, %rdx
	jz	2f
	leaq	sha256_constants(%rip), %rax
	movdqa	swap(%rip), SWAP
	movdqu	(%rdi), TEMP		/* D C B A, highest first */
	movdqu	16(%rdi), CDGH		/* H G F E */
	pshufd	$0xb1, TEMP, TEMP	/* C D A B */
	pshufd	$0x1b, CDGH, CDGH	/* E F G H */
	movdqa	TEMP, ABEF
	palignr	$8, CDGH, ABEF
	pblendw	$0xf0, TEMP, CDGH
1:	movdqa	ABEF, %xmm9
	movdqa	CDGH, %xmm10
	read	0, %xmm3
	read	1, %xmm4
	read	2, %xmm5
	read	3, %xmm6
	next_four 4
	next_four 8
	next_four 12
	paddd	%xmm9, ABEF
	paddd	%xmm10, CDGH
	addq	$64, %rsi
	decq	%rdx
	jnz	1b
	pshufd	$0x1b, ABEF, TEMP	/* F E B A */
	pshufd	$0xb1, CDGH, CDGH	/* D C H G */
	movdqa	TEMP, ABEF
	pblendw	$0xf0, CDGH, ABEF	/* D C B A */
	palignr	$8, TEMP, CDGH		/* H G F E */
	movdqu	ABEF, (%rdi)
	movdqu	CDGH, 16(%rdi)
2:	ret

	.section .rodata, "a"
	.balign 16
swap:	.byte	3, 2, 1, 0, 7, 6, 5, 4, 11, 10, 9, 8, 15, 14, 13, 12

	.section .note.GNU-stack, "", @progbits
