#!/usr/bin/env node
/** argv in, exit code out: the only place that prints errors and ends the process. */
import yargs, { type Argv, type Options } from 'yargs';
import { hideBin } from 'yargs/helpers';
import type { DumpLevel } from './capture/save-words.js';
import { runBooted } from './commands/booted.js';
import { runBuild } from './commands/build.js';
import { runImage } from './commands/image.js';
import { runInspect } from './commands/inspect.js';
import { commandSpecs, type CommandSpec } from './commands/options.js';
import { runStatus } from './commands/status.js';
import { runTest } from './commands/test.js';
import { exitCodeOf, renderError, SaveoopsError } from './errors.js';
import { version } from './host/version.js';

const io = {
  out: (text: string): void => {
    process.stdout.write(text);
  },
  progress: (text: string): void => {
    process.stderr.write(text);
  },
};

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
const number = (values: Values, name: string): number => Number(single(values, name));

/** Each command's exit code for a run that threw nothing. */
const handlers: Readonly<Record<keyof typeof commandSpecs, (values: Values) => Promise<number>>> = {
  build: async (values) => {
    await runBuild(
      {
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
        out: text(values, 'out'),
        format: text(values, 'format') === 'bzimage' ? 'bzimage' : 'com32',
        json: flag(values, 'json'),
      },
      io,
    );
    return 0;
  },
  inspect: async (values) => {
    await runInspect({ file: text(values, 'file'), json: flag(values, 'json') }, io);
    return 0;
  },
  image: async (values) => {
    await runImage({ dir: text(values, 'dir'), out: text(values, 'out'), iso: flag(values, 'iso') }, io);
    return 0;
  },
  test: async (values) =>
    runTest(
      {
        dir: text(values, 'dir'),
        panic: text(values, 'panic'),
        nokaslr: flag(values, 'nokaslr'),
        cpus: number(values, 'cpus'),
        memory: number(values, 'memory'),
        timeout: number(values, 'timeout'),
        keep: optional(values, 'keep'),
        json: flag(values, 'json'),
      },
      io,
    ),
  booted: async (values) => {
    await runBooted({ dir: list(values, 'dir') });
    return 0;
  },
  status: async (values) =>
    runStatus({ root: text(values, 'root'), motd: flag(values, 'motd'), json: flag(values, 'json') }, io),
};

function addOptions(parser: Argv, spec: CommandSpec): Argv {
  if (spec.positional !== undefined) {
    const { name, describe } = spec.positional;
    parser.positional(name, { type: 'string', describe, demandOption: true });
  }
  for (const [name, option] of Object.entries(spec.options)) {
    const { type, describe, array, required, choices, default: standard } = option;
    parser.option(name, {
      type,
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
    where: `saveoops ${hideBin(process.argv).join(' ')}`,
    found: message.replace(/\s*\n\s*/g, ' '),
    wanted: 'a command and its options',
    hint: 'saveoops --help, saveoops COMMAND --help',
  });
}

async function run(argv: readonly string[]): Promise<number> {
  let exitCode = 0;
  const parser = yargs([...argv])
    .scriptName('saveoops')
    .usage(
      '$0 COMMAND\n\nCaptures Linux panics, from the first C function of the kernel on, by means of the boot loader.',
    )
    .version(version)
    .strict()
    .demandCommand(1, 'no command')
    .recommendCommands()
    .parserConfiguration({
      'camel-case-expansion': false,
      'greedy-arrays': false,
    })
    .exitProcess(false)
    .fail((message, error) => {
      throw (error as Error | undefined) ?? usage(message);
    });
  for (const [key, spec] of Object.entries(commandSpecs) as [keyof typeof commandSpecs, CommandSpec][]) {
    const command = spec.positional === undefined ? spec.name : `${spec.name} <${spec.positional.name}>`;
    parser.command(
      command,
      spec.describe,
      (sub) => addOptions(sub, spec),
      async (values) => {
        exitCode = await handlers[key](values);
      },
    );
  }
  await parser.parseAsync();
  return exitCode;
}

// tmp removes its folders, and QEMU goes with its parent, only when the process ends by itself.
for (const [signal, number] of [
  ['SIGINT', 2],
  ['SIGTERM', 15],
] as const) {
  process.once(signal, () => process.exit(128 + number));
}

try {
  process.exitCode = await run(hideBin(process.argv));
} catch (error) {
  if (error instanceof SaveoopsError) {
    process.stderr.write(`${renderError(error)}\n`);
    process.exitCode = exitCodeOf[error.kind];
  } else {
    process.stderr.write(
      `saveoops: bug, please report: ${error instanceof Error ? error.stack : String(error)}\n`,
    );
    process.exitCode = 70;
  }
}
