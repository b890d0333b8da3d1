/**
 * What stands before each line of a kernel's log, learned from the log itself: times, levels, hosts, tags, quote marks, of
 * whatever program or person put them there. Pure.
 *
 * The kernel's own lines about a death begin in ways that are known (`beginnings`). What stands before them is a sample; a
 * sample's shape is its words, numbers and marks. Most samples of a log have one shape, and every line that begins in that
 * shape is a line of the kernel. It is a heuristic: `LearnedPrefix.understood` tells whether it holds.
 */

/** A part of a prefix. Blanks between parts do not count: programs pad with them. */
interface Token {
  /** stamp: brackets with a digit between them: a time, a thread. name: of a month or a day: as good as a number. */
  readonly kind: 'stamp' | 'number' | 'name' | 'word' | 'mark';
  readonly text: string;
}

interface Shape {
  /** Without a text, a word may be any: in the samples it was not always the same. */
  readonly tokens: readonly { readonly kind: Token['kind']; readonly text: string | undefined }[];
  /** Blanks between the prefix and what the kernel printed. */
  readonly blanks: number;
}

export interface LearnedPrefix {
  /** Longest first. */
  readonly shapes: readonly Shape[];
  /** false: there is nothing that looks like a kernel's line, or it comes in too many shapes to tell one from the text. */
  readonly understood: boolean;
}

/** Characters of a line in which its prefix must end. */
const longestPrefix = 256;
/** No line that tells anything is shorter. */
const shortestBeginning = 5;
/** Samples after which no more are taken, and shapes that are told apart: more are in no log that has a shape. */
const mostSamples = 50_000;
const mostShapes = 1000;

/** No alternative can match in two ways, and none repeats without a limit: the time is linear in `longestPrefix`. */
const beginnings = new RegExp(
  String.raw`(?<![\w-])(?:` +
    [
      String.raw`Linux version \d`,
      '(?:Kernel )?command line: ',
      'BIOS-e820: ',
      'DMI: ',
      'BUG: ',
      'kernel BUG at ',
      'Oops: ',
      'general protection fault',
      '#PF: ',
      String.raw`CPU: \d{1,6} (?:UID|PID): `,
      'Hardware name: ',
      'E?[RE]IP: ',
      'RSP: [0-9a-f]{4}:',
      '(?:[RE][AD]X|R08|R10|R13|CR2|RBP): [0-9a-f]{4}',
      'Code: ',
      'Call Trace:',
      'Modules linked in:',
      String.raw`---\[ end `,
      String.raw`-{4,20}\[ cut here`,
      'Kernel panic - not syncing',
      'Kernel Offset: ',
      '(?:NMI )?watchdog: ',
      'rcu: ',
      'INFO: (?:task|rcu)',
      'WARNING: ',
      'traps: ',
      'PANIC: ',
      'NMI backtrace for cpu',
      'Sending NMI from CPU',
      'VFS: ',
      'Initramfs unpacking failed',
      'UBSAN: ',
      'refcount_t: ',
      'usercopy: ',
      'Out of memory: ',
      'x86/split lock detection: ',
    ].join('|') +
    ')',
  'i',
);
/** Of a log without any of these: the time of printk, and its thread. */
const stampAlone = /\[ {0,12}\d{1,10}\.\d{6}\](?:\[ {0,8}[TC]\d{1,10}\])?/;
const caller = /\[ {0,8}[TC]\d{1,10}\] ?/y;
const names =
  /^(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec|Sun|Mon|Tue|Wed|Thu|Fri|Sat)(?:[a-z]{0,6})$/;
const blank = /[ \t]{0,256}/y;
const stamp = /\[[^[\]]{0,60}\]/y;
const number = /\d{1,32}/y;
const word = /[\p{L}_]{1,64}/uy;

function at(pattern: RegExp, text: string, index: number): string | undefined {
  pattern.lastIndex = index;
  return pattern.exec(text)?.[0];
}

/** The part that begins at `index`, which is no blank. */
function tokenAt(text: string, index: number): Token {
  const brackets = at(stamp, text, index);
  if (brackets !== undefined && /\d/.test(brackets)) return { kind: 'stamp', text: brackets };
  const digits = at(number, text, index);
  if (digits !== undefined) return { kind: 'number', text: digits };
  const letters = at(word, text, index);
  if (letters !== undefined) return { kind: names.test(letters) ? 'name' : 'word', text: letters };
  return { kind: 'mark', text: text.charAt(index) };
}

function tokensOf(text: string): readonly Token[] {
  const tokens: Token[] = [];
  for (let index = 0; ;) {
    index += at(blank, text, index)?.length ?? 0;
    if (index >= text.length) return tokens;
    const token = tokenAt(text, index);
    tokens.push(token);
    index += token.text.length;
  }
}

interface Candidate {
  readonly tokens: { readonly kind: Token['kind']; text: string | undefined }[];
  blanks: number;
  votes: number;
}

/** Learns what stands before the lines. */
export function learnPrefix(lines: readonly string[]): LearnedPrefix {
  const told = candidatesOf(lines, (line) => beginnings.exec(line)?.index);
  const votes = told ?? candidatesOf(lines, afterStamp);
  if (votes === undefined) return { shapes: [{ tokens: [], blanks: 0 }], understood: false };
  const [best, ...others] = [...votes.values()].sort((a, b) => b.votes - a.votes);
  if (best === undefined) return { shapes: [{ tokens: [], blanks: 0 }], understood: false };
  const all = [...votes.values()].reduce((sum, candidate) => sum + candidate.votes, 0);
  // A log may be two: the beginning as the kernel printed it, the rest as somebody quoted it.
  const accepted = [
    best,
    ...others.filter(
      (other) =>
        other.votes >= Math.max(2, all / 5) &&
        other.tokens.some(({ kind }) => kind === 'stamp' || kind === 'number') &&
        (best.tokens.length === 0 || !extendsShape(other, best)),
    ),
  ];
  const taken = accepted.reduce((sum, candidate) => sum + candidate.votes, 0);
  return {
    shapes: accepted.sort((a, b) => b.tokens.length - a.tokens.length),
    // In JSON what follows the text belongs to the format, too.
    understood: taken * 2 >= all && best.tokens[0]?.text !== '{',
  };
}

function afterStamp(line: string): number | undefined {
  const match = stampAlone.exec(line);
  return match === null
    ? undefined
    : match.index + match[0].length + (line[match.index + match[0].length] === ' ' ? 1 : 0);
}

function candidatesOf(
  lines: readonly string[],
  endOfPrefix: (line: string) => number | undefined,
): ReadonlyMap<string, Candidate> | undefined {
  const candidates = new Map<string, Candidate>();
  let samples = 0;
  for (const line of lines) {
    if (line.length < shortestBeginning) continue;
    const end = endOfPrefix(line.length > longestPrefix ? line.slice(0, longestPrefix) : line);
    if (end === undefined) continue;
    if (++samples > mostSamples) break;
    vote(candidates, line.slice(0, end));
  }
  return candidates.size === 0 ? undefined : candidates;
}

function vote(candidates: Map<string, Candidate>, sample: string): void {
  const tokens = tokensOf(sample);
  const key = tokens.map(({ kind, text }) => (kind === 'mark' ? text : kind.charAt(0))).join(' ');
  const blanks = sample.length - sample.trimEnd().length;
  const known = candidates.get(key);
  if (known === undefined) {
    if (candidates.size < mostShapes)
      candidates.set(key, {
        tokens: tokens.map(({ kind, text }) => ({
          kind,
          text: kind === 'word' || kind === 'mark' ? text : undefined,
        })),
        blanks,
        votes: 1,
      });
    return;
  }
  known.votes++;
  known.blanks = Math.min(known.blanks, blanks);
  known.tokens.forEach((token, index) => {
    if (token.kind === 'word' && token.text !== tokens[index]?.text) token.text = undefined;
  });
}

function extendsShape(longer: Candidate, shorter: Candidate): boolean {
  return (
    longer.tokens.length > shorter.tokens.length &&
    shorter.tokens.every(
      ({ kind, text }, index) =>
        longer.tokens[index]?.kind === kind && (kind !== 'mark' || longer.tokens[index]?.text === text),
    )
  );
}

/** Where the kernel's own text begins in a line; undefined: the line does not begin in a learned shape. */
export function endOfPrefix(line: string, { shapes }: LearnedPrefix): number | undefined {
  for (const shape of shapes) {
    const end = matches(line, shape);
    if (end !== undefined) return end;
  }
  return undefined;
}

function matches(line: string, { tokens, blanks }: Shape): number | undefined {
  let index = 0;
  for (const { kind, text } of tokens) {
    index += at(blank, line, index)?.length ?? 0;
    if (index >= line.length || index > longestPrefix) return undefined;
    const token = tokenAt(line, index);
    if (token.kind !== kind || (text !== undefined && token.text !== text)) return undefined;
    index += token.text.length;
  }
  if (tokens.at(-1)?.kind === 'stamp') {
    const thread = at(caller, line, index);
    if (thread !== undefined) return index + thread.length;
  }
  for (let left = blanks; left > 0 && (line[index] === ' ' || line[index] === '\t'); left--) index++;
  return index;
}
