/*
 * `memmap=` and `mem=` on the command line, as the kernel takes them: parse_args() in kernel/params.c finds the words,
 * parse_memmap_one() and parse_memopt() in arch/x86/kernel/e820.c say what they mean. In order: each works on the map that those
 * before it have left.
 */
#include "entry.h"

/* A value on the command line: not NUL-terminated, so it goes by its end. */
struct value {
	const char *p;
	const char *end;
};

static int is_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

/*
 * Takes the next word off the line, quotes heeded as next_arg() does. Gives whether there was one; its value is empty
 * when it is not `name=value`.
 */
static int next_value(const char **line, const char *name, struct value *value)
{
	const char *p = *line, *start, *equals = NULL;
	usize n = length_of(name);
	int quoted = 0, all = 0;

	while (is_space(*p))
		p++;
	if (!*p)
		return 0;
	if (*p == '"') {
		quoted = all = 1;
		p++;
	}
	for (start = p; *p && (quoted || !is_space(*p)); p++) {
		if (*p == '=' && !equals && p > start)
			equals = p;
		if (*p == '"')
			quoted = !quoted;
	}
	*line = p;
	*value = (struct value){ p, p };
	/* What follows is for init. */
	if (p - start == 2 && start[0] == '-' && start[1] == '-')
		return 0;
	if (!equals || (usize)(equals - start) != n || memcmp(start, name, n))
		return 1;
	*value = (struct value){ equals + 1, p };
	if (value->p < p && *value->p == '"') {
		value->p++;
		all = 1;
	}
	if (all && value->end > value->p && value->end[-1] == '"')
		value->end--;
	return 1;
}

/* A number as simple_strtoull() reads it with base 0: decimal, 0x hexadecimal, 0 octal. */
static u64 number(struct value *v)
{
	u64 result = 0;
	u32 base = 10;

	if (v->p < v->end && *v->p == '0') {
		base = 8;
		if (v->end - v->p > 2 && (v->p[1] | 0x20) == 'x' &&
		    ((v->p[2] >= '0' && v->p[2] <= '9') || ((v->p[2] | 0x20) >= 'a' && (v->p[2] | 0x20) <= 'f'))) {
			base = 16;
			v->p += 2;
		}
	}
	for (; v->p < v->end; v->p++) {
		char c = *v->p, low = c | 0x20;
		u32 digit = c >= '0' && c <= '9' ? (u32)(c - '0') : low >= 'a' && low <= 'f' ? (u32)(low - 'a' + 10) : 99;

		if (digit >= base)
			break;
		result = result * base + digit;
	}
	return result;
}

/* memparse(): a number and one of the suffixes K, M, G, T, P, E. */
static u64 size(struct value *v)
{
	u64 result = number(v);
	u32 shift = 0;

	if (v->p == v->end)
		return result;
	switch (*v->p | 0x20) {
	case 'e':
		shift += 10; /* fall through */
	case 'p':
		shift += 10; /* fall through */
	case 't':
		shift += 10; /* fall through */
	case 'g':
		shift += 10; /* fall through */
	case 'm':
		shift += 10; /* fall through */
	case 'k':
		shift += 10;
		v->p++;
	}
	return result << shift;
}

/* `nn%ss-from+to`: RAM, reserved or whatever becomes another type. Nothing is done when it ends in anything else. */
static void change_type(struct memory_map *map, struct value v, u64 bytes)
{
	u64 start = size(&v);
	u32 from = 0, to = 0;

	if (v.p < v.end && *v.p == '-') {
		v.p++;
		from = (u32)number(&v);
	}
	if (v.p < v.end && *v.p == '+') {
		v.p++;
		to = (u32)number(&v);
	}
	if (v.p < v.end)
		return;
	if (to && !from)
		map_add(map, start, bytes, to);
	else
		map_change(map, start, bytes, from, to);
}

static void apply_memmap(struct memory_map *map, struct value v)
{
	const char *before = v.p;
	u64 bytes;
	char kind;

	if (v.end - v.p >= 8 && !memcmp(v.p, "exactmap", 8)) {
		map->count = 0;
		return;
	}
	bytes = size(&v);
	if (v.p == before)
		return;
	kind = v.p < v.end ? *v.p++ : 0;
	if (kind == '%')
		change_type(map, v, bytes);
	else if (kind == '@')
		map_add(map, size(&v), bytes, E820_RAM);
	else if (kind == '#')
		map_add(map, size(&v), bytes, E820_ACPI);
	else if (kind == '$')
		map_add(map, size(&v), bytes, E820_RESERVED);
	else if (kind == '!')
		map_add(map, size(&v), bytes, E820_PRAM);
	else
		map_change(map, bytes, ~0ull, E820_RAM, NOTHING);
}

void apply_memory_words(struct memory_map *map, const char *line)
{
	struct value value, one;
	const char *here;

	while (line) {
		here = line;
		if (!next_value(&line, "memmap", &value))
			return;
		while (value.p < value.end) {
			for (one = value; value.p < value.end && *value.p != ','; value.p++)
				;
			one.end = value.p++;
			apply_memmap(map, one);
		}
		next_value(&here, "mem", &value);
		if (value.p < value.end) {
			u64 limit = size(&value);

			if (limit)
				map_change(map, limit, ~0ull, E820_RAM, NOTHING);
		}
	}
}
