/*
 * XXH32 (xxHash specification, "XXH32 Algorithm Description"), seed 0, over memory.
 *
 * The boot-time check of what the loader read: it must catch damage, not an attacker, and costs about one
 * instruction a byte, where SHA-256 costs twenty. SHA-256 is checked at build, by `inspect` and at the crash.
 */
#ifndef SAVEOOPS_XXH32_H
#define SAVEOOPS_XXH32_H
#include "types.h"

#define XXH_P1 2654435761u
#define XXH_P2 2246822519u
#define XXH_P3 3266489917u
#define XXH_P4 668265263u
#define XXH_P5 374761393u

static inline u32 xxh_rotl(u32 value, int bits)
{
	return (value << bits) | (value >> (32 - bits));
}

static inline u32 xxh_load(const u8 *p)
{
	u32 value;

	__builtin_memcpy(&value, p, 4);
	return value;
}

static inline u32 xxh_round(u32 lane, u32 word)
{
	return xxh_rotl(lane + word * XXH_P2, 13) * XXH_P1;
}

struct xxh_lanes {
	u32 a, b, c, d;
};

/* The next 16 bytes. */
static inline __attribute__((always_inline)) void xxh_stripe(struct xxh_lanes *lane, const u8 *p)
{
	lane->a = xxh_round(lane->a, xxh_load(p));
	lane->b = xxh_round(lane->b, xxh_load(p + 4));
	lane->c = xxh_round(lane->c, xxh_load(p + 8));
	lane->d = xxh_round(lane->d, xxh_load(p + 12));
}

/* In: size bytes at data. Out: their XXH32. */
static u32 xxh32(const void *data, usize size)
{
	const u8 *p = data, *end = p + size;
	u32 sum;

	if (size >= 16) {
		struct xxh_lanes lane = { XXH_P1 + XXH_P2, XXH_P2, 0, 0 - XXH_P1 };

		/* 16 instructions each: the three of a loop of one would count. */
		for (; end - p >= 64; p += 64) {
			xxh_stripe(&lane, p);
			xxh_stripe(&lane, p + 16);
			xxh_stripe(&lane, p + 32);
			xxh_stripe(&lane, p + 48);
		}
		for (; end - p >= 16; p += 16)
			xxh_stripe(&lane, p);
		sum = xxh_rotl(lane.a, 1) + xxh_rotl(lane.b, 7) + xxh_rotl(lane.c, 12) + xxh_rotl(lane.d, 18);
	} else {
		sum = XXH_P5;
	}
	sum += (u32)size;
	for (; p + 4 <= end; p += 4)
		sum = xxh_rotl(sum + xxh_load(p) * XXH_P3, 17) * XXH_P4;
	for (; p < end; p++)
		sum = xxh_rotl(sum + *p * XXH_P5, 11) * XXH_P1;
	sum = (sum ^ (sum >> 15)) * XXH_P2;
	sum = (sum ^ (sum >> 13)) * XXH_P3;
	return sum ^ (sum >> 16);
}

#endif
