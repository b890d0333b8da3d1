/*
 * What the entry stub writes into the armed kernel's text for the hook. All zero: not armed.
 *
 *  offset size
 *  0      8    physical address of the crash region: of the crash stub, too
 *  8      8    first entry of the stub's top-level page table: the crash region and the first 2 MiB, one to one
 *  16     8    quadwords that the sum covers
 *  24     8    the sum over them; also in plan.nosave_word
 *  32     8    the bit of CR3 that tells an encrypted kernel (AMD SME), 0 where the processor has no such thing
 *  40     8    RUNNING_MARK, which an orderly end takes out of struct running; 0: none was left there
 */
#define SLOT_REGION 0
#define SLOT_FIRST_ENTRY 8
#define SLOT_WORDS 16
#define SLOT_SUM 24
#define SLOT_ENCRYPTION 32
#define SLOT_MARK 40
#define SLOTS_SIZE 48

/* The sum: sum = (sum xor word) * SUM_FACTOR for each quadword; any change within one word changes it. */
#define SUM_FACTOR 0x9e3779b97f4a7c15

/* Which entry of the hook led to the crash stub. */
#define HOOK_STOP 0           /* smp_ops.stop_other_cpus: panic() has printed its message; or an early exception */
#define HOOK_CRASH_STOP 1     /* smp_ops.crash_stop_other_cpus: the same, with crash_kexec_post_notifiers */
#define HOOK_CRASH_SHUTDOWN 2 /* machine_ops.crash_shutdown: after the notifiers, if the crash stub asked for that */
