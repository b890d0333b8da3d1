/**
 * syslinux.cfg of a payload, from syslinux-config/syslinux.cfg.template.
 *
 * Source: Syslinux doc/syslinux.txt and doc/menu.txt. APPEND is the rest of the line, taken literally: no quotes, no
 * escapes, so a command line must not contain a line break.
 */
import { SaveoopsError } from '../errors.js';

export interface ConfigInputs {
  readonly release: string;
  /** File names beside the payload. */
  readonly kernelFile: string;
  readonly initrdFiles: readonly string[];
  readonly initrdBeside: boolean;
  readonly append: string;
  /** Whether the armed entries get `oops=panic`. */
  readonly oopsPanic: boolean;
  readonly crashKernelFile: string;
  readonly crashInitrdFile: string;
  readonly crashAppend: string;
  /** Whether a kernel that is reset is captured: then there is an entry to see it. */
  readonly afterReset: boolean;
}

/** Syslinux's MAX_CMDLINE_LEN is 2048 with the NUL, and the kernel gets `BOOT_IMAGE=saveoops.c32 ` in front. */
const longestAppend = 2000;

/**
 * Words that would keep a kernel without root device waiting, or send it into its initramfs: left out of the test
 * entry, which must reach mount_root() and panic there.
 */
const waitingWords = /^(rootwait(=.*)?|rootdelay=.*|rdinit=.*|root=.*)$/;

/** Makes an oops in process context a panic: Documentation/admin-guide/kernel-parameters.txt. */
export const oopsPanicWord = 'oops=panic';

/**
 * The primary's command line when armed. The plain entry does not get the word: nothing captures the panic there, so
 * it would only take a system away that could have run on and written its log.
 */
export function armedAppend({ append, oopsPanic }: Pick<ConfigInputs, 'append' | 'oopsPanic'>): string {
  if (!oopsPanic || append.split(' ').includes(oopsPanicWord)) return append;
  return join(append, oopsPanicWord);
}

/** Throws `usage` for command lines that Syslinux cannot carry. */
export function renderSyslinuxConfig(template: string, inputs: ConfigInputs): string {
  const beside = inputs.initrdBeside && inputs.initrdFiles.length > 0;
  const initrds = inputs.initrdFiles.join(',');
  const append = armedAppend(inputs);
  const values: Readonly<Record<string, string>> = {
    RELEASE: inputs.release,
    ARMED_APPEND: join(beside ? `initrd=${initrds}` : '', append),
    KERNEL: inputs.kernelFile,
    INITRD_LINE: initrds === '' ? '' : `\tINITRD ${initrds}\n`,
    PLAIN_APPEND: inputs.append,
    CRASH_KERNEL: inputs.crashKernelFile,
    CRASH_INITRD: inputs.crashInitrdFile,
    CRASH_APPEND: inputs.crashAppend,
    TEST_APPEND: testAppend(append),
    RESET_TEST_ENTRY: inputs.afterReset ? resetTestEntry(append) : '',
  };
  for (const [name, value] of Object.entries(values)) {
    if (name.endsWith('APPEND')) checkAppend(name, value);
  }
  return template.replace(/@([A-Z_]+)@/g, (_, name: string) => values[name] ?? '').replace(/[ \t]+$/gm, '');
}

/** Of the entry that tests a capture after a reset. */
export const resetTestLabel = 'saveoops-test-reset';
export const resetTestTitle = 'Test capture after a reset on this machine now';

/** Only where there is something to test. Throws `usage`. */
function resetTestEntry(armed: string): string {
  const append = resetTestAppend(armed);
  checkAppend(resetTestLabel, append);
  return `
LABEL ${resetTestLabel}
\tMENU LABEL ${resetTestTitle}
\tCOM32 saveoops.c32
\tAPPEND ${append}
`;
}

/** Refuses what an APPEND line cannot carry. Throws `usage`. */
export function checkAppend(where: string, line: string): void {
  // The line ends the entry: a line break would let an argument write configuration.
  const unprintable = [...line].some((char) => char < ' ' || char > '~');
  if (!unprintable && line.length <= longestAppend) return;
  throw new SaveoopsError('usage', 'a command line does not fit a Syslinux configuration', {
    where,
    found: unprintable ? 'a line break, control or non-ASCII character' : `${line.length} characters`,
    wanted: `at most ${longestAppend} printable ASCII characters`,
  });
}

/**
 * A command line whose kernel panics in mount_root(): no program by that name in any initramfs (rdinit) and no such
 * root device. A stock kernel has no parameter that simply panics.
 */
export function testAppend(append: string): string {
  return join(...withoutWaiting(append), 'rdinit=/saveoops-test', 'root=/dev/saveoops-test');
}

/** By it a capture is known to be one of the test: a word of Saveoops' own, which no kernel heeds. */
export const resetTestWord = 'saveoops.test=reset';

/**
 * A command line whose kernel boots and then has the machine reset, without a panic: the shell that initramfs-tools and dracut put into
 * an initramfs gets sysrq-b, by port CF9, then a triple fault (reboot=pci). An initramfs without /bin/sh panics instead. /proc is
 * made by the init of initramfs-tools, which does not run here.
 *
 * Source: init/main.c: rdinit= forgets the arguments of init before it; a word without "=" and "." that no one knows becomes one. So
 * ours come first, and what may follow of the user's is $0 and on to the shell.
 */
export function resetTestAppend(append: string): string {
  const shell = 'rdinit=/bin/sh -c "mkdir -p /proc; mount -t proc proc /proc; echo b >/proc/sysrq-trigger"';
  return join(resetTestWord, shell, 'sysrq_always_enabled', 'reboot=pci', ...withoutWaiting(append));
}

function withoutWaiting(append: string): readonly string[] {
  return append.split(' ').filter((word) => word !== '' && !waitingWords.test(word));
}

function join(...words: string[]): string {
  return words.filter((word) => word !== '').join(' ');
}
