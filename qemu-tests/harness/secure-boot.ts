/** Keys for Secure Boot, and firmware variables that hold them. */
import { execFileSync } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { signImage, type SigningKey } from '../../src/host/sign-image.js';
import { host } from './disks.js';
import { packageFile } from './loaders.js';

/** Makes a key with a certificate by itself, for code. */
export function makeKey(folder: string, name: string): SigningKey {
  const made = { key: join(folder, `${name}.key`), certificate: join(folder, `${name}.pem`) };
  host('openssl', [
    ...[
      'req',
      '-x509',
      '-newkey',
      'rsa:2048',
      '-nodes',
      '-days',
      '3650',
      '-subj',
      `/CN=Saveoops test ${name}/`,
    ],
    ...['-addext', 'extendedKeyUsage=codeSigning', '-keyout', made.key, '-out', made.certificate],
  ]);
  return made;
}

/** Signs a file for Secure Boot; gives the name of the signed copy. */
export async function signFile(file: string, key: SigningKey, folder: string, name: string): Promise<string> {
  const signed = join(folder, name);
  await writeFile(signed, await signImage(await readFile(file), key));
  return signed;
}

/** Whose keys are in which variable. */
export interface EnrolledKeys {
  /** PK, KEK and db: firmware itself starts what this key has signed. */
  readonly firmware: SigningKey;
  /** MokList: shim starts it, too. */
  readonly owner?: SigningKey;
}

/** Writes firmware's variables with Secure Boot on. @param empty OVMF's own, without keys */
export function writeVariables(empty: string, { firmware, owner }: EnrolledKeys, out: string): void {
  // The owner of a key, for those who list them: any GUID.
  const guid = '6f2c9a4e-3b1d-4c58-9e07-5d1c8b7a2f90';
  const modules = packageFile('trixie', 'python3-virt-firmware', 'usr/lib/python3/dist-packages');
  execFileSync(
    '/usr/bin/python3',
    [
      ...['-m', 'virt.firmware.vars', '--input', empty, '--output', out],
      ...['--set-pk', guid, firmware.certificate, '--add-kek', guid, firmware.certificate],
      ...['--add-db', guid, firmware.certificate, '--secure-boot'],
      ...(owner === undefined ? [] : ['--add-mok', guid, owner.certificate]),
    ],
    { env: { ...process.env, PYTHONPATH: modules }, stdio: 'pipe' },
  );
}
