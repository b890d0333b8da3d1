/*
 * XXH3 with 64 bits, seed 0 (xxHash specification, "XXH3 Algorithm Description for Large Inputs"), by SSE2, which every 64-bit CPU has.
 * This file alone is compiled for vector registers: who calls it has made CR0 and CR4 fit.
 */
#include "xxh3.h"

#define PRIME32_1 0x9e3779b1ull
#define PRIME32_2 0x85ebca77ull
#define PRIME32_3 0xc2b2ae3dull
#define PRIME64_1 0x9e3779b185ebca87ull
#define PRIME64_2 0xc2b2ae3d27d4eb4full
#define PRIME64_3 0x165667b19e3779f9ull
#define PRIME64_4 0x85ebca77c2b2ae63ull
#define PRIME64_5 0x27d4eb2f165667c5ull
#define PRIME_MX1 0x165667919e3779f9ull

#define STRIPE 64 /* bytes: eight lanes of 64 bits */
_Static_assert(XXH3_BLOCK == 16 * STRIPE, "stripes of a block");
#define SECRET_SIZE 192
#define LANE_BYTES 16

/* What the specification calls the default secret. Stripe n takes it from its 64-bit word n on: a copy for odd n, so that both are aligned. */
#define SECRET_FIRST 0xbe4ba423396cfeb8
#define SECRET_OTHERS \
	0x1cad21f72c81017c, 0xdb979083e96dd4de, 0x1f67b3b7a4a44072, 0x78e5c0cc4ee679cb, 0x2172ffcc7dd05a82, 0x8e2443f7744608b8, \
	0x4c263a81e69035e0, 0xcb00c391bb52283c, 0xa32e531b8b65d088, 0x4ef90da297486471, 0xd8acdea946ef1938, 0x3f349ce33f76faa8, \
	0x1d4f0bc7c7bbdcf9, 0x3159b4cd4be0518a, 0x647378d9c97e9fc8, 0xc3ebd33483acc5ea, 0xeb6313faffa081c5, 0x49daf0b751dd0d17, \
	0x9e68d429265516d3, 0xfca1477d58be162b, 0xce31d07ad1b8f88f, 0x280416958f3acb45, 0x7e404bbbcafbd7af
#define ALIGNED __attribute__((aligned(LANE_BYTES)))

static const u64 ALIGNED secret[] = { SECRET_FIRST, SECRET_OTHERS };
static const u64 ALIGNED secret_from_1[] = { SECRET_OTHERS };
_Static_assert(sizeof(secret) == SECRET_SIZE, "the secret");

typedef u64 lanes __attribute__((vector_size(LANE_BYTES), may_alias));
typedef lanes unaligned_lanes __attribute__((aligned(1)));
typedef int words __attribute__((vector_size(LANE_BYTES)));

/* Low words of both lanes, multiplied: 64 bits each. */
static inline lanes multiply(lanes a, lanes b)
{
	return (lanes)__builtin_ia32_pmuludq128((words)a, (words)b);
}

static inline lanes high_words(lanes value)
{
	return (lanes)__builtin_ia32_pshufd((words)value, 0x31);
}

/*
 * Adds 16 bytes, `at` behind p, to two lanes: the product of the halves of each word of `data xor key`, and the words themselves, crosswise.
 * In assembly: gcc 12 sums up several first, for which it has too few registers, and keeps a pointer to each key. Twice the instructions.
 */
static inline __attribute__((always_inline)) lanes add_lanes(lanes acc, const u8 *p, const u64 *key, int at, int key_at)
{
	lanes mixed, other;

	asm("movdqu %c5(%3), %1\n\t"
	    "pshufd $0x4e, %1, %2\n\t"
	    "pxor %c6(%4), %1\n\t"
	    "paddq %2, %0\n\t"
	    "pshufd $0x31, %1, %2\n\t"
	    "pmuludq %2, %1\n\t"
	    "paddq %1, %0"
	    : "+x"(acc), "=&x"(mixed), "=&x"(other)
	    : "r"(p), "r"(key), "i"(at), "i"(key_at)
	    : "memory");
	return acc;
}

struct state {
	lanes a, b, c, d;
};

/* The stripe `at` behind p, with the key so far behind `key`; the sum of both is aligned. */
static inline __attribute__((always_inline)) void add_stripe(struct state *s, const u8 *p, const u64 *key, int at, int key_at)
{
	s->a = add_lanes(s->a, p, key, at, key_at);
	s->b = add_lanes(s->b, p, key, at + 16, key_at + 16);
	s->c = add_lanes(s->c, p, key, at + 32, key_at + 32);
	s->d = add_lanes(s->d, p, key, at + 48, key_at + 48);
}

/* Stripes n and n + 1 of a block, n even. */
static inline __attribute__((always_inline)) void add_two(struct state *s, const u8 *p, int n)
{
	add_stripe(s, p, secret, n * STRIPE, 8 * n);
	add_stripe(s, p, secret_from_1, (n + 1) * STRIPE, 8 * n);
}

static inline lanes scrambled(lanes acc, lanes key)
{
	const lanes prime = { PRIME32_1, PRIME32_1 };

	acc ^= acc >> 47;
	acc ^= key;
	return multiply(acc, prime) + (multiply(high_words(acc), prime) << 32);
}

static inline struct state load(const u64 acc[8])
{
	const unaligned_lanes *from = (const unaligned_lanes *)acc;

	return (struct state){ from[0], from[1], from[2], from[3] };
}

static inline void store(u64 acc[8], const struct state *s)
{
	unaligned_lanes *to = (unaligned_lanes *)acc;

	to[0] = s->a;
	to[1] = s->b;
	to[2] = s->c;
	to[3] = s->d;
}

void xxh3_start(u64 acc[8])
{
	static const u64 start[8] = { PRIME32_3, PRIME64_1, PRIME64_2, PRIME64_3, PRIME64_4, PRIME32_2, PRIME64_5, PRIME32_1 };

	for (int i = 0; i < 8; i++)
		acc[i] = start[i];
}

void xxh3_blocks(u64 acc[8], const u8 *p, usize blocks)
{
	const lanes *last = (const lanes *)(secret + (SECRET_SIZE - STRIPE) / 8);
	struct state s = load(acc);

	for (; blocks; blocks--, p += XXH3_BLOCK) {
		/* No loop: 28 instructions a stripe, and none to count them. */
		add_two(&s, p, 0);
		add_two(&s, p, 2);
		add_two(&s, p, 4);
		add_two(&s, p, 6);
		add_two(&s, p, 8);
		add_two(&s, p, 10);
		add_two(&s, p, 12);
		add_two(&s, p, 14);
		s.a = scrambled(s.a, last[0]);
		s.b = scrambled(s.b, last[1]);
		s.c = scrambled(s.c, last[2]);
		s.d = scrambled(s.d, last[3]);
	}
	store(acc, &s);
}

/* The halves of a product of 128 bits, one xor the other; of 32-bit products, as the module for BIOS has no others. */
static u64 folded_product(u64 a, u64 b)
{
	u64 low = (u64)(u32)a * (u32)b;
	u64 middle = (a >> 32) * (u32)b + (low >> 32);
	u64 other = (u64)(u32)a * (b >> 32) + (u32)middle;

	return ((other << 32) | (u32)low) ^ ((a >> 32) * (b >> 32) + (middle >> 32) + (other >> 32));
}

static u64 secret_at(usize byte)
{
	u64 value;

	__builtin_memcpy(&value, (const u8 *)secret + byte, sizeof(value));
	return value;
}

u64 xxh3_end(u64 acc[8], const u8 *p, usize size)
{
	usize at = (size - 1) / XXH3_BLOCK * XXH3_BLOCK;
	struct state s = load(acc);
	u64 ALIGNED key[8];
	u64 sum = size * PRIME64_1;
	int i;

	for (i = 0; at + STRIPE < size; i++, at += STRIPE)
		add_stripe(&s, p + at, i & 1 ? secret_from_1 + i - 1 : secret + i, 0, 0);
	for (i = 0; i < 8; i++)
		key[i] = secret_at(SECRET_SIZE - STRIPE - 7 + 8 * i);
	add_stripe(&s, p + size - STRIPE, key, 0, 0);
	store(acc, &s);
	for (i = 0; i < 8; i += 2)
		sum += folded_product(acc[i] ^ secret_at(11 + 8 * i), acc[i + 1] ^ secret_at(19 + 8 * i));
	sum = (sum ^ (sum >> 37)) * PRIME_MX1;
	return sum ^ (sum >> 32);
}
