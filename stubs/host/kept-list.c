/*
 * The module's reading of after-reset.bin on the host: kept-list MODULE <LIST. The name of the list's file, if one is opened;
 * then the number of payloads that it tells of, or "refused".
 */
#include <stdio.h>
#include "kept-list.h"

/* In place of Syslinux' own: com32/com32.h. */
void *findpath(char *name)
{
	puts(name);
	return stdin;
}

usize _fread(void *to, usize bytes, void *file)
{
	return fread(to, 1, bytes, file);
}

int main(int argc, char **argv)
{
	const struct kept_list *list;

	if (argc != 2)
		return 2;
	list = read_kept_list(argv[1]);
	if (list)
		printf("%u\n", list->count);
	else
		puts("refused");
	return 0;
}
