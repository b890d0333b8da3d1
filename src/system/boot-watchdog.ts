/**
 * The boot watchdog of --boot-watchdog on the running system: which driver of the kernel takes it over, and whether anything
 * will have it do so. A driver stops the watchdog when it is loaded (Linux before 5.16), or marks it as running, and the kernel feeds
 * it until a program opens it (iTCO_wdt.c, wdat_wdt.c, watchdog_dev.c): either way a healthy system is not reset.
 */
import { readdir, readFile, readlink, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { SaveoopsError } from '../errors.js';
import { runTool } from '../host/run-tool.js';

/** By /sys/class/watchdog/N/identity. Where ACPI describes the same watchdog (WDAT) the kernel leaves it to wdat_wdt. */
const drivers = ['iTCO_wdt', 'wdat_wdt'] as const;
/** The first two make the device that iTCO_wdt is for. */
const modules = ['lpc_ich', 'i2c_i801', ...drivers];

const unit = 'saveoops-booted.service';
const unitFolders = ['etc/systemd/system', 'usr/lib/systemd/system', 'lib/systemd/system'];

/** The driver that has the watchdog; undefined: none. */
async function driverOf(root: string): Promise<string | undefined> {
  const folder = join(root, 'sys/class/watchdog');
  for (const name of await readdir(folder).catch(() => [])) {
    const identity = await readFile(join(folder, name, 'identity'), 'latin1').catch(() => '');
    const found = drivers.find((driver) => identity.trim() === driver);
    if (found !== undefined) return found;
  }
  return undefined;
}

/** Sees to it that a driver has the watchdog. Throws `tool` when none takes it. */
export async function handOverWatchdog(root: string, seconds: number): Promise<void> {
  if ((await driverOf(root)) !== undefined) return;
  // One at a time: a kernel need not have all of them, nor a machine the devices.
  const failures: unknown[] = [];
  for (const module of modules)
    await runTool('modprobe', ['-q', module]).catch((error: unknown) => failures.push(error));
  if ((await driverOf(root)) !== undefined) return;
  throw new SaveoopsError('tool', 'no driver takes over the boot watchdog', {
    where: '/sys/class/watchdog',
    found: failures[0] instanceof SaveoopsError ? failures[0].found : 'none of them',
    wanted: `the driver ${drivers.join(' or ')}`,
    hint: `the machine is reset ${seconds} seconds after its start; boot the plain entry, and build without --boot-watchdog`,
  });
}

/** For `saveoops update`. Throws `unsupported` when nothing on this system would keep the watchdog from resetting it. */
export async function requireBootedService(root: string): Promise<void> {
  const masked = await readlink(join(root, 'etc/systemd/system', unit)).catch(() => '');
  const wanted = await Promise.all(
    unitFolders.map((folder) =>
      stat(join(root, folder, 'multi-user.target.wants', unit)).then(
        (status) => status.isFile(),
        () => false,
      ),
    ),
  );
  if (masked !== '/dev/null' && wanted.includes(true)) return;
  throw refusal(
    '--boot-watchdog',
    masked === '/dev/null' ? `${unit} is masked` : `no ${unit} that systemd starts`,
    {
      wanted: 'that unit, which runs saveoops booted',
      hint: `systemctl enable ${unit}`,
    },
  );
}

/** The same for a kernel: one without the driver could not take the watchdog over. */
export async function requireWatchdogDriver(root: string, release: string): Promise<void> {
  const folder = join(root, 'lib/modules', release);
  const lists = ['modules.dep', 'modules.builtin'].map((name) =>
    readFile(join(folder, name), 'latin1').catch(() => ''),
  );
  const has = (await Promise.all(lists)).some((text) =>
    drivers.some((driver) => new RegExp(`(^|/)${driver}\\.ko`, 'm').test(text)),
  );
  if (has) return;
  throw refusal(`--boot-watchdog, ${folder}`, `no driver ${drivers.join(' or ')}`, {
    wanted: 'one of them, to take over the watchdog once the system is up',
    hint: 'leave --boot-watchdog out, or install the package with the modules of this kernel',
  });
}

function refusal(where: string, found: string, more: { wanted: string; hint: string }): SaveoopsError {
  return new SaveoopsError('unsupported', 'nothing would stop the boot watchdog', { where, found, ...more });
}
