/* SHA-256 as the crash stub has it: by the SHA extensions where the CPU has them. */
#ifndef SAVEOOPS_CRASH_SHA256_H
#define SAVEOOPS_CRASH_SHA256_H
#include "types.h"

/* In: size bytes at data. Out: 32 bytes at digest. Changes no vector register. */
void digest_of(const void *data, u64 size, u8 digest[32]);

/* All of one kind: the state after `count` blocks of 64 bytes at p. hash_blocks() is one of the others, by CPUID. */
void hash_blocks(u32 state[8], const u8 *p, u64 count);
void plain_blocks(u32 state[8], const u8 *p, u64 count);
void sha_ni_blocks(u32 state[8], const u8 *p, u64 count); /* XMM0 to XMM10 change */

#endif
