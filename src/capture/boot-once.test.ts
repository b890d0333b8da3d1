import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { bootOnceScript } from './boot-once.js';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'saveoops-boot-once-'));
});
afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
});

/** What `boot-once set` says of a file system with these files. No folder here is an installation that extlinux takes. */
function said(files: Readonly<Record<string, string>>, label: string): string {
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), text);
  }
  const args = [
    'sh',
    '-c',
    bootOnceScript,
    'boot-once',
    'set',
    folder,
    label,
    join(folder, 'saveoops', 'capture'),
  ];
  const run = spawnSync('busybox', args, { encoding: 'utf8' });
  expect(run.status).toBe(1);
  return run.stdout.trim();
}

describe('boot-once looks for the label before it asks extlinux', () => {
  const menu = 'DEFAULT x\n\nLABEL saveoops-fallback\n\tMENU HIDE\n';
  const none = 'no ldlinux.sys with an entry "saveoops-fallback" beside it';

  test.each([
    ['in the configuration', { 'syslinux/ldlinux.sys': '', 'syslinux/syslinux.cfg': menu }],
    [
      'in the menu of /boot',
      { 'boot/extlinux/ldlinux.sys': '', 'boot/saveoops/syslinux-saveoops.cfg': menu },
    ],
    [
      'in the menu of a boot partition',
      { 'extlinux/ldlinux.sys': '', 'saveoops/syslinux-saveoops.cfg': menu },
    ],
    [
      'in the menu, loader in /boot itself',
      { 'boot/ldlinux.sys': '', 'boot/saveoops/syslinux-saveoops.cfg': menu },
    ],
  ])('and finds it %s', (_, files) => {
    expect(said(files, 'saveoops-fallback')).not.toBe(none);
  });

  test.each([
    [
      'another label',
      { 'extlinux/ldlinux.sys': '', 'saveoops/syslinux-saveoops.cfg': 'LABEL saveoops-fallback2\n' },
    ],
    ['a menu without a loader', { 'saveoops/syslinux-saveoops.cfg': menu }],
  ])('and not with %s', (_, files) => {
    expect(said(files, 'saveoops-fallback')).toBe(none);
  });
});
