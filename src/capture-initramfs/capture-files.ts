/**
 * Gathers what goes into the capture initramfs from the programs that Debian packages install on this machine.
 *
 * All libraries go to /lib and the dynamic loader to the path that the programs name, so the archive works
 * whatever the library folders of the build machine are called (init exports LD_LIBRARY_PATH=/lib).
 */
import { readdir } from 'node:fs/promises';
import { posix } from 'node:path';
import { SaveoopsError } from '../errors.js';
import { ELFCLASS64, EM_X86_64 } from '../formats/elf/elf-tables.js';
import { type Elf, parseElf } from '../formats/elf/parse-elf.js';
import { fileError, readInput } from '../host/files.js';
import { exists } from '../host/presence.js';
import { runTool } from '../host/run-tool.js';
import { generator } from '../host/version.js';
import { type ArchiveEntry } from './cpio-archive.js';
import { dumpKeyPath, generatorPath } from './constants.js';
import { readElfNeeds } from './elf-needs.js';
import { appletsOf, compiledProgram, compiledPrograms, isProgram, readScripts } from './scripts.js';

/** A member of the archive and where it came from: a path of this machine, or "saveoops" for what we write. */
export type CaptureFile = ArchiveEntry & { readonly source: string };

/** A program that the initramfs carries, with the places where a Debian system may have it. */
export interface CaptureProgram {
  /** File name under /bin of the initramfs. */
  readonly name: string;
  /** Where it is looked for on this machine, first match wins. */
  readonly places: readonly string[];
  readonly debianPackage: string;
}

/** The shell and all small tools of init. */
const busybox: CaptureProgram = {
  name: 'busybox',
  places: ['/bin/busybox', '/usr/bin/busybox'],
  debianPackage: 'busybox-static',
};

/** Programs beside busybox: they may be dynamic, their libraries come along. */
const vmcoreDmesg: CaptureProgram = {
  name: 'vmcore-dmesg',
  places: ['/usr/sbin/vmcore-dmesg', '/sbin/vmcore-dmesg'],
  debianPackage: 'kexec-tools',
};
const blkid: CaptureProgram = {
  name: 'blkid',
  places: ['/usr/sbin/blkid', '/sbin/blkid'],
  debianPackage: 'util-linux',
};
const age: CaptureProgram = {
  name: 'age',
  places: ['/usr/bin/age'],
  debianPackage: 'age',
};
const extlinux: CaptureProgram = {
  name: 'extlinux',
  places: ['/usr/bin/extlinux', '/sbin/extlinux'],
  debianPackage: 'extlinux',
};
const makedumpfile: CaptureProgram = {
  name: 'makedumpfile',
  places: ['/usr/bin/makedumpfile', '/usr/sbin/makedumpfile'],
  debianPackage: 'makedumpfile',
};

/** What every capture initramfs has of the build machine's programs. */
export const capturePrograms: readonly CaptureProgram[] = [busybox, vmcoreDmesg, blkid];
/** What --save adds in a payload that Syslinux boots: another entry after captures in a row. */
export const bootOncePrograms: readonly CaptureProgram[] = [extlinux];
/** What some options add: --dump and --dump-key. */
export const dumpPrograms: readonly CaptureProgram[] = [makedumpfile, age];

/** Folders of x86-64 libraries on Debian, then on others. Sub-folders for newer CPUs are left out on purpose:
 * the crash may happen on another machine than this one. */
const libraryFolders: readonly string[] = [
  '/lib/x86_64-linux-gnu',
  '/usr/lib/x86_64-linux-gnu',
  '/lib64',
  '/usr/lib64',
  '/lib',
  '/usr/lib',
];

/** Mount points and folders that init writes to. */
const emptyFolders: readonly string[] = ['dev', 'proc', 'run', 'sys', 'tmp'];

export interface GatherOptions {
  /** Another static busybox than the installed one; its places replace the usual ones. */
  readonly busyboxPlaces?: readonly string[];
  /** Programs beside busybox; default vmcore-dmesg and blkid, and what the options add. */
  readonly programs?: readonly CaptureProgram[];
  /** Adds makedumpfile; without it a dump is a copy of all memory. */
  readonly dumps?: boolean | undefined;
  /** Adds extlinux, which tells Syslinux what to boot next. */
  readonly bootOnce?: boolean | undefined;
  /** age recipients, checked: dumps are encrypted to them. */
  readonly dumpKey?: Uint8Array | undefined;
  /** Adds load-modules. */
  readonly loadsModules?: boolean | undefined;
  /** Folder in which programs and their libraries are looked for first, flat. */
  readonly toolFolder?: string | undefined;
}

/**
 * The members of the initramfs, without the folders that paths imply. Of the programs only busybox is run, for its list.
 * Throws `tool` when a program or library is missing or of the wrong kind, with the apt line that installs it, and
 * `file` when `toolFolder` is no folder.
 */
export async function gatherCaptureFiles(options: GatherOptions = {}): Promise<CaptureFile[]> {
  const { dumps = false, bootOnce = false, loadsModules = false, dumpKey, toolFolder } = options;
  if (toolFolder !== undefined) await requireFolder(toolFolder);
  const places = options.busyboxPlaces ?? busybox.places;
  const programs = options.programs ?? [
    ...[vmcoreDmesg, blkid],
    ...(dumps ? [makedumpfile] : []),
    ...(bootOnce ? bootOncePrograms : []),
    ...(dumpKey === undefined ? [] : [age]),
  ];
  const scripts = (await readScripts()).filter(({ path }) => loadsModules || path !== 'bin/load-modules');
  const files = new Map<string, CaptureFile>();
  const add = (file: CaptureFile) => files.set(file.path, file);

  for (const script of scripts) {
    const { path, bytes } = script;
    add(isProgram(script) ? executable(path, bytes, 'saveoops') : readable(path, bytes));
  }
  for (const name of compiledPrograms) {
    const bytes = await readInput(compiledProgram(name), 'a built program: run `npm run build`');
    add(executable(`bin/${name}`, bytes, 'saveoops'));
  }
  add(readable(generatorPath, Buffer.from(`${generator}\n`)));
  if (dumpKey !== undefined) add(readable(dumpKeyPath, dumpKey));
  for (const path of emptyFolders) add({ path, mode: 0o755, kind: 'directory', source: 'saveoops' });
  const shell = await gatherBusybox({ ...busybox, places }, toolFolder);
  add(shell);
  for (const program of programs) {
    for (const file of await gatherProgram(program, toolFolder)) add(file);
  }
  for (const name of appletsOf(scripts, await appletNames(shell.source))) {
    const path = `bin/${name}`;
    // Busybox has a blkid, and a tool of its own name, too.
    if (!files.has(path)) add({ path, mode: 0o777, kind: 'link', target: 'busybox', source: 'saveoops' });
  }
  return [...files.values()];
}

interface Program {
  readonly path: string;
  readonly bytes: Uint8Array;
  readonly elf: Elf;
}

async function gatherBusybox(program: CaptureProgram, toolFolder?: string): Promise<CaptureFile> {
  const { path, bytes, elf } = await findProgram(program, toolFolder);
  const { interpreter } = readElfNeeds(elf);
  if (interpreter !== undefined) {
    throw new SaveoopsError('tool', `${path} is not a static program`, {
      where: path,
      found: `a dynamic program that needs the loader ${interpreter}`,
      wanted: `a static busybox, from the Debian package ${program.debianPackage}`,
      hint: aptLine(program),
    });
  }
  return executable(`bin/${program.name}`, bytes, path);
}

/** All tools that a busybox has. */
async function appletNames(path: string): Promise<string[]> {
  const bytes = await runTool(path, ['--list']);
  return Buffer.from(bytes).toString().trim().split('\n');
}

/** The program, its loader, and all libraries that it and they need. */
async function gatherProgram(program: CaptureProgram, toolFolder?: string): Promise<CaptureFile[]> {
  const { path, bytes, elf } = await findProgram(program, toolFolder);
  const needs = readElfNeeds(elf);
  const files = [executable(`bin/${program.name}`, bytes, path)];
  if (needs.interpreter !== undefined) {
    const source = await findLoader(needs.interpreter, toolFolder);
    const loader = await readInput(source, `the dynamic loader of ${path}`);
    files.push(executable(needs.interpreter.replace(/^\/+/, ''), loader, source));
  }
  const seen = new Set<string>();
  const wanted = needs.libraries.map((name) => ({ name, neededBy: path }));
  for (let next = wanted.shift(); next !== undefined; next = wanted.shift()) {
    if (seen.has(next.name)) continue;
    seen.add(next.name);
    const library = await findLibrary(next.name, next.neededBy, program, toolFolder);
    for (const name of readElfNeeds(library.elf).libraries) wanted.push({ name, neededBy: library.path });
    // The loader is also a library that libc needs, and is already there under its own path.
    const isLoader = needs.interpreter !== undefined && posix.basename(needs.interpreter) === next.name;
    if (!isLoader) files.push(executable(`lib/${next.name}`, library.bytes, library.path));
  }
  return files;
}

function executable(path: string, bytes: Uint8Array, source: string): CaptureFile {
  return { path, mode: 0o755, kind: 'file', bytes, source };
}

function readable(path: string, bytes: Uint8Array): CaptureFile {
  return { path, mode: 0o644, kind: 'file', bytes, source: 'saveoops' };
}

/** All programs share one C library and one loader, and these two must be of the same build. */
async function findLoader(interpreter: string, toolFolder?: string): Promise<string> {
  if (toolFolder === undefined) return interpreter;
  const preferred = posix.join(toolFolder, posix.basename(interpreter));
  return (await exists(preferred)) ? preferred : interpreter;
}

async function findProgram(program: CaptureProgram, toolFolder?: string): Promise<Program> {
  const preferred = toolFolder === undefined ? [] : [posix.join(toolFolder, program.name)];
  const places = [...preferred, ...program.places];
  for (const path of places) {
    if (!(await exists(path))) continue;
    const bytes = await readInput(path, `the program ${program.name}`);
    return { path, bytes, elf: parseProgram(bytes, path, program) };
  }
  throw new SaveoopsError('tool', `${program.name} is not installed`, {
    where: places.join(', '),
    found: 'no such file',
    wanted: `${program.name}, from the Debian package ${program.debianPackage}`,
    hint: aptLine(program),
  });
}

/** Like parseElf, but what is not a 64-bit x86 program is the machine's fault (`tool`), not an input's. */
function parseProgram(bytes: Uint8Array, path: string, program: CaptureProgram): Elf {
  let found: string;
  let cause: unknown;
  try {
    const elf = parseElf(bytes, path);
    if (isX86Elf64(elf)) return elf;
    found = 'a program for another machine';
  } catch (error) {
    if (!(error instanceof SaveoopsError)) throw error;
    found = `${error.message}: ${error.found}`;
    cause = error;
  }
  throw new SaveoopsError('tool', `${path} cannot run in the crash kernel`, {
    where: path,
    found,
    wanted: `a 64-bit x86 ELF program, from the Debian package ${program.debianPackage}`,
    hint: aptLine(program),
    cause,
  });
}

async function findLibrary(
  name: string,
  neededBy: string,
  program: CaptureProgram,
  toolFolder?: string,
): Promise<Program> {
  const folders = toolFolder === undefined ? libraryFolders : [toolFolder, ...libraryFolders];
  // A name with a slash is a path to the loader, used as it stands (gABI, "Shared Object Dependencies").
  const paths = name.includes('/') ? [name] : folders.map((folder) => posix.join(folder, name));
  for (const path of paths) {
    if (!(await exists(path))) continue;
    const bytes = await readInput(path, `a library of ${neededBy}`);
    const elf = parseProgram(bytes, path, program);
    return { path, bytes, elf };
  }
  throw new SaveoopsError('tool', `${name} is not installed`, {
    where: `${neededBy}, DT_NEEDED`,
    found: `no ${name} in ${folders.join(', ')}`,
    wanted: `the libraries of ${program.name}, which its package ${program.debianPackage} depends on`,
    hint: `apt-get install --reinstall ${program.debianPackage}`,
  });
}

function isX86Elf64(elf: Elf): boolean {
  return elf.header.ei_class === ELFCLASS64 && elf.header.e_machine === EM_X86_64;
}

function aptLine(program: CaptureProgram): string {
  return `apt-get install ${program.debianPackage}`;
}

/** A folder that is not there would mean the system's programs after all, without a word. */
async function requireFolder(path: string): Promise<void> {
  try {
    await readdir(path);
  } catch (error) {
    throw fileError(path, 'a folder with programs and libraries for the capture initramfs', error);
  }
}
