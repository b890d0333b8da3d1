/*
 * What the entry stub writes into the armed kernel's text for the hook. All zero: not armed.
 *
 *  offset size
 *  0      8    physical address of the crash region: of the crash stub, too
 *  8      8    CR3 for the hook: identity map and the kernel image
 *  16     8    quadwords that the sum covers
 *  24     8    the sum over them
 */
#define SLOT_REGION 0
#define SLOT_CR3 8
#define SLOT_WORDS 16
#define SLOT_SUM 24
#define SLOTS_SIZE 32

/* The sum: sum = (sum xor word) * SUM_FACTOR for each quadword; any change within one word changes it. */
#define SUM_FACTOR 0x9e3779b97f4a7c15
