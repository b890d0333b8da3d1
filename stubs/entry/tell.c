/* Lines on serial port and screen: say.h, draw-line.h. */
#include "draw-line.h"
#include "entry.h"
#include "messages.h"
#include "say.h"

static volatile u8 *page_to_draw(const void *context, u64 physical)
{
	(void)context;
	return at(physical);
}

/* A plan that is damaged does not tell where the font is. */
static const u8 *font(void)
{
	if (refusal.reason == PLAN_DAMAGED || plan.part[PART_FONT].size != FONT_SIZE)
		return NULL;
	return part_bytes(PART_FONT);
}

void tell(const char *text)
{
	const u8 *screen = state.boot_params->screen_info;
	struct frame_buffer pixels = frame_buffer_of(screen);
	int text_mode = is_text_mode(screen);

	say_serial(text);
	say_screen(text, text_mode ? screen[7] : 0, text_mode ? screen[0xe] : 0);
	if (pixels.base && font() && reach(pixels.base, (u64)pixels.height * pixels.line))
		draw_line(&pixels, font(), text, NULL);
}

void tell_refusal(void)
{
	struct line line = { .used = 0 };

	add_refusal(&line);
	tell(line.text);
}

void tell_refusal_on_serial(void)
{
	struct line line = { .used = 0 };

	add_refusal(&line);
	say_serial(line.text);
}
