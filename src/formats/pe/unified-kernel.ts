/**
 * A unified kernel image (UKI): systemd-stub, an EFI application, with what it starts in sections of its own: `.linux`, `.initrd`,
 * `.cmdline`, `.osrel`, `.uname`, `.ucode`, `.splash` and others.
 *
 * Source: UAPI.5 Unified Kernel Image; systemd-stub(7).
 */
import type { PeImage } from './parse-pe.js';

/** Bytes of the file. */
export interface FilePart {
  readonly offset: number;
  readonly size: number;
}

/**
 * Where the sections lie in the file, by name: those that its first profile has, which is what starts when nothing else is asked for.
 * A `.profile` begins each further one.
 */
export function unifiedSections({ sections }: PeImage): ReadonlyMap<string, FilePart> {
  const found = new Map<string, FilePart>();
  for (const { name, rawOffset, rawSize, virtualSize } of sections) {
    if (found.has(name)) {
      if (name === '.profile') break;
      continue;
    }
    // The file's part is rounded up.
    found.set(name, { offset: rawOffset, size: Math.min(rawSize, virtualSize) });
  }
  return found;
}

/** A value of os-release(5); undefined: none, or an empty one. */
export function osReleaseValue(text: string, name: string): string | undefined {
  const [, , value = ''] = new RegExp(`^${name}=(["']?)(.*?)\\1[ \\t\\r]*$`, 'm').exec(text) ?? [];
  return value === '' ? undefined : value;
}
