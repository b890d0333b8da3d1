/* XXH3, 64 bits, seed 0, of more than 240 bytes at once: the check of what the loader has read. In vector registers: see xxh3.c. */
#ifndef SAVEOOPS_XXH3_H
#define SAVEOOPS_XXH3_H
#include "types.h"

#define XXH3_BLOCK 1024 /* bytes */

void xxh3_start(u64 acc[8]);
/* So many blocks of XXH3_BLOCK bytes; of the whole input all but the last, which may be incomplete. */
void xxh3_blocks(u64 acc[8], const u8 *p, usize blocks);
/* In: acc after these; the whole input. Out: its XXH3. */
u64 xxh3_end(u64 acc[8], const u8 *p, usize size);

#endif
