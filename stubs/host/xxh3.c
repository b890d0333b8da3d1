/* The COM32 module's XXH3 on the host: xxh3 SIZE... <FILE. For each size, of more than 240 bytes, a line: the sum of that many leading bytes. */
#include <stdio.h>
#include <stdlib.h>
#include "xxh3.h"

int main(int argc, char **argv)
{
	static u8 data[4 << 20];
	usize got = fread(data, 1, sizeof(data), stdin);
	int i;

	for (i = 1; i < argc; i++) {
		usize size = strtoul(argv[i], NULL, 10), blocks = (size - 1) / XXH3_BLOCK, half = blocks / 2;
		u64 acc[8];

		if (size > got || size <= 240)
			return 2;
		xxh3_start(acc);
		xxh3_blocks(acc, data, half);
		xxh3_blocks(acc, data + half * XXH3_BLOCK, blocks - half);
		printf("%016llx\n", xxh3_end(acc, data, size));
	}
	return 0;
}
