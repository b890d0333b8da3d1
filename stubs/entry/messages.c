/* Why the primary boots unarmed, as a line of text: tell.c says it. */
#include "messages.h"

struct refusal refusal;

int refuse(enum reason reason, const char *why)
{
	refusal.reason = reason;
	refusal.why.used = 0;
	add_text(&refusal.why, why);
	return -1;
}

void add_refusal(struct line *line)
{
	add_text(line, "saveoops: E");
	if (refusal.reason < 10)
		add_text(line, "0");
	add_decimal(line, refusal.reason);
	add_text(line, " not armed: ");
	add_text(line, refusal.why.text);
	add_text(line, "\n");
}
