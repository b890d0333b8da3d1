/*
 * The crash stub's SHA-256 on the host: sha256 plain|sha-ni SIZE... <FILE. For each size a line: the digest of that many leading bytes
 * and nanoseconds of processor time.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "sha256.h"

static int with_extensions;

/* In place of the stub's own, which asks CPUID and writes control registers. */
void hash_blocks(u32 state[8], const u8 *p, u64 count)
{
	(with_extensions ? sha_ni_blocks : plain_blocks)(state, p, count);
}

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
	return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

int main(int argc, char **argv)
{
	static u8 data[64 << 20];
	usize got = fread(data, 1, sizeof(data), stdin);
	int i, k;

	if (argc < 3 || (strcmp(argv[1], "plain") && strcmp(argv[1], "sha-ni")))
		return 2;
	with_extensions = !strcmp(argv[1], "sha-ni");
	for (i = 2; i < argc; i++) {
		usize size = strtoul(argv[i], NULL, 10);
		u8 digest[32];
		double start;

		if (size > got)
			return 2;
		start = now();
		digest_of(data, size, digest);
		start = now() - start;
		for (k = 0; k < 32; k++)
			printf("%02x", digest[k]);
		printf(" %.0f\n", start);
	}
	return 0;
}
