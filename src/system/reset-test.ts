/**
 * What the boot entry "Test capture after a reset on this machine now" has shown: the newest capture that it left. Nothing tells of
 * a test that failed: then no capture comes.
 */
import { resetTestWord } from '../config/syslinux-config.js';
import { parseCaptureRecord, type HeldRecord } from '../saved-captures/capture-record.js';
import { defaultPlaces } from '../saved-captures/default-places.js';
import { capturesInFolder } from '../saved-captures/folder-store.js';
import { newestFirst } from '../saved-captures/stored-capture.js';

export interface ResetTest {
  /** UTC, ISO 8601. */
  readonly time: string;
  /** Pages of the kernel's image and page tables: how many were checked, and had not come through. */
  readonly image: HeldRecord | null;
  readonly tables: HeldRecord | null;
}

/** A capture.json is some hundred bytes, and two command lines. */
const longestRecord = 64 << 10;

/** Never throws: what cannot be read is not known. @param root "/" of the system */
export async function findResetTest(root: string): Promise<ResetTest | undefined> {
  const places = await defaultPlaces(root);
  const found = await Promise.all(places.map((place) => capturesInFolder(place).catch(() => [])));
  for (const { read, time } of newestFirst(found.flat())) {
    const part = await read('capture.json', longestRecord).catch(() => undefined);
    if (part === undefined) continue;
    const record = parseCaptureRecord(Buffer.from(part.bytes).toString());
    if (record?.kind !== 'reset' || record.reset === null) continue;
    if (record.primary.commandLine?.split(' ').includes(resetTestWord) !== true) continue;
    return { time, image: record.reset.image, tables: record.reset.tables };
  }
  return undefined;
}
