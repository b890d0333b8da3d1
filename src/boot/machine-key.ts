/**
 * The key that this machine signs with: the one that the configuration names, else that of DKMS, which signs the modules it builds by
 * it. No key is made here.
 */
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { SaveoopsError } from '../errors.js';
import { readInput } from '../host/files.js';
import { exists } from '../host/presence.js';

export interface MachineKey {
  /** Files, as a person names them. The certificate is PEM or DER. */
  readonly key: string;
  readonly certificate: string;
  /** The certificate, DER. */
  readonly der: Uint8Array;
}

/** DKMS's own places, and where it is told others (dkms(8), "framework.conf"). */
const dkmsKey = '/var/lib/dkms/mok.key';
const dkmsCertificate = '/var/lib/dkms/mok.pub';
const dkmsConfigs = ['/etc/dkms/framework.conf', '/etc/dkms/framework.conf.d'] as const;

/**
 * undefined: this machine has none. Throws `usage` when one of the two files is named without the other, `file`, and `format` for a
 * certificate that is none or belongs to another key.
 * @param root "/" of the system
 */
export async function findMachineKey(
  root: string,
  named: { readonly signKey: string | undefined; readonly signCert: string | undefined },
): Promise<MachineKey | undefined> {
  const { signKey, signCert } = named;
  if (signKey !== undefined && signCert !== undefined) return await readKey('', signKey, signCert);
  if (signKey !== undefined || signCert !== undefined) {
    throw new SaveoopsError('usage', 'a contradiction', {
      where: 'sign-key and sign-cert',
      found: 'one of them',
      wanted: 'both, or none: then the key of DKMS is used, if there is one',
    });
  }
  const conf = dkmsSettings(await readConfigs(root));
  const key = conf.mok_signing_key ?? dkmsKey;
  const certificate = conf.mok_certificate ?? dkmsCertificate;
  const there = await Promise.all([key, certificate].map(async (path) => await exists(join(root, path))));
  return there.every((each) => each) ? await readKey(root, key, certificate) : undefined;
}

type DkmsSettings = Partial<Record<'mok_signing_key' | 'mok_certificate', string>>;

/** Assignments of a shell script, of which DKMS reads the last. A value with a variable in it is not followed. */
function dkmsSettings(text: string): DkmsSettings {
  const settings: DkmsSettings = {};
  for (const [, name, , value = ''] of text.matchAll(
    /^[ \t]*(mok_signing_key|mok_certificate)=(["']?)(\/[^"'\s$`]*)\2[ \t]*(?:#.*)?$/gm,
  )) {
    if (name === 'mok_signing_key' || name === 'mok_certificate') settings[name] = value;
  }
  return settings;
}

async function readConfigs(root: string): Promise<string> {
  const [file, folder] = dkmsConfigs;
  const more = await readdir(join(root, folder)).catch(() => []);
  const paths = [
    file,
    ...more
      .filter((name) => name.endsWith('.conf'))
      .sort()
      .map((name) => join(folder, name)),
  ];
  const texts = paths.map(async (path) => await readFile(join(root, path), 'utf8').catch(() => ''));
  return (await Promise.all(texts)).join('\n');
}

async function readKey(root: string, key: string, certificate: string): Promise<MachineKey> {
  const pem = await readInput(join(root, key), 'a key (PEM) to sign with');
  const bytes = await readInput(join(root, certificate), 'a certificate');
  const refuse = (where: string, found: string, wanted: string): SaveoopsError =>
    new SaveoopsError('format', 'no key to sign kernels with', { where, found, wanted });
  let parsed: X509Certificate;
  try {
    parsed = new X509Certificate(bytes);
  } catch (error) {
    throw refuse(certificate, String(error), 'an X.509 certificate, PEM or DER');
  }
  let fits: boolean;
  try {
    fits = parsed.checkPrivateKey(createPrivateKey(Buffer.from(pem)));
  } catch (error) {
    throw refuse(key, String(error), 'a private key, PEM, without a password');
  }
  if (!fits) throw refuse(certificate, `the certificate of another key than ${key}`, 'its own');
  return { key: join(root, key), certificate: join(root, certificate), der: parsed.raw };
}
