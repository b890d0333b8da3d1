#!/usr/bin/env node
/** argv in, exit code out: the only place that prints errors and ends the process. */
import type { Argv, Options } from 'yargs';
import type { DumpLevel } from './capture-initramfs/save-words.js';
import type { BuildFormat } from './compose/payload-files.js';
import type { Shell } from './commands/completion.js';
import { follow, type CommandIo } from './commands/follow.js';
import {
  commandSpecs,
  commonOptions,
  configKeys,
  standardConfigFile,
  type CommandSpec,
  type Positional,
  type UpdateLoader,
} from './commands/options.js';
import type { TestLoader } from './library/test-payload.js';
import type { ResetKind } from './machine/inject-reset.js';
import type { Firmware } from './machine/qemu-command.js';
import type { ComposeOptions } from './compose/compose-options.js';
import type { OptionSpec, OptionValue } from './config/option-spec.js';
import { parseMachineMemory } from './config/parse-size.js';
import type { ConfigFile } from './config/config-file.js';
import { exitCodeOf, renderError, SaveoopsError } from './errors.js';
import { fileError } from './host/files.js';
import { openOutput } from './host/output.js';
import { asTask } from './host/task.js';
import { version } from './host/version.js';

const output = openOutput();
const argumentsGiven = process.argv.slice(2);

const parserConfiguration = { 'camel-case-expansion': false, 'greedy-arrays': false };

type Values = Readonly<Record<string, unknown>>;

/** The value of an option that is no list: yargs gives an array when it was repeated. Throws `usage` then. */
function single(values: Values, name: string): unknown {
  const value = values[name];
  if (!Array.isArray(value)) return value;
  throw usage(`--${name} given ${value.length} times`);
}

const text = (values: Values, name: string): string => String(single(values, name) ?? '');
const list = (values: Values, name: string): string[] => {
  const value = values[name];
  return Array.isArray(value) ? value.map(String) : [];
};
const optional = (values: Values, name: string): string | undefined => {
  const value = single(values, name);
  return value === undefined ? undefined : String(value);
};
const flag = (values: Values, name: string): boolean => single(values, name) === true;
/** Of a positional "-" yargs makes an empty text. */
const orDash = (value: string): string => (value === '' && argumentsGiven.includes('-') ? '-' : value);
/** yargs would give NaN for what is no number, and nobody could tell what was typed. Throws `usage`. */
function number(values: Values, name: string): number {
  const value = single(values, name);
  if (typeof value === 'number') return value;
  throw new SaveoopsError('usage', `bad --${name}`, {
    where: `--${name}`,
    found: JSON.stringify(value),
    wanted: 'a number',
  });
}

function buildOptions(values: Values): ComposeOptions {
  return {
    kernel: text(values, 'kernel'),
    initrd: list(values, 'initrd'),
    initrdBeside: flag(values, 'initrd-beside'),
    append: text(values, 'append'),
    oopsPanic: flag(values, 'oops-panic'),
    crashKernel: optional(values, 'crash-kernel'),
    crashInitrd: optional(values, 'crash-initrd'),
    crashAppend: text(values, 'crash-append'),
    crashSize: optional(values, 'crash-size'),
    resetVga: flag(values, 'reset-vga'),
    resetPic: flag(values, 'reset-pic'),
    afterReset: flag(values, 'after-reset'),
    bootWatchdog: number(values, 'boot-watchdog'),
    save: optional(values, 'save'),
    // yargs has checked it against the levels.
    dump: text(values, 'dump') as DumpLevel,
    dumpKey: optional(values, 'dump-key'),
    keep: number(values, 'keep'),
    maxCapturesInARow: number(values, 'max-captures-in-a-row'),
    fallbackEntry: text(values, 'fallback-entry'),
    captureTools: optional(values, 'capture-tools'),
    modules: optional(values, 'modules'),
    captureModule: list(values, 'capture-module'),
    machineModules: [],
    hostOnly: flag(values, 'host-only'),
    signKey: optional(values, 'sign-key'),
    signCert: optional(values, 'sign-cert'),
    format: text(values, 'format') as BuildFormat,
  };
}

/** Each command's exit code for a run that threw nothing. Its code is loaded when it is asked for: --version and --help need none. */
const handlers: Readonly<
  Record<
    keyof typeof commandSpecs,
    (values: Values, io: CommandIo, config: ConfigFile | undefined) => Promise<number>
  >
> = {
  build: async (values, io) => {
    const { runBuild } = await import('./commands/build.js');
    await runBuild(
      {
        ...buildOptions(values),
        out: text(values, 'out'),
        dryRun: flag(values, 'dry-run'),
        json: flag(values, 'json'),
      },
      io,
    );
    return 0;
  },
  repack: async (values, io) => {
    const { runRepack } = await import('./commands/repack.js');
    const initrd = values['initrd'];
    await runRepack(
      {
        payload: text(values, 'payload'),
        out: text(values, 'out'),
        append: optional(values, 'append'),
        initrd: Array.isArray(initrd) && initrd.length > 0 ? initrd.map(String) : undefined,
        crashAppend: optional(values, 'crash-append'),
        crashInitrd: optional(values, 'crash-initrd'),
        crashSize: optional(values, 'crash-size'),
        afterReset: values['after-reset'] === undefined ? undefined : flag(values, 'after-reset'),
        bootWatchdog: values['boot-watchdog'] === undefined ? undefined : number(values, 'boot-watchdog'),
        dryRun: flag(values, 'dry-run'),
        json: flag(values, 'json'),
      },
      io,
    );
    return 0;
  },
  inspect: async (values, io) => {
    const { runInspect } = await import('./commands/inspect.js');
    await runInspect(
      { file: text(values, 'file'), svg: optional(values, 'svg'), json: flag(values, 'json') },
      io,
    );
    return 0;
  },
  image: async (values, io) => {
    const { runImage } = await import('./commands/image.js');
    await runImage(
      {
        dir: text(values, 'dir'),
        out: text(values, 'out'),
        iso: flag(values, 'iso'),
        dryRun: flag(values, 'dry-run'),
        json: flag(values, 'json'),
      },
      io,
    );
    return 0;
  },
  test: async (values, io) => {
    const { runTest } = await import('./commands/test.js');
    return await runTest(
      {
        dir: text(values, 'dir'),
        panic: text(values, 'panic'),
        reset: optional(values, 'reset') as ResetKind | undefined,
        at: optional(values, 'at'),
        nokaslr: flag(values, 'nokaslr'),
        firmware: text(values, 'firmware') as Firmware,
        loader: text(values, 'loader') as TestLoader,
        cpus: number(values, 'cpus'),
        memory: parseMachineMemory(text(values, 'memory')),
        timeout: number(values, 'timeout'),
        keep: optional(values, 'keep'),
        json: flag(values, 'json'),
      },
      io,
    );
  },
  booted: async (values, io) => {
    const { runBooted } = await import('./commands/booted.js');
    await runBooted({ dir: list(values, 'dir'), root: '/', json: flag(values, 'json') }, io);
    return 0;
  },
  status: async (values, io) => {
    const { runStatus } = await import('./commands/status.js');
    return await runStatus(
      {
        root: text(values, 'root'),
        payload: optional(values, 'payload'),
        motd: flag(values, 'motd'),
        json: flag(values, 'json'),
      },
      io,
    );
  },
  update: async (values, io) => {
    const { runUpdate } = await import('./commands/update.js');
    await runUpdate(
      {
        boot: text(values, 'boot'),
        root: text(values, 'root'),
        loader: optional(values, 'loader') as UpdateLoader | undefined,
        enable: optional(values, 'enable') as UpdateLoader | undefined,
        bootConfig: optional(values, 'boot-config'),
        kernelVersion: optional(values, 'kernel-version'),
        before: optional(values, 'before'),
        remove: optional(values, 'remove'),
        disable: flag(values, 'disable'),
        force: flag(values, 'force'),
        hook: flag(values, 'hook'),
        dryRun: flag(values, 'dry-run'),
        json: flag(values, 'json'),
        build: buildOptions(values),
      },
      io,
    );
    return 0;
  },
  config: async (values, io, config) => {
    const { runConfig } = await import('./commands/config.js');
    const set = Object.entries(configKeys).flatMap(([name, { array }]) => {
      const value = array === true ? values[name] : single(values, name);
      return value === undefined || name === 'json' ? [] : [[name, value]];
    });
    const options = Object.fromEntries(set) as Readonly<Record<string, OptionValue>>;
    runConfig({ options, file: config?.path, json: flag(values, 'json') }, io);
    return 0;
  },
  captures: async (values, io) => {
    const { runCaptures } = await import('./commands/captures.js');
    return await runCaptures(
      { where: optional(values, 'where'), news: flag(values, 'news'), json: flag(values, 'json') },
      io,
    );
  },
  report: async (values, io) => {
    const { runReport } = await import('./commands/report.js');
    return await runReport(
      {
        capture: orDash(text(values, 'capture')),
        html: optional(values, 'html'),
        bundle: optional(values, 'bundle'),
        redact: flag(values, 'redact'),
        json: flag(values, 'json'),
      },
      io,
    );
  },
  explain: async (values, io) => {
    const { runExplain } = await import('./commands/explain.js');
    await runExplain(
      { place: text(values, 'place'), payload: text(values, 'payload'), json: flag(values, 'json') },
      io,
    );
    return 0;
  },
  doctor: async (values, io) => {
    const { runDoctor } = await import('./commands/doctor.js');
    return await runDoctor({ json: flag(values, 'json') }, io);
  },
  completion: async (values, io) => {
    const { renderCompletion } = await import('./commands/completion.js');
    // yargs has checked it against the choices.
    io.out(renderCompletion(text(values, 'shell') as Shell));
    return 0;
  },
};

/** The configuration file that argv asks for, read before yargs checks what is missing. */
async function readConfig(argv: readonly string[]): Promise<ConfigFile | undefined> {
  const known = Object.values<CommandSpec>(commandSpecs).flatMap(({ options }) => Object.entries(options));
  const names = (type: string): string[] =>
    known.flatMap(([name, spec]) => (spec.type === type ? [name] : []));
  const { Parser } = await import('yargs/helpers');
  const given: Values = Parser([...argv], {
    string: names('string'),
    boolean: [...names('boolean'), ...Object.keys(commonOptions), 'help'],
    configuration: parserConfiguration,
  });
  const [command] = given['_'] as readonly unknown[];
  const spec = Object.values<CommandSpec>(commandSpecs).find(({ name }) => name === command);
  if (spec?.configurable !== true || flag(given, 'help')) return undefined;
  const asked = single(given, 'config');
  // Without its argument it is refused later, with all else that is wrong.
  if (asked === '') return undefined;
  const { readConfigFile } = await import('./config/config-file.js');
  return await readConfigFile(
    asked === false ? false : optional(given, 'config'),
    standardConfigFile,
    configKeys,
  );
}

function positional({ name, optional }: Positional): string {
  return optional === true ? `[${name}]` : `<${name}>`;
}

/** The file is for several commands: each takes the keys that it has options for. */
function valuesFor({ options }: CommandSpec, config: ConfigFile | undefined): Values {
  return Object.fromEntries(Object.entries(config?.values ?? {}).filter(([name]) => name in options));
}

function addOptions(parser: Argv, spec: CommandSpec): Argv {
  for (const { name, describe, optional = false, choices } of spec.positionals ?? []) {
    parser.positional(name, {
      type: 'string',
      describe,
      demandOption: !optional,
      ...(choices === undefined ? {} : { choices }),
    });
  }
  for (const [name, option] of Object.entries<OptionSpec>({ ...spec.options, ...commonOptions })) {
    const { type, describe, array, required, choices, default: standard } = option;
    parser.option(name, {
      // Without a type yargs gives numbers as numbers, and all else as it was typed.
      ...(type === 'number' ? {} : { type }),
      describe,
      ...(array === true ? { array: true } : type === 'boolean' ? {} : { requiresArg: true }),
      ...(required === true ? { demandOption: true } : {}),
      ...(choices === undefined ? {} : { choices }),
      ...(standard === undefined ? {} : { default: standard }),
    } as Options);
  }
  return parser;
}

function usage(message: string): SaveoopsError {
  return new SaveoopsError('usage', 'the command line is not understood', {
    where: `saveoops ${argumentsGiven.join(' ')}`,
    found: message.replace(/\s*\n\s*/g, ' '),
    wanted: 'a command and its options',
    hint: 'saveoops --help, saveoops COMMAND --help',
  });
}

async function run(argv: readonly string[]): Promise<number> {
  // Most of the start is yargs, and this needs none of it.
  if (argv.length === 1 && argv[0] === '--version') {
    output.out(`${version}\n`);
    return 0;
  }
  let exitCode = 0;
  const config = await readConfig(argv);
  const { default: yargs } = await import('yargs');
  const parser = yargs([...argv])
    .scriptName('saveoops')
    .usage(
      '$0 COMMAND\n\nCaptures Linux panics, from the first C function of the kernel on, by means of the boot loader.',
    )
    .version(version)
    .strict()
    .demandCommand(1, 'no command')
    .recommendCommands()
    .parserConfiguration(parserConfiguration)
    .exitProcess(false)
    .fail((message, error) => {
      const thrown = error as Error | undefined;
      // yargs has an error of its own for an option that lacks its argument.
      throw thrown === undefined || thrown.name === 'YError' ? usage(message) : thrown;
    });
  for (const [key, spec] of Object.entries(commandSpecs) as [keyof typeof commandSpecs, CommandSpec][]) {
    parser.command(
      [spec.name, ...(spec.positionals ?? []).map(positional)].join(' '),
      spec.describe,
      (sub) => addOptions(sub, spec).config(valuesFor(spec, config)),
      async (values) => {
        const { io, end } = await follow(output, {
          quiet: flag(values, 'quiet'),
          verbose: flag(values, 'verbose'),
          json: flag(values, 'json'),
        });
        exitCode = await asTask(io, () => handlers[key](values, io, config)).finally(end);
      },
    );
  }
  await parser.parseAsync();
  return exitCode;
}

/** What the operating system refused where no code has said more of it. Anything else is a bug. */
function asSaveoopsError(error: unknown): SaveoopsError | undefined {
  if (error instanceof SaveoopsError) return error;
  const { syscall, path } = (error ?? {}) as NodeJS.ErrnoException;
  if (syscall === undefined) return undefined;
  return fileError(path ?? `the system call ${syscall}`, 'what the operating system grants', error);
}

// Temporary files and folders are removed, and QEMU goes with its parent, only when the process ends by itself.
for (const [signal, number] of [
  ['SIGHUP', 1],
  ['SIGINT', 2],
  ['SIGTERM', 15],
] as const) {
  process.once(signal, () => process.exit(128 + number));
}

try {
  process.exitCode = await run(argumentsGiven);
} catch (error) {
  const known = asSaveoopsError(error);
  process.exitCode = known === undefined ? 70 : exitCodeOf[known.kind];
  const bug = error instanceof Error ? error.stack : String(error);
  output.progress(`${known === undefined ? `saveoops: bug, please report: ${bug}` : renderError(known)}\n`);
}
