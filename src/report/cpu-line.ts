/** The lines by which the kernel says who it was working for. */

export interface CpuLine {
  readonly cpu: number;
  readonly pid: number | undefined;
  readonly comm: string | undefined;
  /** As printed, "G        W  OE"; "" when not tainted. */
  readonly taint: string;
}

/** A name of a process is a user's to choose, blanks and all; the kernel keeps 15 bytes of it. */
const begins = /^CPU: ?(\d{1,6}) {1,4}(?:UID: ?\d{1,10} {1,4})?PID: ?(\d{1,10}) {1,4}Comm: ?/i;
/** Distributions of Red Hat's kind print it behind the name. A process that is called so to its end loses that. */
const kdump = / Kdump: loaded$/;
const clean = ' Not tainted ';
const tainted = ' Tainted: ';

/** `CPU: 0 PID: 125 Comm: insmod Tainted: G   W   6.1.0 #1`; undefined for anything else. */
export function parseCpuLine(text: string): CpuLine | undefined {
  const match = begins.exec(text);
  if (match === null) return undefined;
  const rest = text.slice(match[0].length);
  const [cpu, pid] = [Number(match[1]), Number(match[2])];
  // The last: what stands before it may be part of the name.
  const cleanAt = rest.lastIndexOf(clean);
  const taintedAt = rest.lastIndexOf(tainted);
  const at = Math.max(cleanAt, taintedAt);
  if (at < 0) return { cpu, pid, comm: rest.trim() || undefined, taint: '' };
  const comm = rest.slice(0, at).replace(kdump, '');
  return { cpu, pid, comm, taint: cleanAt > taintedAt ? '' : leadingFlags(rest.slice(at + tainted.length)) };
}

/** Flags end where the release begins: the first word that is not capital letters alone. */
function leadingFlags(text: string): string {
  const words = text.split(' ');
  const end = words.findIndex((word) => word !== '' && !/^[A-Z]{1,32}$/.test(word));
  return words
    .slice(0, end < 0 ? words.length : end)
    .join(' ')
    .trimEnd();
}

/** `... [hostname:125]` of a soft lockup. */
export function parseLockupTask(text: string): CpuLine | undefined {
  const cpu = /CPU#(\d{1,6}) /.exec(text)?.[1];
  const task = text.slice(text.indexOf('[') + 1, text.lastIndexOf(']'));
  return cpu === undefined ? undefined : { cpu: Number(cpu), ...nameAndPid(task), taint: '' };
}

/** `INFO: task hostname:125 blocked for more than ...`. */
export function parseHungTask(text: string): Pick<CpuLine, 'pid' | 'comm'> {
  const begin = 'INFO: task '.length;
  return nameAndPid(text.slice(begin, Math.max(begin, text.lastIndexOf(' blocked for more than '))));
}

function nameAndPid(text: string): Pick<CpuLine, 'pid' | 'comm'> {
  const colon = text.lastIndexOf(':');
  const pid = text.slice(colon + 1);
  if (colon < 0 || !/^\d{1,10}$/.test(pid)) return { comm: undefined, pid: undefined };
  return { comm: text.slice(0, colon), pid: Number(pid) };
}
