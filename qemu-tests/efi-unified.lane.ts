/**
 * Unified kernel images: what `saveoops update` makes of those of kernel-install and ukify, without a machine. What systemd-boot and
 * systemd-stub make of it is in efi-systemd-boot.lane.ts. Part of `npm run test:efi`.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterAll, expect, test } from '@jest/globals';
import { serialConsole } from './harness/boot.js';
import { guestInitramfs } from './harness/guest.js';
import { inspectUnified, installKernels, machineId } from './harness/installed-esp.js';
import { stockKernel } from './harness/payloads.js';
import { makeKey } from './harness/secure-boot.js';

const { vmlinuz } = stockKernel('cloud-amd64');
const version = basename(vmlinuz).slice('vmlinuz-'.length);
const folder = mkdtempSync(join(tmpdir(), 'svo-unified-'));
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

/** On the ESP. */
const armed = `saveoops/${machineId}/${version}/saveoops.efi`;

/** Without kernels. */
function machineOf(name: string): Parameters<typeof installKernels>[0] {
  return {
    root: join(folder, name),
    kernels: [],
    cmdline: `${serialConsole} some=word`,
    layout: 'uki',
    config: 'loader: systemd-boot\noops-panic: true\n',
  };
}

test('the armed one has all that the own one has, and another kernel; the next update leaves it as it is', async () => {
  const initrd = await guestInitramfs('poweroff -f\n');
  const { esp, said } = await installKernels({
    ...machineOf('made'),
    kernels: [{ version, vmlinuz, initrd }],
    tries: 3,
    after: 'saveoops update',
  });
  const own = inspectUnified(join(esp, `EFI/Linux/${machineId}-${version}+3.efi`));
  const ours = inspectUnified(join(esp, armed));
  const changed = Object.keys(own).filter((name) => own[name]?.sha256 !== ours[name]?.sha256);
  expect(changed.filter((name) => name !== '.sbat').sort()).toEqual(['.cmdline', '.linux']);
  expect(Object.keys(ours).sort()).toEqual(Object.keys(own).sort());
  expect(ours['.cmdline']?.text?.trim()).toBe(`${own['.cmdline']?.text?.trim() ?? ''} oops=panic`);
  expect(said.match(new RegExp(`^saveoops: ${version}: .*$`, 'gm'))).toEqual([
    `saveoops: ${version}: armed`,
    `saveoops: ${version}: up to date`,
  ]);
  expect(readdirSync(join(esp, 'loader/entries'))).toEqual([`${machineId}-${version}_999-saveoops+3.conf`]);
}, 300_000);

test('of another initramfs is another image; --disable leaves the machine its own, by its digest; the key of ukify signs', async () => {
  const key = makeKey(folder, 'uki');
  const [first, second] = [await guestInitramfs('poweroff -f\n'), await guestInitramfs('reboot -f\n')];
  const machine = machineOf('changed');
  const { root } = machine;
  const esp = join(root, 'boot/efi');
  const sums = `find ${esp} -type f -exec sha256sum {} +`;
  const { said, esp: left } = await installKernels({
    ...machine,
    kernels: [{ version, vmlinuz, initrd: first }],
    config: `${machine.config}sign-key: ${key.key}\nsign-cert: ${key.certificate}\n`,
    after: [
      `sbverify --cert ${key.certificate} ${esp}/${armed}`,
      `cp ${second} ${root}/boot/initrd.img-${version}`,
      `kernel-install add ${version} ${root}/boot/vmlinuz-${version} ${root}/boot/initrd.img-${version}`,
      `ls ${esp}/loader/entries`,
      `${sums} | grep EFI/Linux >${root}/before`,
      'saveoops update --disable',
      `${sums} | diff ${root}/before -`,
      'echo "nothing is left"',
    ].join('\n'),
  });
  expect(said).toContain('Signature verification OK');
  expect(said.match(new RegExp(`^saveoops: ${version}: .*$`, 'gm'))).toEqual([
    `saveoops: ${version}: armed`,
    `saveoops: ${version}: armed`,
  ]);
  expect(said).toContain(`${machineId}-${version}-saveoops-old.conf`);
  expect(said).toContain('nothing is left');
  expect(existsSync(join(left, 'saveoops', machineId, version))).toBe(false);
  expect(execFileSync('find', [left, '-type', 'f'], { encoding: 'utf8' }).trim()).toBe(
    join(left, `EFI/Linux/${machineId}-${version}.efi`),
  );
}, 300_000);
