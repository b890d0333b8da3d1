/** The guest whose kernel dies: it enters `crimeScene` at a moment that a debugger can wait for. */
import { guestInitramfs } from '../harness/guest.js';

/** The system call of hostname(1), which nothing else enters during a boot. */
export const crimeScene = '__x64_sys_sethostname';
/** A function of the serial driver's write, under the console's lock and the port's. */
export const consoleWrite = 'wait_for_lsr';

export const guestWaits = 'guest: waits';
export const guestLives = 'guest: still running';

/** What the guest does once it is up: `KIND=` on the kernel's command line, which init gets as a variable. */
export type GuestTask =
  /** Enters the scene once, on the last CPU, and says guestLives when it is back. */
  | 'scene'
  /** The same on the first CPU, the only one that gets NMIs from outside. */
  | 'scene-first'
  | 'sysrq'
  /** Says guestWaits and sleeps. */
  | 'wait'
  /** Every CPU enters the scene, again and again. */
  | 'crowd'
  /** The first CPU enters the scene, again and again; the last one writes to the console. */
  | 'console';

const script = `
last=$(($(nproc) - 1))
each() { while :; do taskset -c $1 hostname crime; done; }
case $KIND in
  scene) taskset -c $last hostname crime ;;
  scene-first) taskset -c 0 hostname crime ;;
  sysrq) echo c >/proc/sysrq-trigger ;;
  wait) echo "${guestWaits}"; exec sleep 1000 ;;
  crowd) for cpu in $(seq 0 $last); do each $cpu & done; wait ;;
  console)
    dmesg -n 8
    taskset -c $last sh -c 'while :; do echo "a line for the console" >/dev/kmsg; sleep 1; done' &
    each 0
    ;;
esac
echo "${guestLives}"
poweroff -f
`;

export async function dyingGuest(): Promise<string> {
  return await guestInitramfs(script);
}
