/**
 * Takes out of a log what a stranger need not know: secrets on command lines, serial numbers, MAC addresses, host names. Pure.
 * It is a heuristic, by the ways in which kernels and collectors print these: whoever sends the result reads it before.
 *
 * The same value becomes the same word everywhere, so that one can still see what belongs together.
 */

/** Words of a command line whose value is a secret, by a part of their name. */
const secretName = /pass|secret|token|key|psk|credential|auth|login|user/i;
/** Its names that hold such a part and are none: they say how, not what. */
const publicName =
  /^(?:keymap|vconsole\.keymap|rd\.vconsole\.keymap|keyboard|.*\.user_?namespaces?|i8042\..*|atkbd\..*)$/i;
/** user:password@ of a URL, or of netroot=iscsi:. */
const credentials = /(?<=[:/=])[^\s:/@="]{1,128}:[^\s:/@="]{1,128}(?=@)/g;
const mac = /(?<![0-9a-f:-])[0-9a-f]{2}(?:([:-])[0-9a-f]{2})(?:\1[0-9a-f]{2}){4}(?![0-9a-f:-])/gi;
/** "SerialNumber: 0123", "Serial Number 0123", "S/N: 0123", "serial=0123456": a word with a digit. Not "Serial: 8250/16550". */
const serial =
  /\b(serial ?(?:number|no\.?|#) ?[:=]? ?|s\/n ?[:=]? ?|serial ?[:=] ?(?=[\w.-]{6}))(?=[\w.-]{0,63}\d)([\w.-]{3,64})(?![\w/.-])/gi;
const hostTold = [
  /\bHostname set to <([^\s<>]{1,64})>/,
  /\bSet hostname to <([^\s<>]{1,64})>/,
  /(?:^|\s)(?:systemd\.hostname|hostname|host)=([A-Za-z0-9][\w.-]{0,63})/,
  // ip=CLIENT:SERVER:GATEWAY:MASK:HOSTNAME:... (Documentation/admin-guide/nfs/nfsroot.rst)
  /(?:^|\s)ip=[^\s:]{0,64}:[^\s:]{0,64}:[^\s:]{0,64}:[^\s:]{0,64}:([A-Za-z0-9][\w.-]{0,63})/,
];
/** Names that every other machine has tell nothing, and are words of logs. */
const commonNames = new Set([
  'localhost',
  'localhost.localdomain',
  'debian',
  'ubuntu',
  'fedora',
  'linux',
  'kernel',
  'none',
]);
const mostValues = 1000;

export type Redacted = 'secret' | 'serial' | 'MAC' | 'host';

export class Redactor {
  readonly #words = new Map<string, string>();
  readonly #counts: Record<Redacted, number> = { secret: 0, serial: 0, MAC: 0, host: 0 };
  readonly #known: RegExp | undefined;

  /** @param texts all that will be redacted: what one gives away of a name or a secret, another may hold bare */
  constructor(texts: readonly string[], hosts: readonly string[]) {
    for (const host of hosts) this.#learnHost(host);
    for (const text of texts) for (const line of text.split('\n')) this.#learn(line.slice(0, 8192));
    const values = [...this.#words.keys()].sort((a, b) => b.length - a.length);
    if (values.length > 0)
      this.#known = new RegExp(`(?<![\\w.-])(?:${values.map(literal).join('|')})(?![\\w-])`, 'g');
  }

  /** How many values of each kind were taken out so far. */
  get counts(): Readonly<Record<Redacted, number>> {
    return this.#counts;
  }

  redact(text: string): string {
    const known = this.#known;
    const bare = known === undefined ? text : text.replace(known, (value) => this.#words.get(value) ?? value);
    return bare
      .replace(mac, (value) => this.#word('MAC', value.toLowerCase()))
      .replace(serial, (_, name: string, value: string) => `${name}${this.#word('serial', value)}`);
  }

  #learn(line: string): void {
    for (const pattern of hostTold) this.#learnHost(pattern.exec(line)?.[1] ?? '');
    for (const [value] of line.matchAll(credentials)) this.#word('secret', value);
    // Values in quotes may have blanks.
    for (const [, name = '', quoted, plain] of line.matchAll(
      /(?<![\w.-])([A-Za-z][\w.-]{0,63})=(?:"([^"\n]{1,512})"|([^\s"]{1,512}))/g,
    )) {
      const value = quoted ?? plain ?? '';
      if (secretName.test(name) && !publicName.test(name) && value.length >= 3) this.#word('secret', value);
    }
  }

  #learnHost(name: string): void {
    const [short = ''] = name.split('.', 1);
    for (const each of [name, short])
      if (each.length >= 3 && !commonNames.has(each.toLowerCase()) && !/^\d+$/.test(each))
        this.#word('host', each);
  }

  #word(kind: Redacted, value: string): string {
    const known = this.#words.get(value);
    if (known !== undefined) return known;
    if (this.#words.size >= mostValues) return `<${kind}>`;
    const word = `<${kind} ${++this.#counts[kind]}>`;
    this.#words.set(value, word);
    return word;
  }
}

function literal(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\/-]/g, '\\$&');
}
