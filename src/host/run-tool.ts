/**
 * Runs a host tool. A tool that is not installed, and one that fails, become `tool` errors that name the Debian
 * package to install or show the tool's own last words.
 */
import { execa, ExecaError } from 'execa';
import { SaveoopsError } from '../errors.js';
import { abortSignal, toolEnded } from './task.js';

/** Debian package of each tool that Saveoops calls, for the hint when it is missing. */
export const packageOf: Readonly<Record<string, string>> = {
  age: 'age',
  bzip2: 'bzip2',
  cpio: 'cpio',
  debugfs: 'e2fsprogs',
  'dpkg-deb': 'dpkg',
  'grub-editenv': 'grub-common',
  'grub-mkconfig': 'grub-common',
  'grub-script-check': 'grub-common',
  gzip: 'gzip',
  lz4: 'lz4',
  lzop: 'lzop',
  mcopy: 'mtools',
  mdir: 'mtools',
  mformat: 'mtools',
  mmd: 'mtools',
  modprobe: 'kmod',
  partx: 'util-linux',
  'qemu-system-x86_64': 'qemu-system-x86',
  sbsign: 'sbsigntool',
  syslinux: 'syslinux',
  tar: 'tar',
  ukify: 'systemd-ukify',
  xorriso: 'xorriso',
  xz: 'xz-utils',
  zbarimg: 'zbar-tools',
  zstd: 'zstd',
};

export interface ToolRun {
  readonly input?: Uint8Array;
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Bytes of output that are expected: room for them is made once. The tool may give fewer or more. */
  readonly outputSize?: number;
  /** Milliseconds before the tool is killed; default ten minutes. */
  readonly timeout?: number;
  /** Whether a word on standard error is a failure, too: mtools end with status 0 when the disk is full. */
  readonly silent?: boolean;
}

/** Bytes of output after which a tool is stopped: a small hostile file can decompress to any size. */
const largestOutput = 1 << 30;

/** Runs `tool args...` and gives its standard output. Throws `tool`, or `format` for endless output. */
export async function runTool(tool: string, args: readonly string[], run: ToolRun = {}): Promise<Uint8Array> {
  const started = performance.now();
  const signal = abortSignal();
  try {
    const child = execa(tool, [...args], {
      encoding: 'buffer',
      stripFinalNewline: false,
      // Kernels are tens of megabytes: they are copied once.
      buffer: { stdout: false, stderr: true },
      timeout: run.timeout ?? 600_000,
      stdin: run.input === undefined ? 'ignore' : 'pipe',
      ...(signal === undefined ? {} : { cancelSignal: signal }),
      ...(run.cwd === undefined ? {} : { cwd: run.cwd }),
      ...(run.env === undefined ? {} : { env: { ...run.env } }),
    });
    // A tool that ends before it has read all says itself why.
    child.stdin?.on('error', () => undefined);
    child.stdin?.end(run.input);
    const output = new Output(run.outputSize);
    child.stdout.on('data', (chunk: Buffer) => {
      if (output.size + chunk.length > largestOutput) child.kill('SIGKILL');
      output.add(chunk);
    });
    const { stderr } = await child.catch((error: unknown) => {
      throw output.size > largestOutput ? tooMuch(tool, args) : error;
    });
    if (run.silent === true && stderr.length > 0) throw failed(tool, args, stderr, 'complaints');
    return output.bytes();
  } catch (error) {
    throw error instanceof SaveoopsError ? error : toolError(tool, args, error);
  } finally {
    toolEnded([tool, ...args], started);
  }
}

function tooMuch(tool: string, args: readonly string[]): SaveoopsError {
  return new SaveoopsError('format', `${tool} gives more than any kernel is large`, {
    where: [tool, ...args].join(' '),
    found: `more than ${largestOutput} bytes of output`,
    wanted: 'a kernel image',
    hint: 'the input may be damaged, or made to fill memory',
  });
}

function toolError(tool: string, args: readonly string[], error: unknown): SaveoopsError {
  if (error instanceof ExecaError && error.code === 'ENOENT') {
    const name = packageOf[tool] ?? tool;
    return new SaveoopsError('tool', `${tool} is not installed`, {
      where: [tool, ...args].join(' '),
      found: `no program "${tool}" on PATH`,
      wanted: `${tool}, from the Debian package ${name}`,
      hint: `apt-get install ${name}`,
      cause: error,
    });
  }
  const output: unknown = error instanceof ExecaError ? error.stderr : undefined;
  const status = error instanceof ExecaError ? error.shortMessage : String(error);
  return failed(tool, args, output instanceof Uint8Array ? output : new Uint8Array(), status, error);
}

function failed(
  tool: string,
  args: readonly string[],
  stderr: Uint8Array,
  status: string,
  cause?: unknown,
): SaveoopsError {
  const said = Buffer.from(stderr).toString().trim().split('\n').slice(-5).join(' | ');
  return new SaveoopsError('tool', `${tool} failed`, {
    where: [tool, ...args].join(' '),
    found: said || status,
    wanted: 'exit status 0',
    cause,
  });
}

/** What a tool has said so far. Pipes give 64 KiB at a time: each piece is copied once, and is free at once. */
class Output {
  size = 0;
  /** What there is room for, in one. */
  private readonly expected: Buffer;
  private readonly more: Buffer[] = [];

  constructor(expectedSize = 0) {
    this.expected = Buffer.allocUnsafeSlow(expectedSize);
  }

  add(chunk: Buffer): void {
    if (this.size + chunk.length > this.expected.length) this.more.push(chunk);
    else this.expected.set(chunk, this.size);
    this.size += chunk.length;
  }

  bytes(): Uint8Array {
    const { expected, more } = this;
    const kept = expected.subarray(0, this.size - more.reduce((sum, { length }) => sum + length, 0));
    return more.length === 0 ? kept : Buffer.concat([kept, ...more]);
  }
}
