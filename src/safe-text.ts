/**
 * Text of unknown origin made harmless. A log may hold whatever a process wrote to /dev/kmsg, a device said of itself
 * or a broken machine left in memory: escape sequences, characters that turn the reading direction, markup.
 */

/**
 * By Unicode's properties: controls but the tab; format characters, among them direction marks, embeddings and isolates;
 * line and paragraph separators; halves of pairs; what shows nothing at all.
 */
const unsafe = /(?!\t)[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}\p{Default_Ignorable_Code_Point}]/gu;

const longest = 2000;

/** One line for a terminal: what could do anything but show is written as \x1b or \u{202e}. Long lines are cut. */
export function forTerminal(text: string): string {
  return escaped(text.length > longest ? `${text.slice(0, longest)}...` : text);
}

/** Any number of whole lines: line ends stay, nothing is cut. For all that the program prints. */
export function linesForTerminal(text: string): string {
  return text.split('\n').map(escaped).join('\n');
}

function escaped(text: string): string {
  return text.replace(unsafe, (character) => {
    const code = character.codePointAt(0) ?? 0;
    return code < 0x100 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u{${code.toString(16)}}`;
  });
}

const entities: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

/** For the text of an HTML or SVG element, and for an attribute's value in quotes. */
export function forHtml(text: string): string {
  return forTerminal(text).replace(/[&<>"']/g, (character) => entities[character] ?? '');
}

/** JSON whose strings hold no character that a terminal would act upon; a parser gets the original text. */
export function forJson(value: unknown, indent = 2): string {
  return JSON.stringify(value, null, indent).replace(unsafe, (character) =>
    // Line ends are JSON's own here: those of strings are escaped already.
    character === '\n'
      ? character
      : [...Array(character.length).keys()]
          .map((at) => `\\u${character.charCodeAt(at).toString(16).padStart(4, '0')}`)
          .join(''),
  );
}
