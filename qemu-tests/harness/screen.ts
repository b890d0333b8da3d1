/** What a screenshot shows, cell by cell: characters are read by comparing pixels with those of a known drawing. */
import { readFile } from 'node:fs/promises';
import type { QmpClient } from '../../src/machine/qmp.js';

export interface Screen {
  readonly width: number;
  readonly height: number;
  /** Three bytes a pixel: red, green, blue. */
  readonly pixels: Buffer;
}

/** Characters by the pixels of their cell of 8x16, row by row, '#' for every pixel that is not black. */
export type Glyphs = ReadonlyMap<string, string>;

const glyphWidth = 8;
const glyphHeight = 16;
/** Stands for a cell that shows no known character. */
export const unreadable = '\ufffd';

/** The machine's screen now, kept in the file `path`. */
export async function screenOf(qmp: QmpClient, path: string): Promise<Screen> {
  await qmp.screenshot(path);
  return parsePpm(await readFile(path));
}

/** A binary PPM (netpbm's "P6") with 8 bits a colour, as QEMU writes it. */
function parsePpm(bytes: Buffer): Screen {
  const head = /^P6\s+(\d+)\s+(\d+)\s+255\s/.exec(bytes.toString('latin1', 0, 64));
  if (head === null) throw new Error(`no PPM: ${bytes.toString('latin1', 0, 16)}`);
  const [width, height] = [Number(head[1]), Number(head[2])];
  const pixels = bytes.subarray(head[0].length);
  if (pixels.length !== width * height * 3) throw new Error(`${pixels.length} bytes of pixels`);
  return { width, height, pixels };
}

export function sizeOf({ width, height }: Screen): string {
  return `${width}x${height}`;
}

/** Colours in a row of text, "rrggbb", sorted. */
export function coloursOf({ width, pixels }: Screen, row: number): readonly string[] {
  const line = 3 * width * glyphHeight;
  const part = pixels.subarray(row * line, (row + 1) * line).toString('hex');
  return [...new Set(part.match(/.{6}/g))].sort();
}

function cell(screen: Screen, x: number, y: number, width: number): string {
  let drawn = '';
  for (let line = 0; line < glyphHeight; line++) {
    for (let column = 0; column < width; column++) {
      const at = 3 * ((y + line) * screen.width + x + column);
      drawn += screen.pixels.readUIntBE(at, 3) === 0 ? ' ' : '#';
    }
  }
  return drawn;
}

/** Glyphs from a graphics screen of 8x16 cells that shows `rows` from the top left on. */
export function learnGlyphs(screen: Screen, rows: readonly string[]): Glyphs {
  const glyphs = new Map<string, string>();
  rows.forEach((row, y) => {
    [...row].forEach((character, x) => {
      glyphs.set(cell(screen, x * glyphWidth, y * glyphHeight, glyphWidth), character);
    });
  });
  return glyphs;
}

/** The rows of a VGA text screen: cells of 9x16, the ninth column empty. Without the spaces at their ends. */
export function readTextScreen(screen: Screen, glyphs: Glyphs): readonly string[] {
  const wide = new Map(
    [...glyphs].map(([drawn, character]) => [drawn.replace(/.{8}/g, '$& '), character] as const),
  );
  return readCells(screen, wide, glyphWidth + 1);
}

/** The rows of a graphics screen on which a console driver draws cells of 8x16. */
export function readGraphicsScreen(screen: Screen, glyphs: Glyphs): readonly string[] {
  return readCells(screen, glyphs, glyphWidth);
}

function readCells(screen: Screen, glyphs: Glyphs, cellWidth: number): readonly string[] {
  return Array.from({ length: Math.floor(screen.height / glyphHeight) }, (_, y) =>
    Array.from({ length: Math.floor(screen.width / cellWidth) }, (__, x) => {
      const drawn = cell(screen, x * cellWidth, y * glyphHeight, cellWidth);
      return glyphs.get(drawn) ?? unreadable;
    })
      .join('')
      .trimEnd(),
  );
}

/** Glyphs of ASCII from a font of 8x16: a byte a line, its most significant bit left. */
export function glyphsOfFont(font: Uint8Array): Glyphs {
  const glyphs = new Map<string, string>();
  // The space last: of the characters that draw nothing it is the one meant.
  for (let code = 0x7e; code >= 0x20; code--) {
    const lines = [...font.subarray(code * glyphHeight, (code + 1) * glyphHeight)];
    const drawn = lines.map((line) => line.toString(2).padStart(8, '0')).join('');
    glyphs.set(drawn.replaceAll('0', ' ').replaceAll('1', '#'), String.fromCharCode(code));
  }
  return glyphs;
}

/** 'A' in the font of the IBM VGA, lines 0 to 15. */
const letterA = Buffer.from('000010386cc6c6fec6c6c6c600000000', 'hex');
/** Where the font of the VGA BIOS in SeaBIOS has other drawings than Linux's: it is made for cells of 9 pixels. */
const drawnOtherwise = /[0MTVWXYZ`fmvwx|~]/g;

/** Characters as QEMU's VGA BIOS draws them: of no kernel, and not known to Saveoops. */
async function glyphsOfVgaBios(): Promise<Glyphs> {
  const rom = await readFile('/usr/share/seabios/vgabios-stdvga.bin');
  const at = rom.indexOf(letterA) - glyphHeight * 'A'.charCodeAt(0);
  if (at < 0) throw new Error('lost: the VGA BIOS has no font');
  return glyphsOfFont(rom.subarray(at));
}

/**
 * The rows of a screen as glyphsOfVgaBios() reads them: of a text screen with its cells of 9x16, else of cells of 8x16, which the last screen
 * doubles on 1280x800 and more.
 */
export async function lettersOf(screen: Screen): Promise<readonly string[]> {
  const glyphs = await glyphsOfVgaBios();
  if (sizeOf(screen) === '720x400') return readTextScreen(screen, glyphs);
  return readGraphicsScreen(screen.width >= 1280 ? halved(screen) : screen, glyphs);
}

/** Every second pixel of every second line. */
function halved({ width, height, pixels }: Screen): Screen {
  const [columns, lines] = [width >> 1, height >> 1];
  const kept = Array.from({ length: columns * lines }, (_, i) => {
    const at = 3 * (2 * Math.floor(i / columns) * width + 2 * (i % columns));
    return pixels.subarray(at, at + 3);
  });
  return { width: columns, height: lines, pixels: Buffer.concat(kept) };
}

/** The lowest row of a frame buffer, where both stubs write, as glyphsOfVgaBios() reads it. */
export async function lastRow(qmp: QmpClient, path: string): Promise<string | undefined> {
  return readGraphicsScreen(await screenOf(qmp, path), await glyphsOfVgaBios()).at(-1);
}

/** What lastRow() gives of a text that is drawn in Linux's font. */
export function asReadByVgaBios(text: string): string {
  return text.replaceAll(drawnOtherwise, unreadable);
}

/**
 * The rows that a VGA in text mode of 80x25 shows, by its memory: characters at even addresses from where register 0x0c
 * and 0x0d of the CRT controller say. No pixel is read, so no font need be known.
 * @param path of a file for the memory
 */
export async function textModeRows(qmp: QmpClient, path: string): Promise<readonly string[]> {
  const monitor = async (line: string): Promise<string> =>
    String(await qmp.execute('human-monitor-command', { 'command-line': line }));
  const register = async (index: number): Promise<number> => {
    await monitor(`o /b 0x3d4 ${index}`);
    return Number(/= *(0x[0-9a-f]+)/i.exec(await monitor('i /b 0x3d5'))?.[1]);
  };
  const start = 2 * (((await register(0x0c)) << 8) | (await register(0x0d)));
  await qmp.saveMemory(0xb8000n, 0x8000, path);
  const memory = await readFile(path);
  return Array.from({ length: 25 }, (_, y) =>
    Array.from({ length: 80 }, (__, x) =>
      String.fromCharCode(memory.readUInt8((start + 2 * (80 * y + x)) % memory.length)),
    )
      .join('')
      .trimEnd(),
  );
}
