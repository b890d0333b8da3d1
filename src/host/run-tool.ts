/**
 * Runs a host tool. A tool that is not installed, and one that fails, become `tool` errors that name the Debian
 * package to install or show the tool's own last words.
 */
import { execa, ExecaError } from 'execa';
import { SaveoopsError } from '../errors.js';

/** Debian package of each tool that Saveoops calls, for the hint when it is missing. */
const packageOf: Readonly<Record<string, string>> = {
  age: 'age',
  bzip2: 'bzip2',
  cpio: 'cpio',
  debugfs: 'e2fsprogs',
  'dpkg-deb': 'dpkg',
  gzip: 'gzip',
  lz4: 'lz4',
  lzop: 'lzop',
  mcopy: 'mtools',
  mdir: 'mtools',
  mformat: 'mtools',
  mmd: 'mtools',
  partx: 'util-linux',
  'qemu-system-x86_64': 'qemu-system-x86',
  sbsign: 'sbsigntool',
  syslinux: 'syslinux',
  tar: 'tar',
  xorriso: 'xorriso',
  xz: 'xz-utils',
  zbarimg: 'zbar-tools',
  zstd: 'zstd',
};

export interface ToolRun {
  readonly input?: Uint8Array;
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Milliseconds before the tool is killed; default ten minutes. */
  readonly timeout?: number;
  /** Whether a word on standard error is a failure, too: mtools end with status 0 when the disk is full. */
  readonly silent?: boolean;
}

/** Bytes of output after which a tool is stopped: a small hostile file can decompress to any size. */
const largestOutput = 1 << 30;

/** Runs `tool args...` and gives its standard output. Throws `tool`, or `format` for endless output. */
export async function runTool(tool: string, args: readonly string[], run: ToolRun = {}): Promise<Uint8Array> {
  try {
    const child = execa(tool, [...args], {
      encoding: 'buffer',
      stripFinalNewline: false,
      // Kernels are tens of megabytes: chunks are put together once, at the end.
      buffer: { stdout: false, stderr: true },
      timeout: run.timeout ?? 600_000,
      ...(run.input === undefined ? { stdin: 'ignore' as const } : { input: run.input }),
      ...(run.cwd === undefined ? {} : { cwd: run.cwd }),
      ...(run.env === undefined ? {} : { env: { ...run.env } }),
    });
    const chunks: Buffer[] = [];
    let size = 0;
    child.stdout.on('data', (chunk: Buffer) => {
      size += chunk.length;
      if (size > largestOutput) child.kill('SIGKILL');
      else chunks.push(chunk);
    });
    const { stderr } = await child.catch((error: unknown) => {
      throw size > largestOutput ? tooMuch(tool, args) : error;
    });
    if (run.silent === true && stderr.length > 0) throw failed(tool, args, stderr, 'complaints');
    return Buffer.concat(chunks);
  } catch (error) {
    throw error instanceof SaveoopsError ? error : toolError(tool, args, error);
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
