/**
 * What the scripts of the capture initramfs take from here: paths and words that TypeScript knows, too, and all limits, in one
 * place. `npm run build` renders them as root/lib/saveoops/constants.sh, and a test fails when the committed file differs.
 */
import { fallbackWord, inARowFile, menuFile } from './in-a-row.js';
import { logBegins, logEnds } from './markers.js';
import { watchdogModules } from './module-set.js';

/** Until when feed-watchdog feeds; written by init. */
export const deadlineFile = '/run/capture/deadline';

/** Where the initramfs has the public keys that dumps are encrypted to, and who made it. */
export const dumpKeyPath = 'etc/saveoops/dump-key';
export const generatorPath = 'etc/saveoops/generator';

/** 256 characters of 8x16 pixels, a byte a line; not there when the primary kernel has no such font. */
export const fontPath = 'lib/saveoops/font';

interface Constant {
  readonly value: string | number;
  /** Said beside it in constants.sh. */
  readonly comment: string;
}

const constants: Readonly<Record<string, Constant>> = {
  LOG_BEGINS: {
    value: logBegins,
    comment: "around the dead kernel's log on a console; each alone on its line",
  },
  LOG_ENDS: { value: logEnds, comment: 'what reads a console cuts the log out by these two' },
  DEADLINE_FILE: { value: deadlineFile, comment: 'until when feed-watchdog feeds; written by init' },
  GENERATOR_FILE: { value: `/${generatorPath}`, comment: 'who made this initramfs' },
  DUMP_KEY: {
    value: `/${dumpKeyPath}`,
    comment: 'public keys of age or SSH; without it dumps are not encrypted',
  },
  FONT_FILE: { value: `/${fontPath}`, comment: "the primary kernel's font, for a VGA that has lost its own" },
  WATCHDOG_MODULES: { value: watchdogModules.join(' '), comment: 'drivers of hardware watchdogs' },

  CAPTURE_NAME: {
    value: '^[0-9]{8}T[0-9]{6}Z-[A-Za-z0-9.+_-]+-[0-9a-f]{6}$',
    comment: 'a capture directory: docs/capture.md, "The capture directory"',
  },
  CAPTURE_FILES: {
    value: 'dmesg.txt vmcore vmcore.age capture.log capture.json',
    comment: 'all that a whole one holds',
  },
  IN_A_ROW_FILE: { value: inARowFile, comment: 'beside the captures: their number since the last good boot' },
  FALLBACK_WORD: {
    value: fallbackWord,
    comment: 'before the name of the capture, for the kernel that boots instead',
  },
  MENU_FILE: { value: menuFile, comment: "the boot menu's part that an installed system includes" },

  ORDERLY_END: {
    value:
      '^(reboot: (Restarting system|Power down|System halted)|kexec(_core)?: Starting new kernel' +
      '|ACPI: (PM: )?Preparing to enter system sleep state S4' +
      '|PM: (hibernation: )?(Image loading done|Image successfully loaded))',
    comment:
      'after a reset: in the last lines of the log, nothing died. A restart, a step to disk, the boot that read it back',
  },
  ORDERLY_LINES: {
    value: 40,
    comment: 'where it is looked for: devices and CPUs that go to sleep say something, too',
  },

  EXTRACT_SECONDS: {
    value: 60,
    comment: 'vmcore-dmesg never ends on some broken notes; a sound log takes it less than a second',
  },
  CHUNK_BYTES: { value: 8192, comment: 'of the log on a console, at a time' },
  CHUNK_SECONDS: { value: 60, comment: 'a chunk takes 55 at 1500 baud' },
  PRINTED_LINES: {
    value: 200,
    comment: 'at the end of a log that is on a disk, too: saveoops.print=all prints all',
  },
  EXCERPT_LINES: {
    value: 16,
    comment: 'of the log, that the summary repeats: with it they fit a screen of 25 lines',
  },
  DEATH_LINES: {
    value: 200,
    comment: 'at the end of the log, in which the first sign of what it died of is looked for',
  },
  LAST_SCREEN_SECONDS: { value: 60, comment: 'to draw it; 5 on an emulated processor' },
  CODE_ROW: {
    value: 10,
    comment: 'of the last screen, from which on it is the QR code: 16 rows are left for it',
  },
  CODE_VERSION: {
    value: 23,
    comment: 'of the QR code at most: 109 modules, 28 columns and 14 rows; draw-qr.c says why',
  },
  BASE_SECONDS: {
    value: 180,
    comment: "everything but the log's size: mounts, extraction, start of the consoles",
  },
  SAFE_SECONDS: {
    value: 60,
    comment: 'from the start of saving until the log is safe; then it is printed, whatever saving does',
  },
  SAVING_SECONDS: {
    value: 300,
    comment: 'between two signs of life of save-capture, whose own limits are shorter',
  },
  STOP_SECONDS: { value: 4, comment: 'until feed-watchdog has stopped the watchdogs' },
  LEAVE_SECONDS: {
    value: 15,
    comment: 'after the call that should have ended this kernel, before it is ended by force',
  },

  STALL_SECONDS: { value: 120, comment: 'without progress: a sound disk writes something in this time' },
  MODULES_SECONDS: {
    value: 90,
    comment: 'drivers, and the disks that they find; load-modules has limits of its own',
  },
  PROBE_SECONDS: { value: 20, comment: 'one disk; a removable drive without a medium takes a few' },
  APPEAR_SECONDS: { value: 15, comment: 'a disk on USB may appear late' },
  MOUNT_SECONDS: { value: 120, comment: "a journal's replay included" },
  WRITE_SECONDS: { value: 120, comment: 'small files, and the cache of a slow stick' },
  RESERVE_KIB: {
    value: 256,
    comment:
      "kept for capture.json and capture.log on a disk that the dump fills; Debian's crash kernel says about 60",
  },

  MODULE_SECONDS: {
    value: 15,
    comment: 'one driver: after that the next is tried, and this one goes on beside it',
  },
  QUIET_SECONDS: {
    value: 3,
    comment: 'no new device for that long: all are there. usb-storage waits 1 before it looks at a new disk',
  },
  SILENT_SECONDS: {
    value: 20,
    comment: 'the same while a SCSI disk has not said its size. Not for ever: parts of a RAID never do',
  },
  STORAGE_SECONDS: { value: 90, comment: 'all of them: some RAID controllers take a minute to reset' },
  FEED_SECONDS: {
    value: 2,
    comment:
      'between two signs of life; the shortest timeout that a driver begins with is 30 (i6300esb, iTCO_wdt)',
  },
};

/** constants.sh. */
export function renderConstants(): string {
  const lines = Object.entries(constants).map(
    ([name, { value, comment }]) => `# ${comment}\n${name}=${shellValue(value)}\n`,
  );
  return (
    '# Generated from src/capture-initramfs/constants.ts by `npm run build`: do not edit.\n' +
    '# shellcheck disable=SC2034 # the scripts that read this file use them\n\n' +
    lines.join('')
  );
}

/** A number as it stands, a text between quotes: none of ours holds one. */
function shellValue(value: string | number): string {
  return typeof value === 'number' ? String(value) : `'${value}'`;
}
