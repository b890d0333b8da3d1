/**
 * Whether this machine's firmware, or shim on its behalf, would start a composed image. What is decided here is only which entry may be
 * the default: an image that is refused must never be it, so what is not known counts as refused.
 *
 * Read are firmware's variables, as the kernel shows them, and shim's (a copy of MokList that it makes for the running system at each
 * boot: MokListRT). Both say how this boot was, and the next one is taken to be alike.
 */
import { X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { certificatesOf } from '../formats/efi/signature-lists.js';
import { exists } from '../host/presence.js';

export interface SecureBoot {
  /** Whether images are checked; undefined: nothing tells. */
  readonly enforced: boolean | undefined;
  /** Whether shim took part in this boot: it checks what the loader starts by its own list, too. */
  readonly shim: boolean;
  /** Certificates (DER) whose signatures start. */
  readonly enrolled: readonly Uint8Array[];
  /** Certificates (DER) whose signatures never do. */
  readonly revoked: readonly Uint8Array[];
}

/** Why an image is refused: one clause, and what a person does about it. */
export interface Refusal {
  readonly kind: 'unknown' | 'unsigned' | 'unfit-key' | 'not-enrolled' | 'revoked';
  readonly why: string;
  readonly advice: string;
}

const vendor = {
  global: '8be4df61-93ca-11d2-aa0d-00e098032b8c',
  database: 'd719b2cb-3d3a-11d4-9a46-0090273fc14d',
  shim: '605dab50-e046-4300-abb6-3dd810dd8b23',
} as const;

/** boot_params.secure_boot, one byte (arch/x86/include/uapi/asm/bootparam.h), and what the EFI stub puts there (linux/efi.h). */
const bootParamsSecureBoot = 0x1ec;
const bootParamsValues: Readonly<Record<number, boolean>> = { 2: false, 3: true };

/** shim skips signatures of this extended key usage ("module signing only") when it checks images. */
const modulesOnly = '1.3.6.1.4.1.2312.16.1.2';

/**
 * Never throws: what cannot be read is not known.
 * @param root "/" of the system
 * @param uefi whether the loader is one that UEFI starts, so that a system without UEFI is not the one that is to boot
 */
export async function readSecureBoot(root: string, uefi: boolean): Promise<SecureBoot> {
  const firmware = join(root, 'sys/firmware/efi');
  const nothing = { shim: false, enrolled: [], revoked: [] };
  if (!(await exists(firmware))) return { ...nothing, enforced: uefi ? undefined : false };
  const variable = async (name: string, guid: string): Promise<Uint8Array | undefined> => {
    // Four bytes of attributes first (efivarfs).
    const file = join(firmware, 'efivars', `${name}-${guid}`);
    return await readFile(file).then(
      (bytes) => bytes.subarray(4),
      () => undefined,
    );
  };
  // shim has a table for these as well: a kernel without UEFI's runtime services (efi=noruntime, PREEMPT_RT) shows it.
  const ofShim = async (name: string): Promise<Uint8Array | undefined> =>
    (await readFile(join(firmware, 'mok-variables', name)).catch(() => undefined)) ??
    (await variable(name, vendor.shim));
  const byte = (bytes: Uint8Array | undefined): boolean | undefined =>
    bytes?.[0] === undefined ? undefined : bytes[0] === 1;

  const params = await readFile(join(root, 'sys/kernel/boot_params/data')).catch(() => undefined);
  const said = byte(await variable('SecureBoot', vendor.global));
  const mokList = await ofShim('MokListRT');
  // 1: a person has told MokManager that shim is to check nothing (mokutil --disable-validation).
  const lax = byte(await ofShim('MokSBStateRT')) === true;
  const enforced = said ?? bootParamsValues[params?.[bootParamsSecureBoot] ?? 0];
  const lists = (...all: readonly (Uint8Array | undefined)[]): readonly Uint8Array[] =>
    all.flatMap((list) => (list === undefined ? [] : certificatesIn(list)));
  return {
    enforced: lax ? false : enforced,
    shim: mokList !== undefined,
    enrolled: lists(await variable('db', vendor.database), mokList),
    revoked: lists(await variable('dbx', vendor.database), await ofShim('MokListXRT')),
  };
}

/** A list that cannot be followed enrols nobody. */
function certificatesIn(list: Uint8Array): readonly Uint8Array[] {
  try {
    return certificatesOf(list, 'a variable of UEFI');
  } catch {
    return [];
  }
}

/**
 * Why an image with this certificate's signature would not start; undefined: it would.
 * @param signer DER; undefined: the image has no signature
 * @param file what a person gives to mokutil --import
 */
export function refusalOf(
  secureBoot: SecureBoot,
  signer: Uint8Array | undefined,
  file: string,
): Refusal | undefined {
  if (secureBoot.enforced === false) return undefined;
  if (secureBoot.enforced === undefined) {
    return {
      kind: 'unknown',
      why: 'whether Secure Boot is on cannot be read here',
      advice: 'run saveoops update on the machine itself, with /sys mounted',
    };
  }
  if (signer === undefined) {
    return {
      kind: 'unsigned',
      why: 'Secure Boot is on, and the armed kernel has no signature',
      advice: `name a key by sign-key and sign-cert in /etc/saveoops.yaml, or have DKMS make one: dkms generate_mok`,
    };
  }
  const certificate = new X509Certificate(signer);
  if (certificate.keyUsage?.includes(modulesOnly) === true) {
    return {
      kind: 'unfit-key',
      why: `the key of ${file} is for kernel modules only (extended key usage ${modulesOnly}), and shim does not heed it for kernels`,
      advice: 'make another key, and name it by sign-key and sign-cert in /etc/saveoops.yaml',
    };
  }
  if (isAmong(certificate, secureBoot.revoked)) {
    return {
      kind: 'revoked',
      why: `the key of ${file} is revoked (dbx or MokListX)`,
      advice: 'make another key',
    };
  }
  if (isAmong(certificate, secureBoot.enrolled)) return undefined;
  return {
    kind: 'not-enrolled',
    why: `the key of ${file} is not enrolled, so Secure Boot would refuse the armed kernel`,
    advice: secureBoot.shim
      ? `once: mokutil --import ${file}, choose a password, restart, and enrol the key ("Enroll MOK") in the blue screen that comes up`
      : `add ${file} to db in the firmware's set-up: this boot was without shim, which has a list of its own`,
  };
}

/** Itself, or issued by one of them. */
function isAmong(certificate: X509Certificate, list: readonly Uint8Array[]): boolean {
  return list.some((der) => {
    if (certificate.raw.equals(der)) return true;
    try {
      const issuer = new X509Certificate(der);
      return certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey);
    } catch {
      return false;
    }
  });
}
