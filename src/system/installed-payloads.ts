/**
 * The payloads on the boot file system, and whether they are older than what is installed: a kernel or initramfs that was
 * changed after the build boots from the payload as it was.
 */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { sha256Hex } from '../bytes/digests.js';
import { SaveoopsError } from '../errors.js';
import { readManifest } from '../image/payload-folder.js';
import type { Manifest } from '../payload/manifest.js';

/** A folder with a payload: its manifest, or why that cannot be read. */
export type FoundPayload =
  | { readonly folder: string; readonly manifest: Manifest; readonly error?: undefined }
  | { readonly folder: string; readonly manifest?: undefined; readonly error: SaveoopsError };

export interface InstalledPayload {
  readonly folder: string;
  /** uname -r of its primary kernel; null when the manifest cannot be read. */
  readonly release: string | null;
  /** What is newer than the payload, or gone; empty: it is up to date. */
  readonly stale: readonly string[];
  /** Files that could not be compared, and why. */
  readonly unchecked: readonly string[];
}

const manifestName = 'saveoops.json';
const kernelPrefix = 'vmlinuz-';
/** From /boot: where systemd-boot's payloads are, in a folder for each system on the ESP. */
const espFolders = ['saveoops', 'efi/saveoops', '../efi/saveoops'] as const;

/**
 * Payloads in `boot` and in folders two levels below, and those on the ESP, in the order of their paths.
 * @param boot /boot of the system
 * @param given the only folder to look at. Throws `file` or `format` when no payload is there.
 */
export async function findPayloads(boot: string, given?: string): Promise<readonly FoundPayload[]> {
  const folders = given === undefined ? await findAll(boot) : [given];
  return await Promise.all(
    folders.map(async (folder) => {
      try {
        return { folder, manifest: await readManifest(folder) };
      } catch (error) {
        if (given !== undefined || !(error instanceof SaveoopsError)) throw error;
        return { folder, error };
      }
    }),
  );
}

/** Whether they are up to date with what is in `boot`, in the same order. */
export async function comparePayloads(
  boot: string,
  payloads: readonly FoundPayload[],
): Promise<InstalledPayload[]> {
  const releases = payloads.flatMap(({ manifest }) =>
    manifest === undefined ? [] : [manifest.primary.release],
  );
  const newer = newerKernels(await list(boot), releases);
  return await Promise.all(
    payloads.map(async ({ folder, manifest, error }) =>
      manifest === undefined
        ? {
            folder,
            release: null,
            stale: [`${manifestName}: ${error.message}: ${error.found}`],
            unchecked: [],
          }
        : await compare(folder, manifest, boot, newer),
    ),
  );
}

async function findAll(boot: string): Promise<readonly string[]> {
  const places = espFolders.map(async (folder) => await findFolders(join(boot, folder), 2));
  const found = [await findFolders(boot, 2), ...(await Promise.all(places))].flat();
  return [...new Set(found)].sort();
}

async function findFolders(folder: string, depth: number): Promise<string[]> {
  const entries = await readdir(folder, { withFileTypes: true }).catch(() => []);
  const here = entries.some((entry) => entry.name === manifestName) ? [folder] : [];
  const below = entries
    // Beside a kernel's payload saveoops update keeps the one before it, and writes the one to come.
    .filter((entry) => entry.isDirectory() && depth > 0 && !/\.(old|new)$/.test(entry.name))
    .map(async (entry) => await findFolders(join(folder, entry.name), depth - 1));
  return [...here, ...(await Promise.all(below)).flat()].sort();
}

async function compare(
  folder: string,
  { primary, crash, regions }: Manifest,
  boot: string,
  newer: ReadonlyMap<string, string>,
): Promise<InstalledPayload> {
  const stale: string[] = [];
  const unchecked: string[] = [];
  const check = async (
    names: readonly string[],
    wanted: string | undefined,
    needed: boolean,
  ): Promise<void> => {
    for (const name of names) {
      const path = join(boot, name);
      try {
        const found = sha256Hex(await readFile(path));
        if (found !== wanted) stale.push(`${path} was changed after the build`);
        return;
      } catch (error) {
        const { code, message } = error as NodeJS.ErrnoException;
        if (code === 'ENOENT') continue;
        unchecked.push(`${path}: ${code ?? message}`);
        return;
      }
    }
    if (needed) stale.push(`${join(boot, names[0] ?? '')} is gone`);
  };
  await check([primary.kernelFile, `${kernelPrefix}${primary.release}`], primary.sha256, true);
  if (!crash.samePrimary)
    await check([crash.kernelFile, `${kernelPrefix}${crash.release}`], crash.sha256, true);
  for (const [index, name] of primary.initrdFiles.entries()) {
    const sha256 = primary.initrdBeside
      ? await readFile(join(folder, name)).then(sha256Hex, () => undefined)
      : regions.find((region) => region.name === `initrd-${index}`)?.sha256;
    if (sha256 === undefined) stale.push(`${join(folder, name)} is gone`);
    // A file without a release in its name came by a link. One that was made for the payload alone is not in /boot.
    else
      await check(
        /^initrd(\.img)?$/.test(name) ? [name, `initrd.img-${primary.release}`] : [name],
        sha256,
        false,
      );
  }
  const newest = newer.get(primary.release);
  if (newest !== undefined) stale.push(`Linux ${newest} is installed, and no payload has it`);
  return { folder, release: primary.release, stale, unchecked };
}

/** For each newest release of its flavour among `releases`: the newer one that is installed, if there is one. */
function newerKernels(files: readonly string[], releases: readonly string[]): Map<string, string> {
  const installed = files
    .filter((name) => name.startsWith(kernelPrefix))
    .map((name) => name.slice(kernelPrefix.length));
  const newer = new Map<string, string>();
  for (const release of releases) {
    const flavour = flavourOf(release);
    const like = (other: string): boolean => flavourOf(other) === flavour;
    if (newest(releases.filter(like)) !== release) continue;
    const other = newest([release, ...installed.filter(like)]);
    if (other !== release) newer.set(release, other);
  }
  return newer;
}

/** "cloud-amd64" of "6.1.0-56-cloud-amd64". */
function flavourOf(release: string): string {
  return release
    .split('-')
    .filter((word) => !/^\d/.test(word))
    .join('-');
}

function newest(releases: readonly string[]): string {
  const sorted = [...releases].sort((a, b) => a.localeCompare(b, 'en', { numeric: true }));
  return sorted.at(-1) ?? '';
}

async function list(folder: string): Promise<string[]> {
  return await readdir(folder).catch(() => []);
}
