/* Lines on screen and serial port: see say.h. */
#include "messages.h"
#include "entry.h"
#include "say.h"

struct refusal refusal;

void tell(const char *text)
{
	const u8 *screen = state.boot_params->screen_info;
	int text_mode = screen[6] == 3 || screen[6] == 2;

	say_serial(text);
	say_screen(text, text_mode ? screen[7] : 0, text_mode ? screen[0xe] : 0);
}

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
