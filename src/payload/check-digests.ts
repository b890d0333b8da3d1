/** Every digest that a payload's manifest holds, against the bytes. */
import { sha256Hex } from '../bytes/digests.js';
import { SaveoopsError } from '../errors.js';
import type { ManifestRegion } from './manifest.js';

/** @param bytes of the payload */
export function damagedRegions(
  bytes: Uint8Array,
  regions: readonly ManifestRegion[],
): readonly ManifestRegion[] {
  return regions.filter(
    (region) => sha256Hex(bytes.subarray(region.offset, region.offset + region.size)) !== region.sha256,
  );
}

/** Throws `digest`, naming every damaged region. */
export function refuseDamage(damaged: readonly ManifestRegion[], file: string): void {
  if (damaged.length === 0) return;
  throw damage(file, damaged.map((region) => `${region.name}: other bytes than were written`).join(', '));
}

export function damage(file: string, found: string): SaveoopsError {
  return new SaveoopsError('digest', 'the payload is damaged', {
    where: file,
    found,
    wanted: 'the SHA-256 that the manifest holds',
    hint: 'build the payload again, or copy it again from where it was built',
  });
}
