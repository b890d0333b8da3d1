/**
 * An ESP as kernel-install leaves it on a machine with systemd-boot: this host's own kernel-install, its own entries, and our plugin,
 * which runs `saveoops update`. Unified kernel images are made by Debian 13's ukify and its plugins, which Debian 12 has not. In a
 * user namespace, where the ESP is a mount of its own, as kernel-install expects.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { chmod, copyFile, mkdir, readdir, writeFile } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseConfig } from '../../src/config/config-file.js';
import { configKeys } from '../../src/commands/options.js';
import { makeFolder } from '../../src/host/files.js';
import { packageFile, type Release } from './loaders.js';
import type { EspFile } from './make-esp.js';

const repository = fileURLToPath(new URL('../../../', import.meta.url));
const plugin = join(repository, 'src/packaging/root/usr/lib/kernel/install.d/95-saveoops.install');
const cli = join(repository, 'dist/src/cli.js');
export const machineId = '5a0e0b5c4d3e2f1a0b9c8d7e6f5a4b3c';

/** A variable of UEFI as efivarfs shows it, by name and GUID, without the attributes. */
export type Variables = Readonly<Record<string, Uint8Array>>;
export const noSecureBoot: Variables = {
  'SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c': Uint8Array.of(0),
};

export interface InstalledMachine {
  /** An empty folder, which becomes "/" of that machine. */
  readonly root: string;
  /** /boot/vmlinuz-V and its initramfs. */
  readonly kernels: readonly {
    readonly version: string;
    readonly vmlinuz: string;
    readonly initrd: string;
  }[];
  readonly cmdline: string;
  /** Of kernel-install; default `bls`. */
  readonly layout?: 'bls' | 'uki';
  /** Whose systemd-stub unified kernel images get; default trixie. */
  readonly stub?: Release;
  /** Shell commands when all kernels are there and armed. */
  readonly after?: string;
  /** /etc/kernel/tries. */
  readonly tries?: number;
  /** Text of /etc/saveoops.yaml. */
  readonly config: string;
  readonly variables?: Variables;
}

export interface Installed {
  /** A copy of the ESP. */
  readonly esp: string;
  /** What kernel-install and saveoops have printed. */
  readonly said: string;
}

const ukify = packageFile('trixie', 'systemd-ukify', 'usr/bin/ukify');
const pefile = packageFile('trixie', 'python3-pefile', 'usr/lib/python3/dist-packages');
const plugins = 'usr/lib/kernel/install.d';
const pluginsOf = {
  bls: ['/usr/lib/kernel/install.d/90-loaderentry.install'],
  uki: [
    packageFile('trixie', 'systemd-ukify', `${plugins}/60-ukify.install`),
    packageFile('trixie', 'systemd', `${plugins}/90-uki-copy.install`),
  ],
} as const;

/** Throws an Error with what was printed when kernel-install fails. */
export async function installKernels(machine: InstalledMachine): Promise<Installed> {
  const { root, kernels, cmdline, tries, config, variables = noSecureBoot } = machine;
  const { layout = 'bls', stub = 'trixie', after = '' } = machine;
  parseConfig(Buffer.from(config), 'saveoops.yaml', configKeys);
  const write = async (path: string, content: string | Uint8Array): Promise<string> => {
    const file = join(root, path);
    await makeFolder(dirname(file));
    await writeFile(file, content);
    return file;
  };
  const esp = join(root, 'boot/efi');
  await makeFolder(esp);
  for (const { version, vmlinuz, initrd } of kernels) {
    await copyFile(vmlinuz, join(root, `boot/vmlinuz-${version}`));
    await copyFile(initrd, join(root, `boot/initrd.img-${version}`));
  }
  await write('etc/machine-id', `${machineId}\n`);
  await write('etc/kernel/cmdline', `${cmdline}\n`);
  await write('etc/kernel/install.conf', `layout=${layout}\nBOOT_ROOT=${esp}\nMACHINE_ID=${machineId}\n`);
  if (tries !== undefined) await write('etc/kernel/tries', `${tries}\n`);
  const yaml = await write('etc/saveoops.yaml', config);
  for (const [name, value] of Object.entries(variables))
    await write(`sys/firmware/efi/efivars/${name}`, Buffer.concat([Buffer.of(6, 0, 0, 0), value]));
  const command = await write(
    'bin/saveoops',
    `#!/bin/sh\nexec ${process.execPath} ${cli} "$@" --root ${root} --boot ${root}/boot --config ${yaml}\n`,
  );
  await chmod(command, 0o755);
  const stubFile = packageFile(stub, 'systemd-boot-efi', 'usr/lib/systemd/boot/efi/linuxx64.efi.stub');
  // Python takes options in any order.
  const ukifyScript = `#!/bin/sh\nPYTHONPATH=${pefile} exec python3 ${ukify} "$@" --stub=${stubFile}\n`;
  await chmod(await write('bin/ukify', ukifyScript), 0o755);
  const out = join(root, 'esp');
  await mkdir(out);
  const script = [
    // What the plugin says comes before what a command behind it says.
    ...['exec 2>&1', 'set -e', `mount -t tmpfs none ${esp}`, `mkdir -p ${esp}/loader/entries`],
    ...kernels.map(
      ({ version }) =>
        `kernel-install add ${version} ${root}/boot/vmlinuz-${version} ${root}/boot/initrd.img-${version}`,
    ),
    after,
    `cp -a ${esp}/. ${out}`,
  ].join('\n');
  const run = spawnSync('unshare', ['--user', '--map-root-user', '--mount', 'sh', '-c', script], {
    encoding: 'utf8',
    env: {
      ...process.env,
      PATH: `${root}/bin:${process.env['PATH'] ?? ''}`,
      KERNEL_INSTALL_CONF_ROOT: join(root, 'etc/kernel'),
      KERNEL_INSTALL_PLUGINS: [...pluginsOf[layout], plugin].join(' '),
      KERNEL_INSTALL_UKIFY: ukify,
      KERNEL_INSTALL_BOOT_STUB: stubFile,
      PYTHONPATH: pefile,
    },
  });
  if (run.status !== 0) throw new Error(`${run.stderr}${run.stdout}`);
  return { esp: out, said: run.stdout };
}

/** All files below a folder, for makeEsp(). */
export async function filesBelow(folder: string): Promise<readonly EspFile[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .map((source) => ({ path: relative(folder, source), source }));
}

/** Sections of a unified kernel image, as ukify reads them. */
export function inspectUnified(
  file: string,
): Readonly<Record<string, { readonly sha256: string; readonly text?: string }>> {
  const env = { ...process.env, PYTHONPATH: pefile };
  const out = execFileSync('python3', [ukify, 'inspect', file, '--json=short'], { encoding: 'utf8', env });
  return JSON.parse(out) as ReturnType<typeof inspectUnified>;
}
