/** Wall clock, processor time and memory of a program with all that it starts. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, readdirSync } from 'node:fs';

export interface Cost {
  /** Seconds by the clock. */
  readonly wall: number;
  /** Seconds of user and system time, of the program and all processes that were waited for. */
  readonly cpu: number;
  /** Most bytes of RAM that the processes had at one time, looked at every 20 ms; what several share counts once (PSS). */
  readonly peak: number;
}

const interval = 20;

/** Runs a program to its end. Throws with what it said when it fails. */
export async function measured(program: string, args: readonly string[]): Promise<Cost> {
  const started = performance.now();
  // `times` of a shell is the kernel's own accounting: its second line is of the children.
  const shell = spawn('bash', ['-c', '"$@" >&2 || exit; times', 'bash', program, ...args]);
  let [said, times, peak] = ['', '', 0];
  shell.stderr.on('data', (data: Buffer) => (said += data.toString()));
  shell.stdout.on('data', (data: Buffer) => (times += data.toString()));
  const sampler = setInterval(() => {
    peak = Math.max(peak, residentBytes(shell.pid ?? 0));
  }, interval);
  const [status] = (await once(shell, 'close')) as [number | null];
  clearInterval(sampler);
  const wall = (performance.now() - started) / 1000;
  if (status !== 0) throw new Error(`${args.join(' ')}: ${said}`);
  const [, children = ''] = times.split('\n');
  const parts = [...children.matchAll(/(\d+)m([\d.]+)s/g)];
  return {
    wall,
    peak,
    cpu: parts.reduce((sum, [, minutes, rest]) => sum + 60 * Number(minutes) + Number(rest), 0),
  };
}

/** Of a process and its descendants; those that end meanwhile do not count. */
function residentBytes(pid: number): number {
  try {
    // Not RSS: a child that was forked and has not yet called execve() would count as a second Node.
    const [, resident] = /^Pss:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8')) ?? [];
    const children = readdirSync(`/proc/${pid}/task`).flatMap((task) =>
      readFileSync(`/proc/${pid}/task/${task}/children`, 'utf8')
        .split(' ')
        .filter((each) => each !== ''),
    );
    return children.reduce((sum, child) => sum + residentBytes(Number(child)), Number(resident ?? 0) * 1024);
  } catch {
    return 0;
  }
}
