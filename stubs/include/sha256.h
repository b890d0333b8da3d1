/*
 * SHA-256 (FIPS 180-4, section 6.2) over one run of memory: 36 instructions a byte. Who has another function for its blocks names it as
 * SHA256_BLOCKS.
 */
#ifndef SAVEOOPS_SHA256_H
#define SAVEOOPS_SHA256_H
#include "types.h"

/* FIPS 180-4, section 4.2.2 */
static const u32 sha256_k[64] __attribute__((aligned(16))) = {
	0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
	0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
	0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
	0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
	0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
	0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
	0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
	0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static inline u32 sha256_rotr(u32 value, int bits)
{
	return (value >> bits) | (value << (32 - bits));
}

/* Word i of the schedule takes the place of word i - 16; the first 16 are read from the block. */
#define SHA256_READ(i) (__builtin_memcpy(&x, p + 4 * (i), 4), w[i] = __builtin_bswap32(x))
#define SHA256_NEXT(i)                                                                               \
	(x = w[((i) + 1) & 15], y = w[((i) + 14) & 15],                                             \
	 w[i] += w[((i) + 9) & 15] + (sha256_rotr(x ^ sha256_rotr(x, 11), 7) ^ (x >> 3)) +          \
		 (sha256_rotr(y ^ sha256_rotr(y, 2), 17) ^ (y >> 10)))

/*
 * A round in which the working variables stand as they are named: the next one has them turned by one place, so none is moved. The
 * rotations of a sum are nested, which needs fewer copies of the word; a ^ b of one round is b ^ c of the next (Maj).
 */
#define SHA256_ROUND(a, b, c, d, e, f, g, h, i, WORD)                                                \
	do {                                                                                        \
		h += WORD(i);                                                                       \
		h += k[i];                                                                          \
		h += ((f ^ g) & e) ^ g;                                                             \
		h += sha256_rotr(sha256_rotr(sha256_rotr(e, 14) ^ e, 5) ^ e, 6);                    \
		d += h;                                                                             \
		x = a ^ b;                                                                          \
		h += (bc & x) ^ b;                                                                  \
		h += sha256_rotr(sha256_rotr(sha256_rotr(a, 9) ^ a, 11) ^ a, 2);                    \
		bc = x;                                                                             \
	} while (0)

#define SHA256_EIGHT_ROUNDS(i, WORD)                                                                 \
	do {                                                                                        \
		SHA256_ROUND(a, b, c, d, e, f, g, h, (i), WORD);                                    \
		SHA256_ROUND(h, a, b, c, d, e, f, g, (i) + 1, WORD);                                \
		SHA256_ROUND(g, h, a, b, c, d, e, f, (i) + 2, WORD);                                \
		SHA256_ROUND(f, g, h, a, b, c, d, e, (i) + 3, WORD);                                \
		SHA256_ROUND(e, f, g, h, a, b, c, d, (i) + 4, WORD);                                \
		SHA256_ROUND(d, e, f, g, h, a, b, c, (i) + 5, WORD);                                \
		SHA256_ROUND(c, d, e, f, g, h, a, b, (i) + 6, WORD);                                \
		SHA256_ROUND(b, c, d, e, f, g, h, a, (i) + 7, WORD);                                \
	} while (0)

#ifndef SHA256_BLOCKS
#define SHA256_BLOCKS sha256_blocks
#endif

/* In: the state, `count` blocks of 64 bytes at p. Out: the state after them. */
static void sha256_blocks(u32 state[8], const u8 *p, u64 count)
{
	for (; count; count--, p += 64) {
		u32 a = state[0], b = state[1], c = state[2], d = state[3];
		u32 e = state[4], f = state[5], g = state[6], h = state[7];
		u32 w[16], x, y, bc = b ^ c;
		const u32 *k = sha256_k;

		SHA256_EIGHT_ROUNDS(0, SHA256_READ);
		SHA256_EIGHT_ROUNDS(8, SHA256_READ);
		while (k != sha256_k + 48) {
			k += 16;
			SHA256_EIGHT_ROUNDS(0, SHA256_NEXT);
			SHA256_EIGHT_ROUNDS(8, SHA256_NEXT);
		}
		state[0] += a;
		state[1] += b;
		state[2] += c;
		state[3] += d;
		state[4] += e;
		state[5] += f;
		state[6] += g;
		state[7] += h;
	}
}

/* In: size bytes at data. Out: 32 bytes at digest. */
static void sha256(const void *data, u64 size, u8 digest[32])
{
	u32 h[8] = { 0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
		     0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19 };
	const u8 *rest = (const u8 *)data + (size & ~63ull);
	u8 tail[128];
	u64 left = size & 63, padded = left < 56 ? 64 : 128;
	usize i;

	SHA256_BLOCKS(h, data, size / 64);
	for (i = 0; i < sizeof(tail); i++)
		tail[i] = i < left ? rest[i] : 0;
	tail[left] = 0x80;
	for (i = 0; i < 8; i++)
		tail[padded - 1 - i] = (u8)(size * 8 >> (8 * i));
	SHA256_BLOCKS(h, tail, padded / 64);
	for (i = 0; i < 32; i++)
		digest[i] = (u8)(h[i / 4] >> (24 - 8 * (i % 4)));
}

#endif
