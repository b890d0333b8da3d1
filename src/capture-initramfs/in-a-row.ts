/** What ends a row of panics: options of `saveoops build`, and the words of the crash kernel's command line. */
import { SaveoopsError } from '../errors.js';

/** The entry of the generated syslinux.cfg that boots the primary without Saveoops. */
export const plainEntry = 'saveoops-plain';

/** Name of the menu in /boot/saveoops of an installed system, where a fallback entry is looked for, too. */
export const menuFile = 'syslinux-saveoops.cfg';

/** Word of the kernel's command line that only a boot instead of a panicking kernel has; its value is the capture's name. */
export const fallbackWord = 'saveoops.fallback=';

/** In the folder of the captures: how many there were since the last good boot. A decimal and a line end. */
export const inARowFile = 'in-a-row';

export interface RowOptions {
  /** Captures after which `fallbackEntry` boots once; 0: no limit. */
  readonly maxCapturesInARow: number;
  /** Label of the boot configuration; with GRUB an entry's id, with systemd-boot its name. */
  readonly fallbackEntry: string;
  /** Whose entry it is; undefined: Syslinux's, with the format that Syslinux boots, else nobody's. */
  readonly bootOnce?: BootOnceLoader | undefined;
}

/** Boot loaders beside Syslinux that the capture can tell what to boot next. */
export type BootOnceLoader = 'grub' | 'systemd-boot';

/** Throws `usage` for a number or a label that the capture would not understand. */
export function checkRowOptions({ maxCapturesInARow, fallbackEntry }: RowOptions): void {
  if (!Number.isInteger(maxCapturesInARow) || maxCapturesInARow < 0 || maxCapturesInARow > 999) {
    throw new SaveoopsError('usage', 'not a number of captures', {
      where: '--max-captures-in-a-row',
      found: String(maxCapturesInARow),
      wanted: 'a number from 1 to 999, or 0 for no limit',
    });
  }
  // Syslinux takes what follows the label as words for the kernel, and its sectors for this hold 255 characters.
  if (/^[A-Za-z0-9._+-]{1,60}$/.test(fallbackEntry)) return;
  throw new SaveoopsError('usage', 'not a label', {
    where: '--fallback-entry',
    found: JSON.stringify(fallbackEntry),
    wanted: 'the LABEL of a boot entry: at most 60 letters, digits and . _ + -',
  });
}

/** Words for the crash kernel's command line. */
export function rowWords({ maxCapturesInARow, fallbackEntry, bootOnce }: RowOptions): string[] {
  if (maxCapturesInARow === 0) return [];
  return [
    `saveoops.max-in-a-row=${maxCapturesInARow}`,
    `saveoops.entry=${fallbackEntry}`,
    ...(bootOnce === undefined ? [] : [`saveoops.loader=${bootOnce}`]),
  ];
}
