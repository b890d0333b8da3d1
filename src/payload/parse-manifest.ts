/**
 * The manifest read back. A payload may come from anywhere, and its manifest names files that are read and written and
 * command lines that become configuration: nothing of it is used before every value has been seen to be what it should.
 */
import { SaveoopsError } from '../errors.js';
import type { Manifest } from './manifest.js';

/** What each value must be: a list has one shape for all of its members. */
type ShapeOf<T> = T extends readonly (infer Member)[]
  ? readonly [ShapeOf<Member>]
  : T extends object
    ? { readonly [Key in keyof T]: ShapeOf<T[Key]> }
    : (value: unknown) => boolean;
type Shape = ((value: unknown) => boolean) | readonly [Shape] | { readonly [key: string]: Shape };

const matches =
  (pattern: RegExp) =>
  (value: unknown): boolean =>
    typeof value === 'string' && pattern.test(value);

const text = matches(/^/);
/** One line of printable ASCII: what an APPEND of Syslinux can hold. */
const line = matches(/^[ -~]*$/);
/** A file beside the payload, as namesBeside() makes them: it leads to no other folder. */
const name = matches(/^(?!\.\.?$)[A-Za-z0-9._+-]+$/);
/** uname -r, which becomes part of paths. */
const release = matches(/^(?!\.\.?$)[!-.0-~]+$/);
const digest = matches(/^[0-9a-f]{64}$/);
const flag = (value: unknown): boolean => typeof value === 'boolean';
const size = (value: unknown): boolean => Number.isSafeInteger(value) && Number(value) >= 0;

const shape: ShapeOf<Manifest> = {
  format: (value) => value === 1,
  generator: text,
  primary: {
    release,
    kernelFile: name,
    initrdFiles: [name],
    initrdBeside: flag,
    append: line,
    plainAppend: line,
    oopsPanic: flag,
    sha256: digest,
  },
  crash: {
    release,
    kernelFile: name,
    append: line,
    ownAppend: line,
    samePrimary: flag,
    sha256: digest,
  },
  reset: { vga: flag, pic: flag },
  afterReset: flag,
  bootWatchdog: size,
  memory: {
    size,
    asked: (value) => value === null || size(value),
    unpacked: size,
    parts: [{ what: text, bytes: size }],
  },
  regions: [{ name: text, offset: size, size, purpose: text, sha256: digest }],
  efiModule: { sha256: digest },
  edits: [{ what: text, address: text, before: text, after: text }],
  facts: [{ name: text, value: text, source: text }],
  debug: { stub: size, leaveImage: size, enterKernel: size },
};

/** @param source names the file, for errors. Throws `format`. */
export function parseManifest(json: string, source: string): Manifest {
  const refuse = (found: string, cause?: unknown): SaveoopsError =>
    new SaveoopsError('format', 'not a Saveoops manifest', {
      where: source,
      found,
      wanted: 'a manifest of format 1, as this version of saveoops build writes it',
      hint: 'build the payload again',
      cause,
    });
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch (error) {
    throw refuse(error instanceof Error ? error.message : String(error), error);
  }
  const wrong = firstWrong(value, shape, '');
  if (wrong !== undefined) throw refuse(wrong);
  const manifest = value as Manifest;
  const { append, ownAppend } = manifest.crash;
  if (!append.endsWith(ownAppend)) throw refuse('crash.append does not end with crash.ownAppend');
  return manifest;
}

/** The first value that is not of its shape, and what it is. */
function firstWrong(value: unknown, wanted: Shape, path: string): string | undefined {
  const isObject = typeof value === 'object' && value !== null;
  if (typeof wanted === 'function') {
    return wanted(value) ? undefined : `${path} is ${shown(value)}`;
  }
  if (isList(wanted)) {
    if (!Array.isArray(value)) return `${path} is ${shown(value)}`;
    return first(value.entries(), ([index, member]) => firstWrong(member, wanted[0], `${path}[${index}]`));
  }
  if (!isObject) return `${path === '' ? 'the whole' : path} is ${shown(value)}`;
  const values = value as Readonly<Record<string, unknown>>;
  return first(Object.entries(wanted), ([key, inner]) =>
    firstWrong(values[key], inner, path === '' ? key : `${path}.${key}`),
  );
}

function isList(wanted: Shape): wanted is readonly [Shape] {
  return Array.isArray(wanted);
}

function first<T>(all: Iterable<T>, find: (each: T) => string | undefined): string | undefined {
  for (const each of all) {
    const found = find(each);
    if (found !== undefined) return found;
  }
  return undefined;
}

function shown(value: unknown): string {
  return value === undefined ? 'missing' : JSON.stringify(value).slice(0, 100);
}
