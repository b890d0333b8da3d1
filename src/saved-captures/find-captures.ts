/** From what a person types to captures: a directory, a disk image, an ID, "last", or nothing. */
import { stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { SaveoopsError } from '../errors.js';
import { fileError } from '../host/files.js';
import { isFolder } from '../host/presence.js';
import { parseCaptureName } from './capture-name.js';
import { defaultPlaces } from './default-places.js';
import { captureAt, capturesInFolder } from './folder-store.js';
import { capturesInImage, looksLikeImage } from './image-store.js';
import { newestFirst, type StoredCapture } from './stored-capture.js';

export interface FoundCaptures {
  /** Newest first. */
  readonly captures: readonly StoredCapture[];
  /** Where they were looked for. */
  readonly places: readonly string[];
}

/** Below a directory that is the root of a mounted file system or of a system. */
const below: readonly string[] = ['saveoops', 'boot/saveoops', 'boot/efi/saveoops'];

/** @param where a directory or an image; undefined: the places of this system. Throws `file`, `wrong-file`, `tool`. */
export async function findCaptures(where: string | undefined): Promise<FoundCaptures> {
  if (where === undefined) return await inFolders(await defaultPlaces());
  const status = await statOf(where, 'a directory or a disk image with captures');
  if (!status.isDirectory()) return { captures: newestFirst(await capturesInImage(where)), places: [where] };
  const inner = below.map((path) => join(where, path));
  const there = await Promise.all(inner.map(isFolder));
  return await inFolders([where, ...inner.filter((_, index) => there[index] === true)]);
}

async function inFolders(places: readonly string[]): Promise<FoundCaptures> {
  const found = await Promise.all(places.map(capturesInFolder));
  return { captures: newestFirst(found.flat()), places };
}

/** What `saveoops report` is to read. */
export type ReportSource =
  | { readonly kind: 'capture'; readonly capture: StoredCapture }
  | { readonly kind: 'log'; readonly path: string };

/**
 * A path of a capture, of a directory or image with captures (the newest is taken) or of a log; `PLACE:ID`; `last`; or
 * the beginning of an ID or of a name. Throws `file` for nothing found, `usage` for more than one, and what
 * findCaptures() throws.
 */
export async function findReportSource(argument: string): Promise<ReportSource> {
  const status = await stat(argument).catch(() => undefined);
  if (status?.isDirectory() === true) {
    const capture = await captureAt(argument);
    if (capture !== undefined && isCapture(capture)) return { kind: 'capture', capture };
    return chosen(await findCaptures(argument), 'last', argument);
  }
  if (status !== undefined) {
    if (!status.isFile()) throw notThere(argument, 'a special file', [argument]);
    return (await looksLikeImage(argument))
      ? chosen(await findCaptures(argument), 'last', argument)
      : { kind: 'log', path: argument };
  }
  const colon = argument.lastIndexOf(':');
  const place = argument.slice(0, Math.max(0, colon));
  if (place !== '' && (await stat(place).catch(() => undefined)) !== undefined)
    return chosen(await findCaptures(place), argument.slice(colon + 1), argument);
  return chosen(await findCaptures(undefined), argument, argument);
}

function isCapture({ where, files }: StoredCapture): boolean {
  return (
    parseCaptureName(basename(where)) !== undefined ||
    files.some(({ name }) => ['dmesg.txt', 'dmesg.txt.incomplete', 'capture.json'].includes(name))
  );
}

function chosen({ captures, places }: FoundCaptures, which: string, argument: string): ReportSource {
  const begins = ({ id, name }: StoredCapture): boolean => id.startsWith(which) || name.startsWith(which);
  const matching = which === 'last' || which === '' ? captures.slice(0, 1) : captures.filter(begins);
  const [capture, ...others] = matching;
  if (capture === undefined) {
    const found = captures.length === 0 ? 'no captures' : `${captures.length} captures, none of that ID`;
    throw notThere(argument, `${found} in ${places.join(', ') || 'any of the usual places'}`, places);
  }
  if (others.length > 0) {
    throw new SaveoopsError('usage', 'more than one capture begins like that', {
      where: argument,
      found: matching.map(({ name }) => name).join(', '),
      wanted: 'one of them',
      hint: 'give more of the ID or of the name',
    });
  }
  return { kind: 'capture', capture };
}

function notThere(argument: string, found: string, places: readonly string[]): SaveoopsError {
  return new SaveoopsError('file', 'no such capture', {
    where: argument,
    found,
    wanted: 'a capture directory, a log, "-", IMAGE:ID, the beginning of an ID, or "last"',
    hint: `saveoops captures${places.length === 1 ? ` ${places[0] ?? ''}` : ''} lists what there is`,
  });
}

async function statOf(path: string, wanted: string): ReturnType<typeof stat> {
  return await stat(path).catch((error: unknown) => {
    throw fileError(path, wanted, error);
  });
}
