/* The plain SHA-256, and a digest by what the CPU has. A host program links this object, too: host/sha256.c. */
#include "sha256.h"

#define SHA256_BLOCKS hash_blocks
#include "../include/sha256.h"

/* For sha-ni.S. */
extern const u32 sha256_constants[64] __attribute__((alias("sha256_k"), visibility("hidden")));

void plain_blocks(u32 state[8], const u8 *p, u64 count)
{
	sha256_blocks(state, p, count);
}

void digest_of(const void *data, u64 size, u8 digest[32])
{
	sha256(data, size, digest);
}
