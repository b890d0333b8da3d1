/** The part of a kernel's log that is the same in each boot of the same machine. */
import { expect } from '@jest/globals';

/**
 * The kernel log up to the start of the second CPU's bring-up: one CPU, no concurrency, so the same lines in the
 * same order each time, but for the clock's measurements, which go.
 * @param dmesg lines without time stamps
 */
export function earlyLog(dmesg: readonly string[]): readonly string[] {
  const end = dmesg.findIndex((line) => line.startsWith('smp: Bringing up secondary CPUs'));
  expect(end).toBeGreaterThan(50);
  return (
    dmesg
      .slice(0, end)
      .filter(
        (line) => !/\btsc\b|tsc-early|BogoMIPS|calibrat|APIC delta|^clocksource: |^random: /i.test(line),
      )
      // check_timer() waits for ticks of the 8254: on a busy host an emulated one comes too late.
      .filter((line) => !/^\.\.MP-BIOS bug: 8254|^\.{3}trying to set up timer|^\.{5,7} /.test(line))
      // mc146818_avoid_UIP(): said when the clock was just counting on, and udelay() of a busy host made that long.
      .filter((line) => !line.startsWith('Reading current time from RTC took around '))
  );
}

/** A line of dmesg without its time stamp. */
export const withoutStamp = (line: string): string => line.replace(/^\[ *\d+\.\d+\] /, '');
