/* The chain of setup_data nodes (Documentation/arch/x86/boot.rst, "setup_data"): what the loader hands on beside boot_params. */
#include "entry.h"
#include "messages.h"

/* Far more than any loader has: EFI's passes one for each PCI device with a ROM. A longer chain is a loop. */
#define MAX_NODES 128

int avoid_setup_data(void)
{
	u64 node = state.boot_params->setup_data;
	u32 count;

	for (count = 0; node; count++) {
		const struct setup_data *data = at(node);
		const struct setup_indirect *indirect = (const struct setup_indirect *)(data + 1);

		if (count == MAX_NODES || !reach(node, sizeof(*data)) || !reach(node, sizeof(*data) + data->len))
			return refuse(BAD_SETUP_DATA, "the chain of setup_data cannot be followed");
		avoid(node, sizeof(*data) + data->len);
		if (data->type == SETUP_INDIRECT && data->len >= sizeof(*indirect))
			avoid(indirect->address, indirect->len);
		node = data->next;
	}
	return 0;
}

void add_e820_extension(struct memory_map *map)
{
	const struct setup_data *data;
	u64 node;
	u32 i;

	for (node = state.boot_params->setup_data; node; node = data->next) {
		const struct e820_entry *e = at(node + sizeof(*data));

		data = at(node);
		if (data->type == SETUP_E820_EXT)
			for (i = 0; i < data->len / sizeof(*e); i++)
				map_add(map, e[i].start, e[i].size, e[i].type);
	}
}

void chain_status_node(u64 place, u32 reason)
{
	struct status_node *n = at(place);

	n->head = (struct setup_data){ state.boot_params->setup_data, SETUP_SAVEOOPS, sizeof(*n) - sizeof(n->head) };
	n->version = 2;
	n->reason = reason;
	n->region_size = reason ? 0 : plan.region_size;
	n->boot_watchdog = state.boot_watchdog;
	n->unused = 0;
	state.boot_params->setup_data = place;
}
