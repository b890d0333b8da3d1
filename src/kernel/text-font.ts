/**
 * The kernel's own 8x16 console font (lib/fonts/font_8x16.c): with it both stubs draw their messages on a frame buffer, and
 * the crash stub fills the VGA's font memory, which a graphics mode has overwritten. So Saveoops ships no font.
 */
import { ByteView } from '../bytes/byte-reader.js';
import type { KernelFact } from './evidence.js';
import { offsetInImage } from './flat-image.js';
import type { Kernel } from './load-kernel.js';

const symbol = 'font_vga_8x16';
const description = 'struct font_desc';
const width = 8;
const height = 16;
const characters = 256;
/** One bit a pixel, one byte a line, most significant bit left: what a VGA shows, but for its padding to 32 lines. */
export const textFontSize = characters * height;

/**
 * Link-time virtual address of the font's `textFontSize` bytes; undefined when the kernel has no such font
 * (CONFIG_FONT_8x16=n) or describes it in another way. Throws `missing-fact` when the description or the bytes lie
 * outside the image.
 */
export function findTextFont({ kallsyms, btf, image }: Kernel): bigint | undefined {
  const at = kallsyms.address(symbol);
  const known = ['width', 'height', 'data'].every((member) => btf.hasMember(description, member));
  if (at === undefined || !known) return undefined;
  const view = new ByteView(image.bytes, image.source);
  const offset = offsetInImage(image, at, btf.sizeOf(description), symbol);
  const place = (member: string): number => offset + btf.memberOffset(description, member);
  // Before Linux 5.11 every font had 256 characters and nothing said so.
  const count = btf.hasMember(description, 'charcount')
    ? view.u32(place('charcount'), `${symbol}.charcount`)
    : characters;
  const fits =
    view.u32(place('width'), `${symbol}.width`) === width &&
    view.u32(place('height'), `${symbol}.height`) === height &&
    count === characters;
  if (!fits) return undefined;
  const data = view.u64(place('data'), `${symbol}.data`);
  offsetInImage(image, data, textFontSize, `the font that ${symbol} describes`);
  return data;
}

/** The bytes of the font that findTextFont() has found; without one, none. */
export function fontBytes({ image }: Kernel, font: bigint | undefined): Uint8Array {
  if (font === undefined) return new Uint8Array();
  const at = offsetInImage(image, font, textFontSize, symbol);
  return image.bytes.subarray(at, at + textFontSize);
}

/** For the manifest. */
export function textFontFact(font: bigint | undefined): KernelFact {
  const value =
    font === undefined
      ? 'none: no messages on a frame buffer, and a VGA keeps its font'
      : `0x${font.toString(16)} +${textFontSize}`;
  return { name: symbol, value, source: `kallsyms, BTF ${description}` };
}
