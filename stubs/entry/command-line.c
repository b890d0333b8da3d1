/* The kernel command line, as far as it decides what the entry stub does. */
#include "entry.h"

const char *command_line(void)
{
	return at(state.boot_params->cmd_line_ptr | (u64)state.boot_params->ext_cmd_line_ptr << 32);
}

static const char *end_of_word(const char *p)
{
	while (*p && *p != ' ')
		p++;
	return p;
}

const char *next_option(const char *before, const char *name)
{
	const char *p = before ? end_of_word(before) : command_line();
	usize n = length_of(name);

	while (p && *p) {
		while (*p == ' ')
			p++;
		if (!memcmp(p, name, MIN(n, length_of(p))) && length_of(p) >= n &&
		    (name[n - 1] == '=' || p[n] == ' ' || !p[n]))
			return p + n;
		p = end_of_word(p);
	}
	return NULL;
}

const char *find_option(const char *name)
{
	const char *found = NULL, *next;

	for (next = next_option(NULL, name); next; next = next_option(next, name))
		found = next;
	return found;
}

int option_is(const char *name, const char *value)
{
	const char *found = find_option(name);
	usize n = length_of(value);

	return found && length_of(found) >= n && !memcmp(found, value, n) && (found[n] == ' ' || !found[n]);
}

/*
 * Appends every word of the command line that begins with prefix to line, each behind a space, in order. 0, or -1 when
 * line would become longer than limit: it then stays as it was.
 */
int append_words(char *line, usize limit, const char *prefix)
{
	const char *p = command_line();
	usize before = length_of(line), used = before, n = length_of(prefix);

	while (p && *p) {
		usize size = 0;

		while (*p == ' ')
			p++;
		while (p[size] && p[size] != ' ')
			size++;
		if (size >= n && !memcmp(p, prefix, n)) {
			if (used + 1 + size > limit) {
				line[before] = 0;
				return -1;
			}
			line[used++] = ' ';
			memcpy(line + used, p, size);
			used += size;
		}
		p += size;
	}
	line[used] = 0;
	return 0;
}
