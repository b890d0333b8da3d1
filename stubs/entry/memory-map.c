/* See memory-map.h. Nothing here knows where a map comes from. */
#include "memory-map.h"
#include "machine.h"

void map_add(struct memory_map *map, u64 start, u64 size, u32 type)
{
	if (!size)
		return;
	if (start + size < start || map->count == MAP_MAX) {
		map->bad = 1;
		return;
	}
	map->span[map->count++] = (struct span){ start, start + size, type };
}

void map_change(struct memory_map *map, u64 start, u64 size, u32 from, u32 to)
{
	u64 end = size > ~0ull - start ? ~0ull : start + size;
	u32 i, n = map->count;

	for (i = 0; i < n; i++) {
		struct span old = map->span[i];

		if ((from != ANY_TYPE && old.type != from) || old.end <= start || end <= old.start)
			continue;
		map->span[i] = (struct span){ MAX(start, old.start), MIN(end, old.end), to };
		if (old.start < start)
			map_add(map, old.start, start - old.start, old.type);
		if (end < old.end)
			map_add(map, end, old.end - end, old.type);
	}
}

/* The highest type that covers address; the end of where that is so in *end. */
static u32 type_at(const struct memory_map *map, u64 address, u64 *end)
{
	u32 i, type = NOTHING;

	*end = ~0ull;
	for (i = 0; i < map->count; i++) {
		const struct span *s = &map->span[i];

		if (s->start > address)
			*end = MIN(*end, s->start);
		else if (s->end > address)
			*end = MIN(*end, s->end);
		if (s->start <= address && address < s->end)
			type = MAX(type, s->type);
	}
	return type;
}

void map_tidy(struct memory_map *map)
{
	static struct memory_map tidy;
	u64 address = 0, end;

	tidy.count = 0;
	tidy.bad = map->bad;
	for (; address != ~0ull; address = end) {
		struct span *last = tidy.count ? &tidy.span[tidy.count - 1] : NULL;
		u32 type = type_at(map, address, &end);

		if (type == NOTHING)
			continue;
		if (last && last->type == type && last->end == address)
			last->end = end;
		else
			map_add(&tidy, address, end - address, type);
	}
	memcpy(map, &tidy, sizeof(tidy));
}

int map_is(const struct memory_map *map, u64 start, u64 size, u32 type)
{
	u32 i;

	for (i = 0; i < map->count; i++)
		if (map->span[i].type == type && map->span[i].start <= start && start + size <= map->span[i].end)
			return 1;
	return 0;
}

u64 map_sum(const struct memory_map *map, u32 type)
{
	u64 sum = 0;
	u32 i;

	for (i = 0; i < map->count; i++)
		if (map->span[i].type == type)
			sum += map->span[i].end - map->span[i].start;
	return sum;
}
