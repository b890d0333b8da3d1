/* Fixed-width integers; the bare-metal code includes no header but its own. */
#ifndef SAVEOOPS_TYPES_H
#define SAVEOOPS_TYPES_H

#ifndef __ASSEMBLER__
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef signed long long s64;
typedef __SIZE_TYPE__ usize;

#define NULL ((void *)0)
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))
#endif

#endif
