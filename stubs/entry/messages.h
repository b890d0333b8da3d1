/* What the entry stub says, and why it does not arm. docs/messages.md lists all numbers. */
#ifndef SAVEOOPS_MESSAGES_H
#define SAVEOOPS_MESSAGES_H

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
	TOO_MUCH_RAM = 10,
};

/* A whole line, with its end. */
void tell(const char *text);

/* The line that says why the primary boots unarmed. */
void tell_unarmed(enum reason reason, const char *why);

#endif
