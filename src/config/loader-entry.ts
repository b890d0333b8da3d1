/**
 * Entries of the Boot Loader Specification, type #1: loader/entries/NAME.conf on the ESP or XBOOTLDR, as kernel-install writes them and
 * systemd-boot reads them. A line is a key, blanks, a value; # begins a comment; some keys (options, initrd) may come again.
 *
 * A name may end in a boot counter: NAME+LEFT.conf or NAME+LEFT-DONE.conf. systemd-boot counts by renaming, and what has no try left
 * goes to the end of the menu. The entry's id is NAME.conf.
 */

export interface EntryName {
  /** Without counter and ".conf". */
  readonly name: string;
  /** "+3", "+2-1", or "". */
  readonly counter: string;
}

/** undefined: no name of an entry. */
export function parseEntryName(file: string): EntryName | undefined {
  const [, name, counter = ''] = /^(.+?)(\+\d+(?:-\d+)?)?\.conf$/.exec(file) ?? [];
  return name === undefined ? undefined : { name, counter };
}

/** Value of a key; undefined: no such line. */
export function entryValue(text: string, key: string): string | undefined {
  for (const line of text.split('\n')) {
    const [, found, value] = /^[ \t]*([^\s#]+)[ \t]+(.*?)[ \t\r]*$/.exec(line) ?? [];
    if (found === key) return value;
  }
  return undefined;
}

export interface EntryChange {
  /** Put behind the title. */
  readonly title: string;
  /** The path of the kernel, or of the unified kernel image, from the root of the file system; undefined: as it is. */
  readonly linux?: string;
  /** Added to the command line. */
  readonly words: readonly string[];
  /** In place of the one that is there, at the top, so that a reader of the file sees it. */
  readonly sortKey?: string;
}

/** An entry like `text`, with these things changed: whatever else it says, it says, too. latin1 in, latin1 out. */
export function changedEntry(text: string, { title, linux, words, sortKey }: EntryChange): string {
  const lines = text.split('\n').filter((line) => line.trim() !== '' && !line.startsWith('#'));
  const changed = lines.flatMap((line) => {
    const [, before = '', key = ''] = /^([ \t]*(\S+)[ \t]+)/.exec(line) ?? [];
    if (key === 'title') return [`${line.trimEnd()}${title}`];
    if ((key === 'linux' || key === 'efi') && linux !== undefined) return [`${before}${linux}`];
    if (key === 'sort-key' && sortKey !== undefined) return [];
    return [line.trimEnd()];
  });
  return [
    '# Written by saveoops update.',
    ...changed,
    ...(sortKey === undefined ? [] : [`sort-key   ${sortKey}`]),
    ...(words.length === 0 ? [] : [`options    ${words.join(' ')}`]),
    '',
  ].join('\n');
}
