/*
 * Guest program: sets a hardware breakpoint on every CPU (perf_event_open(2), PERF_TYPE_BREAKPOINT), says so and waits
 * for ever, so that the debug registers are in use when the kernel dies. Without libc: the guest has none.
 */
#include <asm/unistd.h>
#include <linux/hw_breakpoint.h>
#include <linux/perf_event.h>

static long call(long number, long a, long b, long c, long d, long e)
{
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	long result;

	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8)
			 : "rcx", "r11", "memory");
	return result;
}

static volatile long watched;

void _start(void)
{
	static const char set[] = "guest: breakpoints set\n";
	struct perf_event_attr attr = { .type = PERF_TYPE_BREAKPOINT, .size = sizeof(attr), .bp_type = HW_BREAKPOINT_W,
					.bp_addr = (unsigned long)&watched, .bp_len = HW_BREAKPOINT_LEN_8 };
	long cpu = 0;

	while (call(__NR_perf_event_open, (long)&attr, -1, cpu, -1, 0) >= 0)
		cpu++;
	if (cpu)
		call(__NR_write, 1, (long)set, sizeof(set) - 1, 0, 0);
	for (;;)
		call(__NR_pause, 0, 0, 0, 0, 0);
}
