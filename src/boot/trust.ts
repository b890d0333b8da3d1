/** What `saveoops update` signs with on this machine, and whether what it has signed would start: one decision for every loader of UEFI. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { exists } from '../host/presence.js';
import { runTool } from '../host/run-tool.js';
import { findMachineKey, type MachineKey } from './machine-key.js';
import { removeStored, writeWhenDifferent } from './payload-store.js';
import { readSecureBoot, refusalOf, type Refusal, type SecureBoot } from './secure-boot.js';

export interface Trust {
  /** undefined: payloads get no signature. */
  readonly key: MachineKey | undefined;
  /** Why a payload that is built now would be refused. */
  readonly refusal: Refusal | undefined;
  /** The same of one that was built with these settings (update.json). */
  readonly refusalOf: (settings: string) => Refusal | undefined;
}

export interface TrustOptions {
  readonly root: string;
  readonly boot: string;
  readonly build: { readonly signKey: string | undefined; readonly signCert: string | undefined };
}

/** In /boot/saveoops: there is something that only waits for its key, or for a signature; why. */
export const waitingFile = 'waiting-for-key';

/** Throws what findMachineKey throws, when the key matters. */
export async function findTrust(loader: string, { root, boot, build }: TrustOptions): Promise<Trust> {
  if (loader === 'extlinux') return { key: undefined, refusal: undefined, refusalOf: () => undefined };
  const secureBoot = await readSecureBoot(root, await startsByUefi(loader, boot));
  const key = await keyFor(secureBoot, root, build);
  const name = key?.certificate ?? '';
  return {
    key,
    refusal: refusalOf(secureBoot, key?.der, name),
    refusalOf: (settings) => refusalOf(secureBoot, signerOf(settings), name),
  };
}

/** GRUB for both is one that a BIOS may start. */
async function startsByUefi(loader: string, boot: string): Promise<boolean> {
  if (loader !== 'grub') return true;
  return (await exists(join(boot, 'grub/x86_64-efi'))) && !(await exists(join(boot, 'grub/i386-pc')));
}

/**
 * A key that nobody has named is used where it can be: where nothing is checked, the machine shall be armed without sbsign and with a
 * key of DKMS's that cannot be read, too.
 */
async function keyFor(
  { enforced }: SecureBoot,
  root: string,
  named: TrustOptions['build'],
): Promise<MachineKey | undefined> {
  const isNamed = named.signKey !== undefined || named.signCert !== undefined;
  if (isNamed || enforced !== false) return await findMachineKey(root, named);
  try {
    await runTool('sbsign', ['--version']);
    return await findMachineKey(root, named);
  } catch {
    return undefined;
  }
}

/** The certificate in the settings of a payload. */
function signerOf(settings: string): Uint8Array | undefined {
  try {
    const value: unknown = JSON.parse(settings);
    const signer = value instanceof Object && 'signer' in value ? value.signer : undefined;
    return typeof signer === 'string' ? Buffer.from(signer, 'base64') : undefined;
  } catch {
    return undefined;
  }
}

/** Notes it, or that nothing waits any more. Gives what is to be said, once: not again while it is the same. Throws `file`. */
export async function noteWaiting(store: string, refusal: Refusal | undefined): Promise<string | undefined> {
  if (refusal === undefined) {
    await removeStored(store, waitingFile);
    return undefined;
  }
  const text = `${refusal.why}\n  do: ${refusal.advice}\n`;
  const before = await readFile(join(store, waitingFile), 'latin1').catch(() => undefined);
  if (before === text) return undefined;
  await writeWhenDifferent(join(store, waitingFile), text);
  return text.trimEnd();
}
