/*
 * LZ4 legacy frame (lz4_Frame_format.md, "Legacy frame") of raw blocks (lz4_Block_format.md): a magic number, then
 * for each 8 MiB of output a u32 size and one block. Chosen because its decoder is the cheapest of all formats that
 * a standard tool writes: less than two instructions a byte of a kernel image. Whoever calls has made vector instructions possible.
 */
#include "machine.h"

#define LZ4_LEGACY_MAGIC 0x184c2102
#define LZ4_LEGACY_BLOCK (8u << 20)

static inline u64 load64(const void *p)
{
	u64 value;

	__builtin_memcpy(&value, p, 8);
	return value;
}

static inline void store64(void *p, u64 value)
{
	__builtin_memcpy(p, &value, 8);
}

/* 16 bytes by XMM0, which gcc does not use here. */
static inline void copy16(void *to, const void *from)
{
	struct sixteen {
		u64 word[2];
	};

	__asm__("movdqu %1, %%xmm0\n\tmovdqu %%xmm0, %0"
		: "=m"(*(struct sixteen *)to)
		: "m"(*(const struct sixteen *)from));
}

/* Up to 15 bytes more than size. */
static inline void copy_run(u8 *to, const u8 *from, usize size)
{
	for (const u8 *end = from + size; from < end; to += 16, from += 16)
		copy16(to, from);
}

/* The largest distance that an offset of 16 bits can have. */
#define LZ4_WINDOW 0x10000
/* Most that a sequence without length bytes takes and gives, and what copies of 16 bytes read and write beyond it. */
#define LZ4_SHORT_IN 32
#define LZ4_SHORT_OUT 64

/*
 * Decodes sequences while they are short, as 19 of 20 are: no length bytes, no overlap. Ends before the first other one, or where a
 * check of the ends might be needed. No offset is checked: what it can reach has been written.
 */
static __attribute__((noinline)) void lz4_short_sequences(const u8 **in_at, u8 **out_at, usize count)
{
	const u8 *in = *in_at;
	u8 *out = *out_at;

	for (; count; count--) {
		usize token = *in, literals = token >> 4, match = token & 15, offset;
		const u8 *next = in + literals + 1, *from;

		if (literals == 15 || match == 15)
			break;
		offset = (u16)load64(next);
		if (offset < 16)
			break;
		copy16(out, in + 1);
		out += literals;
		from = out - offset;
		copy16(out, from);
		__builtin_memcpy(out + 16, from + 16, 2);
		in = next + 2;
		out += match + 4;
	}
	*in_at = in;
	*out_at = out;
}

/* Decodes one block. Gives the bytes written, or -1 when the block does not follow the format. */
static s64 lz4_block(const u8 *in, usize in_size, u8 *out, usize out_size)
{
	const u8 *in_end = in + in_size, *out_start = out;
	u8 *out_end = out + out_size;

	while (in < in_end) {
		u32 token;
		usize literals, match, offset;
		const u8 *from;

		if (out - out_start >= LZ4_WINDOW)
			lz4_short_sequences(&in, &out, MIN((usize)(in_end - in) / LZ4_SHORT_IN,
							   (usize)(out_end - out) / LZ4_SHORT_OUT));
		token = *in++;
		literals = token >> 4;
		match = token & 15;
		if (literals == 15) {
			u8 more;

			do {
				if (in >= in_end)
					return -1;
				more = *in++;
				literals += more;
			} while (more == 255);
		}
		if (literals > (usize)(in_end - in) || literals > (usize)(out_end - out))
			return -1;
		if (literals + 16 <= (usize)(in_end - in) && literals + 16 <= (usize)(out_end - out))
			copy_run(out, in, literals);
		else
			memcpy(out, in, literals);
		in += literals;
		out += literals;
		if (in == in_end)
			break; /* the last sequence has no match */
		if (in_end - in < 2)
			return -1;
		offset = in[0] | (usize)in[1] << 8;
		in += 2;
		if (!offset || offset > (usize)(out - out_start))
			return -1;
		if (match == 15) {
			u8 more;

			do {
				if (in >= in_end)
					return -1;
				more = *in++;
				match += more;
			} while (more == 255);
		}
		match += 4;
		if (match > (usize)(out_end - out))
			return -1;
		from = out - offset;
		if (offset >= 16 && match + 16 <= (usize)(out_end - out)) {
			copy_run(out, from, match);
			out += match;
		} else if (offset >= match) {
			memcpy(out, from, match);
			out += match;
		} else if (offset == 1) {
			memset(out, *from, match);
			out += match;
		} else if (offset >= 8) {
			u8 *end = out + match;

			for (; end - out >= 8; out += 8, from += 8)
				store64(out, load64(from));
			while (out < end)
				*out++ = *from++;
		} else {
			u8 *end = out + match;

			while (out < end)
				*out++ = *from++;
		}
	}
	return out - out_start;
}

/* Decodes a legacy frame into exactly out_size bytes. Gives 0, or -1. */
static int lz4_legacy(const u8 *in, usize in_size, u8 *out, usize out_size)
{
	const u8 *end = in + in_size;
	usize done = 0;

	if (in_size < 4 || (u32)load64(in) != LZ4_LEGACY_MAGIC)
		return -1;
	in += 4;
	while (in + 4 <= end) {
		u32 size;
		s64 got;

		__builtin_memcpy(&size, in, 4);
		in += 4;
		if (size > (usize)(end - in))
			return -1;
		got = lz4_block(in, size, out + done, MIN(out_size - done, LZ4_LEGACY_BLOCK));
		if (got < 0)
			return -1;
		done += (usize)got;
		in += size;
	}
	return done == out_size ? 0 : -1;
}
