import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { handOverWatchdog, requireBootedService, requireWatchdogDriver } from './boot-watchdog.js';

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'svo-'));
});
afterEach(() => {
  rmSync(root, { recursive: true, force: true });
});

function put(path: string, text: string): void {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  writeFileSync(join(root, path), text);
}

const unit = 'saveoops-booted.service';
const wants = `multi-user.target.wants/${unit}`;
const refused = { kind: 'unsupported' };

describe('requireBootedService', () => {
  test('refuses a system without the unit, or with one that nothing starts', async () => {
    await expect(requireBootedService(root)).rejects.toMatchObject(refused);
    put(`usr/lib/systemd/system/${unit}`, '[Unit]\n');
    await expect(requireBootedService(root)).rejects.toMatchObject(refused);
  });

  test.each(['usr/lib/systemd/system', 'etc/systemd/system'])('takes one that %s wants', async (folder) => {
    put(`usr/lib/systemd/system/${unit}`, '[Unit]\n');
    mkdirSync(dirname(join(root, folder, wants)), { recursive: true });
    symlinkSync(join(root, 'usr/lib/systemd/system', unit), join(root, folder, wants));
    await requireBootedService(root);
  });

  test('refuses one that is masked', async () => {
    put(`usr/lib/systemd/system/${wants}`, '[Unit]\n');
    await requireBootedService(root);
    mkdirSync(join(root, 'etc/systemd/system'), { recursive: true });
    symlinkSync('/dev/null', join(root, 'etc/systemd/system', unit));
    await expect(requireBootedService(root)).rejects.toMatchObject({
      ...refused,
      found: `${unit} is masked`,
    });
  });
});

test.each([
  [
    'modules.dep',
    'kernel/drivers/watchdog/iTCO_wdt.ko: kernel/drivers/watchdog/iTCO_vendor_support.ko\n',
    true,
  ],
  ['modules.dep', 'kernel/drivers/watchdog/wdat_wdt.ko.xz:\n', true],
  ['modules.builtin', 'kernel/drivers/watchdog/iTCO_wdt.ko\n', true],
  ['modules.dep', 'kernel/drivers/watchdog/sp5100_tco.ko:\n', false],
  ['modules.dep', 'kernel/drivers/watchdog/not_iTCO_wdt.ko:\n', false],
])('requireWatchdogDriver reads %s: %j', async (name, text, has) => {
  put(`lib/modules/6.1/${name}`, text);
  if (has) await requireWatchdogDriver(root, '6.1');
  else await expect(requireWatchdogDriver(root, '6.1')).rejects.toMatchObject(refused);
  await expect(requireWatchdogDriver(root, '6.2')).rejects.toMatchObject(refused);
});

test('handOverWatchdog has nothing to do when a driver has the watchdog', async () => {
  put('sys/class/watchdog/watchdog0/identity', 'i6300ESB timer\n');
  put('sys/class/watchdog/watchdog1/identity', 'iTCO_wdt\n');
  await handOverWatchdog(root, 60);
});
