/*
 * A QEMU plugin that counts the instructions that a guest with one CPU has executed when it comes to given places. It writes a line
 * "PLACE COUNT" for each visit, COUNT without the instruction there, and holds the CPU at the place that `stop` names, for ever: QEMU's
 * monitor still answers, and whoever started it ends it.
 *
 *   out=FILE         where the lines go
 *   at=NAME:HEX      an address, as the CPU uses it: virtual where paging is on
 *   code=NAME:HEX    a block of instructions that begins with these bytes (up to 16), wherever it is
 *   after=NAME       one of these, named before: the others do not count until its first visit
 *   stop=NAME        the same; more than one can be
 *
 * Each instruction adds one by itself, not each translated block: a block that an exception or interrupt leaves in the middle would be
 * counted whole. Interface: QEMU's docs/devel/tcg-plugins.rst; QEMU 7.2 to 8.x (API 1), whose header no Debian package has.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

typedef uint64_t plugin_id;
struct block;
struct instruction;
enum { ADD_U64 = 0, NO_REGISTERS = 0 };

extern void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id, void (*)(plugin_id, struct block *));
extern void qemu_plugin_register_vcpu_insn_exec_cb(struct instruction *, void (*)(unsigned, void *), int, void *);
extern void qemu_plugin_register_vcpu_insn_exec_inline(struct instruction *, int, void *, uint64_t);
extern size_t qemu_plugin_tb_n_insns(const struct block *);
extern struct instruction *qemu_plugin_tb_get_insn(const struct block *, size_t);
extern const void *qemu_plugin_insn_data(const struct instruction *);
extern size_t qemu_plugin_insn_size(const struct instruction *);
extern uint64_t qemu_plugin_insn_vaddr(const struct instruction *);

EXPORT int qemu_plugin_version = 1;

struct place {
	char name[32];
	uint64_t address;
	unsigned char code[16];
	size_t code_size;	/* 0: a place by its address */
	bool stop;
};

static struct place places[16];
static unsigned place_count;
static const struct place *after;	/* until its visit: NULL as soon as it has come */
static uint64_t executed;
static FILE *out;

static void visited(unsigned cpu, void *data)
{
	const struct place *place = data;

	(void)cpu;
	if (after != NULL && place != after)
		return;
	after = NULL;
	fprintf(out, "%s %llu\n", place->name, (unsigned long long)executed);
	if (!place->stop)
		return;
	fflush(out);
	for (;;)
		pause();
}

/* Whether the block's instructions begin with the place's bytes. */
static bool begins_with(const struct block *block, const struct place *place)
{
	size_t compared = 0;

	for (size_t i = 0; i < qemu_plugin_tb_n_insns(block) && compared < place->code_size; i++) {
		const struct instruction *instruction = qemu_plugin_tb_get_insn(block, i);
		size_t size = qemu_plugin_insn_size(instruction);

		if (size > place->code_size - compared)
			size = place->code_size - compared;
		if (memcmp(qemu_plugin_insn_data(instruction), place->code + compared, size) != 0)
			return false;
		compared += size;
	}
	return compared == place->code_size;
}

static void translated(plugin_id id, struct block *block)
{
	(void)id;
	for (size_t i = 0; i < qemu_plugin_tb_n_insns(block); i++) {
		struct instruction *instruction = qemu_plugin_tb_get_insn(block, i);

		for (unsigned n = 0; n < place_count; n++) {
			struct place *place = &places[n];

			if (place->code_size == 0 ? place->address == qemu_plugin_insn_vaddr(instruction)
						  : i == 0 && begins_with(block, place))
				qemu_plugin_register_vcpu_insn_exec_cb(instruction, visited, NO_REGISTERS, place);
		}
		qemu_plugin_register_vcpu_insn_exec_inline(instruction, ADD_U64, &executed, 1);
	}
}

static struct place *place_named(const char *name)
{
	for (unsigned n = 0; n < place_count; n++) {
		if (strcmp(places[n].name, name) == 0)
			return &places[n];
	}
	return NULL;
}

/* "NAME:HEX" as a new place; false when it is none, or one too many. */
static bool add_place(char *text, bool is_code)
{
	char *hex = strchr(text, ':');
	struct place *place = &places[place_count];

	if (hex == NULL || place_count == sizeof(places) / sizeof(places[0]))
		return false;
	*hex++ = '\0';
	if (strlen(text) >= sizeof(place->name))
		return false;
	strcpy(place->name, text);
	if (!is_code)
		place->address = strtoull(hex, NULL, 16);
	for (; is_code && place->code_size < sizeof(place->code) && hex[0] && hex[1]; hex += 2) {
		char pair[3] = { hex[0], hex[1], '\0' };

		place->code[place->code_size++] = (unsigned char)strtoul(pair, NULL, 16);
	}
	place_count++;
	return !is_code || place->code_size > 0;
}

static bool take_option(char *option)
{
	char *value = strchr(option, '=');
	struct place *place;

	if (value == NULL)
		return false;
	*value++ = '\0';
	if (strcmp(option, "out") == 0)
		return (out = fopen(value, "w")) != NULL;
	if (strcmp(option, "at") == 0 || strcmp(option, "code") == 0)
		return add_place(value, option[0] == 'c');
	place = place_named(value);
	if (place == NULL)
		return false;
	if (strcmp(option, "after") == 0)
		after = place;
	else if (strcmp(option, "stop") == 0)
		place->stop = true;
	else
		return false;
	return true;
}

EXPORT int qemu_plugin_install(plugin_id id, const void *info, int argc, char **argv)
{
	(void)info;
	for (int i = 0; i < argc; i++) {
		if (!take_option(argv[i])) {
			fprintf(stderr, "count-instructions: what is %s?\n", argv[i]);
			return -1;
		}
	}
	if (out == NULL) {
		fprintf(stderr, "count-instructions: out=FILE is missing\n");
		return -1;
	}
	qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
	return 0;
}
