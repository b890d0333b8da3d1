/** Whether an image may be the default: keys made by openssl as DKMS makes them, variables as efivarfs shows them. */
import { execFileSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { certificatesOf } from '../formats/efi/signature-lists.js';
import { signImage } from '../host/sign-image.js';
import { oracle } from '../testkit/command-line.js';
import { signatureLists } from '../testkit/signature-list.js';
import { stockKernels } from '../testkit/stock-kernels.js';
import { findMachineKey } from './machine-key.js';
import { readSecureBoot, refusalOf } from './secure-boot.js';

const folder = mkdtempSync(join(tmpdir(), 'saveoops-keys-'));
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

/** As dkms does: key PEM, certificate DER. */
function makeKey(name: string, ...more: readonly string[]): { key: string; pub: string; der: Buffer } {
  const [key, pub] = [join(folder, `${name}.key`), join(folder, `${name}.pub`)];
  const args = ['req', '-new', '-x509', '-nodes', '-days', '36500', '-subj', `/CN=DKMS ${name}`];
  execFileSync(
    'openssl',
    [...args, ...more, '-newkey', 'rsa:2048', '-keyout', key, '-outform', 'DER', '-out', pub],
    {
      stdio: 'pipe',
    },
  );
  return { key, pub, der: readFileSync(pub) };
}

let machine: ReturnType<typeof makeKey>;
let other: ReturnType<typeof makeKey>;
let modules: ReturnType<typeof makeKey>;
beforeAll(() => {
  machine = makeKey('machine');
  other = makeKey('other');
  // What update-secureboot-policy of Ubuntu makes.
  modules = makeKey('modules', '-addext', 'extendedKeyUsage=codeSigning,1.3.6.1.4.1.2312.16.1.2');
});

const shimGuid = '605dab50-e046-4300-abb6-3dd810dd8b23';
const secureBoot = 'SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c';
const db = 'db-d719b2cb-3d3a-11d4-9a46-0090273fc14d';
const dbx = 'dbx-d719b2cb-3d3a-11d4-9a46-0090273fc14d';

let systems = 0;
/** A root with these files below /sys; variables get their attributes. */
function system(files: Readonly<Record<string, Uint8Array>>): string {
  const root = join(folder, `system-${systems++}`);
  for (const [name, bytes] of Object.entries({
    'firmware/efi/fw_platform_size': Buffer.from('64\n'),
    ...files,
  })) {
    const path = join(root, 'sys', name);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, bytes);
  }
  return root;
}
const variables = (values: Readonly<Record<string, Uint8Array>>): Record<string, Uint8Array> =>
  Object.fromEntries(
    Object.entries(values).map(([name, value]) => [
      `firmware/efi/efivars/${name}`,
      Buffer.concat([Buffer.of(6, 0, 0, 0), value]),
    ]),
  );
const on = { [secureBoot]: Uint8Array.of(1) };

async function kindOf(
  root: string,
  signer: Uint8Array | undefined,
  uefi = true,
): Promise<string | undefined> {
  return refusalOf(await readSecureBoot(root, uefi), signer, '/var/lib/dkms/mok.pub')?.kind;
}

describe('an image may be the default', () => {
  test('where Secure Boot is off, signed or not', async () => {
    const root = system(variables({ [secureBoot]: Uint8Array.of(0) }));
    expect(await kindOf(root, undefined)).toBeUndefined();
    expect(await kindOf(root, machine.der)).toBeUndefined();
  });

  test('on a BIOS machine; not where a loader of UEFI is armed from such a system', async () => {
    const bios = join(folder, 'bios');
    expect(await kindOf(bios, undefined, false)).toBeUndefined();
    expect(await kindOf(bios, undefined, true)).toBe('unknown');
  });

  test('with Secure Boot only when its key is enrolled: by shim, in its table of the kernel, or in db', async () => {
    const list = signatureLists([other.der, machine.der]);
    for (const files of [
      variables({ ...on, [`MokListRT-${shimGuid}`]: list }),
      { ...variables(on), 'firmware/efi/mok-variables/MokListRT': list },
      variables({ ...on, [db]: list }),
    ]) {
      const root = system(files);
      expect(await kindOf(root, machine.der)).toBeUndefined();
      expect(await kindOf(root, undefined)).toBe('unsigned');
    }
    const without = system(variables({ ...on, [`MokListRT-${shimGuid}`]: signatureLists([other.der]) }));
    expect(await kindOf(without, machine.der)).toBe('not-enrolled');
  });

  test('not with a key for modules only, nor with one that is revoked, though it is enrolled', async () => {
    const lists = { [`MokListRT-${shimGuid}`]: signatureLists([modules.der, machine.der]) };
    expect(await kindOf(system(variables({ ...on, ...lists })), modules.der)).toBe('unfit-key');
    const revoked = { ...on, ...lists, [dbx]: signatureLists([machine.der]) };
    expect(await kindOf(system(variables(revoked)), machine.der)).toBe('revoked');
  });

  test('where a person has turned shim’s validation off', async () => {
    const root = system(variables({ ...on, [`MokSBStateRT-${shimGuid}`]: Uint8Array.of(1) }));
    expect(await kindOf(root, undefined)).toBeUndefined();
  });

  test('without variables by what the EFI stub has put into boot_params', async () => {
    for (const [value, kind] of [
      [2, undefined],
      [3, 'unsigned'],
      [1, 'unknown'],
    ] as const) {
      const params = new Uint8Array(4096);
      params[0x1ec] = value;
      expect(await kindOf(system({ 'kernel/boot_params/data': params }), undefined)).toBe(kind);
    }
  });

  test('by a list that cannot be followed nobody is enrolled', async () => {
    const cut = signatureLists([machine.der]).subarray(0, 200);
    expect(() => certificatesOf(cut, 'db')).toThrow(/reaches outside/);
    expect(() => certificatesOf(new Uint8Array(28), 'db')).toThrow(/contradicts itself/);
    expect(await kindOf(system(variables({ ...on, [db]: cut })), machine.der)).toBe('not-enrolled');
  });

  test('when its certificate was issued by an enrolled one', async () => {
    const [key, csr, pub] = ['issued.key', 'issued.csr', 'issued.pub'].map((name) => join(folder, name));
    const openssl = (...args: readonly (string | undefined)[]): void => {
      execFileSync('openssl', args.map(String), { stdio: 'pipe' });
    };
    openssl(
      'req',
      '-new',
      '-nodes',
      '-newkey',
      'rsa:2048',
      '-subj',
      '/CN=issued',
      '-keyout',
      key,
      '-out',
      csr,
    );
    const pem = join(folder, 'other.pem');
    writeFileSync(pem, new X509Certificate(other.der).toString());
    openssl('x509', '-req', '-in', csr, '-CA', pem, '-CAkey', other.key, '-outform', 'DER', '-out', pub);
    const root = system(variables({ ...on, [db]: signatureLists([other.der]) }));
    expect(await kindOf(root, readFileSync(String(pub)))).toBeUndefined();
  });
});

describe('the key of the machine', () => {
  const none = { signKey: undefined, signCert: undefined };
  const put = (root: string, path: string, from: string): void => {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), readFileSync(from));
  };

  test("is DKMS's, where framework.conf says it is", async () => {
    const root = join(folder, 'dkms');
    expect(await findMachineKey(root, none)).toBeUndefined();
    put(root, 'var/lib/dkms/mok.key', machine.key);
    put(root, 'var/lib/dkms/mok.pub', machine.pub);
    expect(Buffer.from((await findMachineKey(root, none))?.der ?? []).equals(machine.der)).toBe(true);
    put(root, 'keys/o.key', other.key);
    put(root, 'keys/o.der', other.pub);
    mkdirSync(join(root, 'etc/dkms'), { recursive: true });
    writeFileSync(
      join(root, 'etc/dkms/framework.conf'),
      '# mok_signing_key=/var/lib/dkms/mok.key\nmok_signing_key="/keys/o.key"\nmok_certificate=/keys/o.der # ours\n',
    );
    expect(Buffer.from((await findMachineKey(root, none))?.der ?? []).equals(other.der)).toBe(true);
  });

  test('is the one that is named; the certificate of another key, or one file alone, is refused', async () => {
    const named = await findMachineKey('/', { signKey: other.key, signCert: other.pub });
    expect(named?.certificate).toBe(other.pub);
    await expect(findMachineKey('/', { signKey: machine.key, signCert: other.pub })).rejects.toMatchObject({
      kind: 'format',
    });
    await expect(findMachineKey('/', { signKey: machine.key, signCert: undefined })).rejects.toMatchObject({
      kind: 'usage',
    });
  });

  test('signs with a certificate in DER, and sbverify knows the signature', async () => {
    const kernel = stockKernels()[0];
    if (kernel === undefined) throw new Error('no stock kernel');
    const signed = join(folder, 'signed.efi');
    writeFileSync(
      signed,
      await signImage(readFileSync(kernel.vmlinuz), { key: machine.key, certificate: machine.pub }),
    );
    const pem = (der: Buffer, name: string): string => {
      writeFileSync(join(folder, name), new X509Certificate(der).toString());
      return join(folder, name);
    };
    expect(oracle('sbverify', ['--cert', pem(machine.der, 'machine.pem'), signed])).toContain(
      'Signature verification OK',
    );
    expect(() => oracle('sbverify', ['--cert', pem(other.der, 'another.pem'), signed])).toThrow();
  });
});
