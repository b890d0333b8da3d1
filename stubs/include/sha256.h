/* SHA-256 (FIPS 180-4, section 6.2) over one run of memory. */
#ifndef SAVEOOPS_SHA256_H
#define SAVEOOPS_SHA256_H
#include "types.h"

/* FIPS 180-4, section 4.2.2 */
static const u32 sha256_k[64] = {
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

static void sha256_block(u32 h[8], const u8 *block)
{
	u32 w[64], s[8];
	int i;

	for (i = 0; i < 16; i++) {
		u32 word;

		__builtin_memcpy(&word, block + 4 * i, 4);
		w[i] = __builtin_bswap32(word);
	}
	for (; i < 64; i++) {
		u32 x = w[i - 15], y = w[i - 2];

		w[i] = w[i - 16] + (sha256_rotr(x, 7) ^ sha256_rotr(x, 18) ^ (x >> 3)) + w[i - 7] +
		       (sha256_rotr(y, 17) ^ sha256_rotr(y, 19) ^ (y >> 10));
	}
	for (i = 0; i < 8; i++)
		s[i] = h[i];
	for (i = 0; i < 64; i++) {
		u32 e = s[4], a = s[0];
		u32 t1 = s[7] + (sha256_rotr(e, 6) ^ sha256_rotr(e, 11) ^ sha256_rotr(e, 25)) +
			 ((e & s[5]) ^ (~e & s[6])) + sha256_k[i] + w[i];
		u32 t2 = (sha256_rotr(a, 2) ^ sha256_rotr(a, 13) ^ sha256_rotr(a, 22)) +
			 ((a & s[1]) ^ (a & s[2]) ^ (s[1] & s[2]));

		s[7] = s[6];
		s[6] = s[5];
		s[5] = e;
		s[4] = s[3] + t1;
		s[3] = s[2];
		s[2] = s[1];
		s[1] = a;
		s[0] = t1 + t2;
	}
	for (i = 0; i < 8; i++)
		h[i] += s[i];
}

/* In: size bytes at data. Out: 32 bytes at digest. */
static void sha256(const void *data, u64 size, u8 digest[32])
{
	u32 h[8] = { 0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
		     0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19 };
	const u8 *p = data;
	u8 tail[128];
	u64 left = size, bits = size * 8;
	usize padded, i;

	for (; left >= 64; left -= 64, p += 64)
		sha256_block(h, p);
	for (i = 0; i < sizeof(tail); i++)
		tail[i] = i < left ? p[i] : 0;
	tail[left] = 0x80;
	padded = left < 56 ? 64 : 128;
	for (i = 0; i < 8; i++)
		tail[padded - 1 - i] = (u8)(bits >> (8 * i));
	sha256_block(h, tail);
	if (padded == 128)
		sha256_block(h, tail + 64);
	for (i = 0; i < 32; i++)
		digest[i] = (u8)(h[i / 4] >> (24 - 8 * (i % 4)));
}

#endif
