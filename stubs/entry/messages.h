/* What the entry stub says, and why it does not arm. docs/messages.md lists all numbers. */
#ifndef SAVEOOPS_MESSAGES_H
#define SAVEOOPS_MESSAGES_H
#include "line.h"

/* The number of the message, which is also in the status node. */
enum reason {
	ARMED = 0,
	PLAN_DAMAGED = 2,
	PART_DAMAGED = 3,
	BAD_E820 = 4,
	NO_ROOM_FOR_REGION = 5,
	NO_ROOM_FOR_KERNEL = 6,
	MEM_ENCRYPT = 7,
	BAD_LZ4 = 8,
	BAD_RELOCATION = 9,
	/* 10 was RAM above 512 GiB */
	BAD_MEMORY_WORDS = 12,
	BAD_SETUP_DATA = 13,
	NOT_AS_EXPECTED = 14,
	NO_ROOM_FOR_IMAGE = 40,
	NO_EVENT = 41,
	KERNEL_NOT_FOUND = 42,
};

/* Why the primary boots unarmed, once that is so. */
struct refusal {
	enum reason reason;
	struct line why;
};

extern struct refusal refusal;

/* Not armed, for that reason. Gives -1. */
int refuse(enum reason reason, const char *why);

/* The line that says so, and what says it: on screen and serial port, or there only. */
void add_refusal(struct line *line);
void tell_refusal(void);
void tell_refusal_on_serial(void);

/* A whole line, with its end. */
void tell(const char *text);

#endif
