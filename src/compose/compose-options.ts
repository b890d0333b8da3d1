/** Options of `build` and `update` that decide what is in a payload, and what is wrong with them before a file is read. */
import { checkRowOptions, plainEntry, type RowOptions } from '../capture-initramfs/in-a-row.js';
import { checkSaveOptions, type SaveOptions } from '../capture-initramfs/save-words.js';
import { parseCrashSize } from '../config/parse-size.js';
import { checkAppend, oopsPanicWord } from '../config/syslinux-config.js';
import { SaveoopsError } from '../errors.js';
import type { BuildFormat } from './payload-files.js';

/** What the files are made from: all that `build` is told but where they go. */
export interface ComposeOptions extends SaveOptions, RowOptions {
  /** The primary kernel's bzImage. */
  readonly kernel: string;
  /** Its initramfs files, concatenated in order. */
  readonly initrd: readonly string[];
  /** Whether they stay files that the entry names, so that a new one needs no new build. */
  readonly initrdBeside: boolean;
  /** The primary kernel's command line. */
  readonly append: string;
  /** Whether the armed entries get `oops=panic`. */
  readonly oopsPanic: boolean;
  /** The crash kernel's bzImage; undefined: the primary's. */
  readonly crashKernel: string | undefined;
  /** The crash kernel's initramfs; undefined: the built-in capture initramfs. */
  readonly crashInitrd: string | undefined;
  /** Words added to the crash kernel's command line. */
  readonly crashAppend: string;
  /** RAM to reserve, "160M"; undefined: computed. */
  readonly crashSize: string | undefined;
  /** Whether a panic puts the VGA into text mode. */
  readonly resetVga: boolean;
  /** Whether a panic gives the 8259 interrupt controllers the vectors of the BIOS. */
  readonly resetPic: boolean;
  /** Whether a kernel that is reset is captured by the next boot. */
  readonly afterReset: boolean;
  /** Seconds; 0: none. */
  readonly bootWatchdog: number;
  /** File with public keys to which dumps are encrypted. */
  readonly dumpKey: string | undefined;
  /** Folder with programs for the capture initramfs, looked into before the system's. */
  readonly captureTools: string | undefined;
  /** Folder of the crash kernel's modules, or a root that has it. */
  readonly modules: string | undefined;
  /** Kernel modules that the capture initramfs gets beside the default ones. */
  readonly captureModule: readonly string[];
  /** Kernel modules by which the machine that this is for reaches the disk to save on; what its kernel does not have is left out. */
  readonly machineModules: readonly string[];
  /** Whether those take the place of the default ones; without effect where there are none. */
  readonly hostOnly: boolean;
  /** Files: the composed image gets a signature. */
  readonly signKey: string | undefined;
  readonly signCert: string | undefined;
  /** What is written. */
  readonly format: BuildFormat;
}

/** What is not said. Of a machine's memory and devices these take the least. */
export const composeDefaults: Omit<ComposeOptions, 'kernel'> = {
  initrd: [],
  initrdBeside: false,
  append: '',
  oopsPanic: false,
  crashKernel: undefined,
  crashInitrd: undefined,
  crashAppend: '',
  crashSize: undefined,
  resetVga: false,
  resetPic: false,
  afterReset: false,
  bootWatchdog: 0,
  save: undefined,
  dump: 'none',
  dumpKey: undefined,
  keep: 0,
  maxCapturesInARow: 3,
  fallbackEntry: plainEntry,
  captureTools: undefined,
  modules: undefined,
  captureModule: [],
  machineModules: [],
  hostOnly: false,
  signKey: undefined,
  signCert: undefined,
  format: 'com32',
};

/**
 * Every check of options that needs no file, in one place. Gives --crash-size in bytes; undefined: the size is computed.
 * Throws `usage`.
 */
export function checkComposeOptions(options: ComposeOptions): { readonly crashSize: number | undefined } {
  checkAppend('--append', options.append);
  checkAppend('--crash-append', options.crashAppend);
  checkOopsPanic(options);
  checkAfterReset(options);
  checkBootWatchdog(options);
  checkSaveOptions(options);
  checkRowOptions(options);
  checkCaptureOptions(options);
  checkSigning(options);
  return { crashSize: options.crashSize === undefined ? undefined : parseCrashSize(options.crashSize) };
}

/** Whether the capture can make the loader boot another entry: it counts on the disk, and it must know the loader. */
export function limitsRow({
  maxCapturesInARow,
  save,
  format,
  bootOnce,
  crashInitrd,
}: ComposeOptions): boolean {
  const isKnown = format === 'com32' || bootOnce !== undefined;
  return maxCapturesInARow > 0 && save !== 'none' && isKnown && crashInitrd === undefined;
}

/** An option that would do nothing, or that the command line speaks against, is refused. Throws `usage`. */
function checkOopsPanic({
  oopsPanic,
  append,
  format,
}: Pick<ComposeOptions, 'oopsPanic' | 'append' | 'format'>): void {
  if (!oopsPanic) return;
  if (format !== 'com32') {
    throw contradiction(
      `--format ${format}`,
      'oops=panic in the command line that your loader gives: this image has none',
    );
  }
  checkOopsWord(append);
}

/** Refuses a command line with another `oops=` than --oops-panic adds. Throws `usage`. */
export function checkOopsWord(append: string): void {
  // The kernel knows no other value and would take oops=panic beside it.
  const other = append.split(' ').find((word) => word.startsWith('oops=') && word !== oopsPanicWord);
  if (other !== undefined) throw contradiction(`${other} in --append`, 'one of the two');
}

/** Only the COM32 module looks before anything is loaded. Throws `usage`. */
function checkAfterReset({ afterReset, format }: Pick<ComposeOptions, 'afterReset' | 'format'>): void {
  if (!afterReset || format === 'com32') return;
  throw new SaveoopsError('usage', 'a contradiction', {
    where: '--after-reset',
    found: `--format ${format}`,
    wanted: '--format com32: other loaders use memory before any of it was looked at',
  });
}

/** What the timer can count, and some room for a kernel to boot. */
const watchdogLimits = { least: 10, most: 1200 } as const;

/** A reset that nobody captures would only take the machine away. Throws `usage`. */
export function checkBootWatchdog({
  bootWatchdog,
  afterReset,
}: Pick<ComposeOptions, 'bootWatchdog' | 'afterReset'>): void {
  if (bootWatchdog === 0) return;
  const { least, most } = watchdogLimits;
  const refuse = (what: string, found: string, wanted: string): SaveoopsError =>
    new SaveoopsError('usage', what, { where: '--boot-watchdog', found, wanted });
  if (!Number.isInteger(bootWatchdog) || bootWatchdog < least || bootWatchdog > most) {
    throw refuse('bad --boot-watchdog', String(bootWatchdog), `0, or seconds from ${least} to ${most}`);
  }
  if (!afterReset)
    throw refuse('a contradiction', 'no --after-reset', 'both: it is the capture after the reset');
}

function contradiction(found: string, wanted: string): SaveoopsError {
  return new SaveoopsError('usage', 'a contradiction', { where: '--oops-panic', found, wanted });
}

/** Both or none, and only for a file that firmware looks at: syslinux.efi checks no signatures. Throws `usage`. */
function checkSigning({ signKey, signCert, format }: ComposeOptions): void {
  if (signKey === undefined && signCert === undefined) return;
  const refuse = (found: string, wanted: string): SaveoopsError =>
    new SaveoopsError('usage', 'a contradiction', { where: '--sign-key', found, wanted });
  if (signKey === undefined || signCert === undefined)
    throw refuse('one of --sign-key and --sign-cert', 'both, or none');
  if (format === 'com32') throw refuse('--format com32', '--format efi: syslinux.efi checks no signatures');
}

/** Options for the built-in capture initramfs only, and one that would do nothing. Throws `usage`. */
function checkCaptureOptions(options: ComposeOptions): void {
  const { crashInitrd, save, dump, dumpKey, keep, captureTools, modules, captureModule } = options;
  const refuse = (where: string, found: string, wanted: string): never => {
    throw new SaveoopsError('usage', 'a contradiction', { where, found, wanted });
  };
  if (dumpKey !== undefined && dump === 'none') {
    refuse('--dump-key', '--dump none', 'a dump to encrypt: --dump filtered or --dump full');
  }
  if (crashInitrd === undefined) return;
  const given = Object.entries({
    '--save': save !== undefined,
    '--dump': dump !== 'none',
    '--keep': keep !== 0,
    '--capture-tools': captureTools !== undefined,
    '--modules': modules !== undefined,
    '--capture-module': captureModule.length > 0,
  }).find(([, isGiven]) => isGiven);
  if (given === undefined) return;
  refuse(
    given[0],
    `--crash-initrd ${crashInitrd}`,
    'one of the two: only the built-in capture initramfs heeds it',
  );
}
