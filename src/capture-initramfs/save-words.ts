/** What is saved where, as `saveoops build` takes it, and the words of the crash kernel's command line that say so. */
import { SaveoopsError } from '../errors.js';

export const dumpLevels = ['none', 'filtered', 'full'] as const;
export type DumpLevel = (typeof dumpLevels)[number];

/** docs/capture.md, "Options on the crash kernel's command line". */
export interface SaveOptions {
  /** --save; undefined for the default, which the boot medium decides: `saveoops image` says `boot`. */
  readonly save: string | undefined;
  readonly dump: DumpLevel;
  /** Captures that are kept, 1 to 999; 0 keeps all. */
  readonly keep: number;
}

export const saveWord = 'saveoops.save=';

/**
 * A label as blkid encodes it (a space is \x20), and a directory on that file system. save-capture checks the same once
 * more, as words may come from a boot menu; a mistake is told at build time, not after a crash. A colon in a label would
 * make `LABEL=data:crash` one, which is more likely a directory without its slash.
 */
const place = /^(?:LABEL|UUID|PARTLABEL|PARTUUID)=[A-Za-z0-9#+.=@_/\\-]+(?::(\/[A-Za-z0-9.+_/-]*))?$/;

/** Throws `usage` for a place or a number that the capture would refuse. */
export function checkSaveOptions({ save, keep }: SaveOptions): void {
  if (save !== undefined) checkPlace(save);
  if (Number.isInteger(keep) && keep >= 0 && keep <= 999) return;
  throw new SaveoopsError('usage', 'not a number of captures', {
    where: '--keep',
    found: String(keep),
    wanted: 'a number from 1 to 999, or 0 to keep all',
  });
}

function checkPlace(save: string): void {
  if (save === 'none' || save === 'boot') return;
  const match = place.exec(save);
  const names = (match?.[1] ?? '').split('/');
  if (match !== null && !names.includes('..') && !names.includes('.')) return;
  throw new SaveoopsError('usage', 'not a place to save captures', {
    where: '--save',
    found: JSON.stringify(save),
    wanted:
      'none, boot, or LABEL=, UUID=, PARTLABEL= or PARTUUID= with a name and, if not /saveoops, a directory: LABEL=data:/crash. ' +
      'No spaces (\\x20 in a label), no . and .. in a directory',
  });
}

/** Words for the crash kernel's command line; none for what is the default anyway. */
export function saveWords({ save, dump, keep }: SaveOptions): string[] {
  return [
    ...(save === undefined ? [] : [`${saveWord}${save}`]),
    ...(dump === 'none' ? [] : [`saveoops.dump=${dump}`]),
    ...(keep === 0 ? [] : [`saveoops.keep=${keep}`]),
  ];
}
