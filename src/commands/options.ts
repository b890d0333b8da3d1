/** Every option of every command, once: yargs, --help and the commands' types come from this table. */
import type { OptionSpec } from '../config/option-spec.js';
import { dumpLevels } from '../capture-initramfs/save-words.js';
import { composeDefaults } from '../compose/compose-options.js';
import { buildFormats } from '../compose/payload-files.js';
import { efiLoaders } from '../image/efi-loaders.js';
import { testDefaults } from '../library/test-defaults.js';
import { resetKinds } from '../machine/inject-reset.js';

export interface Positional {
  readonly name: string;
  readonly describe: string;
  readonly optional?: boolean;
  readonly choices?: readonly string[];
}

export interface CommandSpec {
  readonly name: string;
  /** Arguments that are no options, in their order. */
  readonly positionals?: readonly Positional[];
  readonly describe: string;
  /** Whether a configuration file may give `configKeys`. */
  readonly configurable?: boolean;
  readonly options: Readonly<Record<string, OptionSpec>>;
}

/** The configuration file that is read unless --config names another one or --no-config says none. */
export const standardConfigFile = '/etc/saveoops.yaml';

const json: OptionSpec = { type: 'boolean', describe: 'print the result as JSON on standard output' };
const dryRun: OptionSpec = {
  type: 'boolean',
  describe: 'do everything but write, and tell what would be written',
};

/** Of every command. */
export const commonOptions = {
  quiet: { type: 'boolean', describe: 'print errors only, and what --json asks for' },
  verbose: {
    type: 'boolean',
    describe: 'print each step, and each host tool with its command line and time',
  },
} as const satisfies Readonly<Record<string, OptionSpec>>;

const namedSpecs = {
  build: {
    name: 'build',
    describe: 'Lay out a primary kernel and a crash kernel in one Syslinux payload',
    configurable: true,
    options: {
      config: {
        type: 'string',
        describe: `file with options in YAML (default: ${standardConfigFile} if there is one; --no-config: none)`,
      },
      kernel: { type: 'string', required: true, describe: "the primary kernel's bzImage" },
      initrd: {
        type: 'string',
        array: true,
        describe: 'initramfs of the primary kernel; repeatable, concatenated in order',
      },
      'initrd-beside': {
        type: 'boolean',
        describe: 'leave the initrds as files that the entry names, so that a new one needs no new build',
      },
      append: { type: 'string', default: '', describe: "the primary kernel's command line" },
      'oops-panic': {
        type: 'boolean',
        describe: 'add oops=panic to the armed entries, so that every oops is captured and ends the system',
      },
      'crash-kernel': {
        type: 'string',
        describe: "the crash kernel's bzImage (default: the primary's)",
      },
      'crash-initrd': {
        type: 'string',
        describe: "the crash kernel's initramfs (default: the built-in capture initramfs)",
      },
      'crash-append': {
        type: 'string',
        default: '',
        describe: "words added to the crash kernel's command line",
      },
      'crash-size': {
        type: 'string',
        describe: 'RAM to reserve, for example 160M (default: computed from what the crash kernel needs)',
      },
      'reset-vga': {
        type: 'boolean',
        describe: 'at a panic, put the VGA into text mode, so that the crash kernel is seen on the screen',
      },
      'reset-pic': {
        type: 'boolean',
        describe: 'at a panic, give the 8259 interrupt controllers the vectors that the BIOS gave them',
      },
      'after-reset': {
        type: 'boolean',
        describe:
          'capture a kernel that hung until the machine was reset, or that was reset itself: Syslinux on BIOS only',
      },
      'boot-watchdog': {
        type: 'number',
        default: 0,
        describe:
          "with --after-reset: seconds, 10 to 1200, after which the chipset's watchdog resets the machine unless saveoops booted has run (0: none)",
      },
      save: {
        type: 'string',
        describe:
          'where captures are saved: none, boot (the file system that was booted from), LABEL=NAME:/DIRECTORY, UUID=..., ' +
          'PARTLABEL=..., PARTUUID=... (default: none; boot in what saveoops image makes)',
      },
      dump: {
        type: 'string',
        choices: dumpLevels,
        default: composeDefaults.dump,
        describe: "what is saved of the dead kernel's memory beside its log",
      },
      'dump-key': {
        type: 'string',
        describe: 'file with public keys, of age or SSH, to which dumps are encrypted',
      },
      keep: {
        type: 'number',
        default: composeDefaults.keep,
        describe: 'captures to keep, 1 to 999: older ones are removed when a new one is saved (0: all)',
      },
      'max-captures-in-a-row': {
        type: 'number',
        default: composeDefaults.maxCapturesInARow,
        describe:
          'after so many captures without a good boot between them the fallback entry boots once (0: never)',
      },
      'fallback-entry': {
        type: 'string',
        default: composeDefaults.fallbackEntry,
        describe: 'label of the boot entry that boots then, for example that of a previous kernel',
      },
      'capture-tools': {
        type: 'string',
        describe: "folder with programs and libraries to use in it instead of the system's",
      },
      modules: {
        type: 'string',
        describe:
          "folder with the crash kernel's modules, or a root that has it (default: beside it, else /lib)",
      },
      'capture-module': {
        type: 'string',
        array: true,
        describe: 'a kernel module for the capture initramfs beside the default ones; repeatable',
      },
      'sign-key': {
        type: 'string',
        describe:
          "key (PEM) to sign the composed image with, for Secure Boot (update's default: the key of DKMS)",
      },
      'sign-cert': { type: 'string', describe: 'its certificate (PEM or DER)' },
      out: { type: 'string', required: true, describe: 'folder to write to' },
      format: {
        type: 'string',
        choices: buildFormats,
        default: composeDefaults.format,
        describe:
          'com32: payload and configuration; bzimage: the composed image alone, for other loaders; efi: the same, named for firmware',
      },
      'dry-run': dryRun,
      json,
    },
  },
  repack: {
    name: 'repack',
    positionals: [{ name: 'payload', describe: 'a saveoops.c32' }],
    describe: 'Replace command lines or an initramfs in a payload, as fast as copying it',
    options: {
      out: {
        type: 'string',
        required: true,
        describe: 'folder to write to, or a file whose name ends with .c32; may be where the payload is',
      },
      append: { type: 'string', describe: "the primary kernel's command line" },
      initrd: {
        type: 'string',
        array: true,
        describe: 'initramfs of the primary kernel, in place of all that the payload has; repeatable',
      },
      'crash-append': {
        type: 'string',
        describe: "words added to the crash kernel's command line, in place of those that build added",
      },
      'crash-initrd': { type: 'string', describe: "the crash kernel's initramfs" },
      'crash-size': { type: 'string', describe: 'RAM to reserve' },
      'after-reset': {
        type: 'boolean',
        describe: 'capture after a reset, or, with --no-after-reset, not any more',
      },
      'boot-watchdog': { type: 'number', describe: 'seconds of the boot watchdog, 0 for none' },
      'dry-run': dryRun,
      json,
    },
  },
  inspect: {
    name: 'inspect',
    positionals: [{ name: 'file', describe: 'a saveoops.c32, a saveoops-efi.c32, or their folder' }],
    describe: 'Show what is in a payload, and check every digest',
    options: {
      svg: { type: 'string', describe: 'write a picture to this file: RAM and file, to scale' },
      json: { type: 'boolean', describe: 'print the manifest as JSON' },
    },
  },
  image: {
    name: 'image',
    positionals: [{ name: 'dir', describe: 'folder that build wrote' }],
    describe: 'Make a bootable disk image, without root rights',
    options: {
      out: { type: 'string', required: true, describe: 'the image to write' },
      iso: { type: 'boolean', describe: 'an isohybrid ISO image instead of a FAT disk' },
      'dry-run': dryRun,
      json,
    },
  },
  test: {
    name: 'test',
    positionals: [{ name: 'dir', describe: 'folder that build wrote' }],
    describe: 'Boot a payload in QEMU, make the primary panic, report what was recovered',
    options: {
      panic: {
        type: 'string',
        default: testDefaults.panic,
        describe: 'mount: the panic that a missing root gives; else panic on entering this kernel function',
      },
      reset: {
        type: 'string',
        choices: resetKinds,
        describe:
          'in place of a panic, reset the machine: by a triple fault, by the boot watchdog or the button once it hangs, or by the button while it runs; the next boot has to capture it',
      },
      at: {
        type: 'string',
        describe: `with --reset: on entering this kernel function (default: ${testDefaults.at})`,
      },
      nokaslr: { type: 'boolean', describe: 'boot the primary with nokaslr' },
      firmware: {
        type: 'string',
        choices: ['bios', 'uefi'],
        default: testDefaults.firmware,
        describe:
          'what the machine starts with: SeaBIOS or OVMF (with --panic FUNCTION, the primary then gets nokaslr)',
      },
      loader: {
        type: 'string',
        choices: ['syslinux', ...efiLoaders],
        default: testDefaults.loader,
        describe:
          'what boots the payload; others than syslinux boot by UEFI: OVMF itself, or the GRUB or systemd-boot of this host',
      },
      cpus: { type: 'number', default: testDefaults.cpus, describe: 'number of CPUs' },
      memory: {
        type: 'string',
        default: `${testDefaults.memory}M`,
        describe: 'RAM, for example 1536M; without a unit in MiB',
      },
      timeout: {
        type: 'number',
        default: testDefaults.timeout,
        describe: 'time limit of the run in seconds',
      },
      keep: { type: 'string', describe: 'keep logs and image there' },
      json,
    },
  },
  status: {
    name: 'status',
    describe: 'Tell whether the running system is armed, and why not, and whether its payload is stale',
    options: {
      root: { type: 'string', default: '/', describe: 'where boot/, proc/ and sys/ are' },
      payload: { type: 'string', describe: 'folder of the payload (default: those found in boot/)' },
      motd: {
        type: 'boolean',
        describe: 'print a line when not armed, and one when stale, else nothing: for a login message',
      },
      json,
    },
  },
  booted: {
    name: 'booted',
    describe: 'Tell that this boot was good: the count of captures in a row begins anew',
    options: {
      dir: {
        type: 'string',
        array: true,
        describe: 'folder of captures; repeatable (default: /boot/saveoops, /boot/efi/saveoops, /saveoops)',
      },
      json,
    },
  },
  captures: {
    name: 'captures',
    positionals: [
      {
        name: 'where',
        describe: 'directory or disk image with captures (default: where this system saves them)',
        optional: true,
      },
    ],
    describe: 'List what has been captured, newest first',
    options: {
      news: {
        type: 'boolean',
        describe:
          'print a line about the newest capture of the last seven days, else nothing: for a login message',
      },
      json,
    },
  },
  report: {
    name: 'report',
    positionals: [
      {
        name: 'capture',
        describe:
          'a capture directory, a log, "-" (a log on standard input), IMAGE:ID, the beginning of an ID, or "last"',
      },
    ],
    describe: 'Tell what died, from a capture or a log',
    options: {
      html: { type: 'string', describe: 'write the report to this file, with pictures' },
      bundle: {
        type: 'string',
        describe: 'show what a bug report would hold, and pack it as this tar archive (.tar, .tar.gz, .tgz)',
      },
      redact: {
        type: 'boolean',
        describe: 'take secrets, serial numbers, MAC addresses and host names out of the bundle',
      },
      json,
    },
  },
  explain: {
    name: 'explain',
    positionals: [
      { name: 'place', describe: 'a function of the kernel, NAME+0xOFFSET, or a link-time address' },
      { name: 'payload', describe: 'a saveoops.c32, or its folder' },
    ],
    describe: 'Tell what happens when the kernel of a payload panics there',
    options: { json },
  },
  doctor: {
    name: 'doctor',
    describe: 'Tell what this machine lacks to build, to make images and to test, and how to install it',
    options: { json },
  },
  completion: {
    name: 'completion',
    positionals: [{ name: 'shell', describe: 'for which shell', choices: ['bash', 'zsh', 'fish'] }],
    describe: "Print what completes this program's commands and options in a shell",
    options: {},
  },
} as const satisfies Readonly<Record<string, CommandSpec>>;

type Options = Readonly<Record<string, OptionSpec>>;

/** Boot loaders that `saveoops update` arms (src/boot). */
export const updateLoaders = ['extlinux', 'grub', 'systemd-boot'] as const;
export type UpdateLoader = (typeof updateLoaders)[number];

/** What a machine's administrator decides, beside the options of build. */
const machineOptions = {
  loader: {
    type: 'string',
    choices: updateLoaders,
    describe:
      "this machine's boot loader; without it, nothing is armed (default: extlinux when boot-config is given)",
  },
  'boot-config': {
    type: 'string',
    describe:
      'syslinux.cfg or extlinux.conf that update adds its menu to; for systemd-boot loader/loader.conf, where it is not found by itself',
  },
  'host-only': {
    type: 'boolean',
    describe:
      "give the capture initramfs the drivers of this machine's disk to save on alone, in place of the default modules",
  },
} as const satisfies Options;

/** Options that build demands may be missing where it is only asked what it would take, and nothing is written anyway. */
function optional(options: Options): Options {
  return Object.fromEntries(
    Object.entries(options)
      .filter(([name]) => name !== 'dry-run')
      .map(([name, spec]) => [name, { ...spec, required: false }]),
  );
}

/** Options of build that hold for every kernel of a machine. */
function payloadOptions(options: Options): Options {
  const perPayload = ['kernel', 'initrd', 'out', 'format', 'dry-run', 'json'];
  return Object.fromEntries(Object.entries(options).filter(([name]) => !perPayload.includes(name)));
}

export const commandSpecs = {
  ...namedSpecs,
  update: {
    name: 'update',
    describe: 'Build the payloads of the installed kernels, and the boot menu for them',
    configurable: true,
    options: {
      'kernel-version': { type: 'string', describe: 'only this kernel (default: every kernel in /boot)' },
      before: { type: 'string', describe: 'this kernel is about to change: boot its plain entry until then' },
      remove: { type: 'string', describe: 'this kernel goes: remove its entries and payloads' },
      enable: {
        type: 'string',
        choices: updateLoaders,
        describe:
          "arm with this boot loader, now and by the packages' hooks: as loader in the configuration file",
      },
      disable: { type: 'boolean', describe: 'take back all that update has written; captures stay' },
      force: { type: 'boolean', describe: 'build although nothing has changed' },
      hook: { type: 'boolean', describe: 'for packages: say nothing when no boot loader is named' },
      boot: { type: 'string', default: '/boot', describe: 'folder with the kernels' },
      root: {
        type: 'string',
        default: '/',
        describe: 'where etc/, sys/, var/ and the ESP of systemd-boot are',
      },
      ...machineOptions,
      ...payloadOptions(namedSpecs.build.options),
      'dry-run': dryRun,
      json,
    },
  },
  config: {
    name: 'config',
    describe: 'Print the options of build, as configuration file and command line give them',
    configurable: true,
    options: { ...optional(namedSpecs.build.options), ...machineOptions },
  },
} satisfies Readonly<Record<string, CommandSpec>>;

/** What the configuration file may hold. */
export const configKeys: Options = Object.fromEntries(
  Object.entries(commandSpecs.config.options).filter(([name]) => name !== 'config'),
);
