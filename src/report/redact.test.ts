import { describe, expect, test } from '@jest/globals';
import { deathLogs } from '../testkit/death-logs.js';
import { makeBundle } from './bundle.js';
import { Redactor } from './redact.js';
import { makeReport, type Report } from './report.js';
import type { ReportInput } from './report-input.js';

const redact = (text: string, hosts: readonly string[] = []): string =>
  new Redactor([text], hosts).redact(text);

describe('taken out', () => {
  test.each([
    [
      'a password',
      'root=/dev/sda1 rd.iscsi.password=hunter2 quiet',
      'root=/dev/sda1 rd.iscsi.password=<secret 1> quiet',
    ],
    ['one in quotes', 'luks_key="with blanks" ro', 'luks_key="<secret 1>" ro'],
    ['a login in a URL', 'inst.ks=https://me:s3cret@host/ks', 'inst.ks=https://<secret 1>@host/ks'],
    [
      'the same secret, where it stands alone',
      'api_token=abcdef\ninit: got abcdef and abcdefg',
      'api_token=<secret 1>\ninit: got <secret 1> and abcdefg',
    ],
    [
      'serial numbers',
      'usb 1-1: SerialNumber: 0123A\nmmc S/N: 99-XYZ\nserial=ABCD-12345',
      'usb 1-1: SerialNumber: <serial 1>\nmmc S/N: <serial 2>\nserial=<serial 3>',
    ],
    [
      'MAC addresses, each with a name of its own',
      'eth0: 52:54:00:12:34:56 saw 52-54-00-aa-bb-cc and 52:54:00:12:34:56',
      'eth0: <MAC 1> saw <MAC 2> and <MAC 1>',
    ],
    [
      'a name that systemd set',
      'systemd[1]: Hostname set to <pluto>.\nIPVS: pluto',
      'systemd[1]: Hostname set to <<host 1>>.\nIPVS: <host 1>',
    ],
    [
      'a name in ip=',
      'ip=10.0.0.2::10.0.0.1:255.0.0.0:pluto:eth0:off',
      'ip=10.0.0.2::10.0.0.1:255.0.0.0:<host 1>:eth0:off',
    ],
  ])('%s', (_, text, wanted) => {
    expect(redact(text)).toBe(wanted);
  });

  test("this host's name, long and short", () => {
    expect(redact('pluto.example.org pluto plutonium', ['pluto.example.org'])).toBe(
      '<host 1> <host 2> plutonium',
    );
  });
});

test.each([
  'Serial: 8250/16550 driver, 32 ports, IRQ sharing enabled',
  'usb 1-1: New USB device strings: Mfr=3, Product=2, SerialNumber=1',
  'Code: 00 00 00 90 <48> 8b 47 48 c3',
  'pci 0000:00:1f.2: [8086:2922] type 00 class 0x010601',
  'Kernel command line: root=UUID=0a1b2c keymap=de vconsole.keymap=us console=ttyS0,115200',
  'BUG: kernel NULL pointer dereference, address: 0000000000000048',
])('left in: %s', (text) => {
  expect(redact(text, ['localhost'])).toBe(text);
});

describe('a bundle', () => {
  const input = (log: string): ReportInput => ({
    where: '/home/me/log',
    log,
    cut: false,
    capture: undefined,
  });
  const options = { captureJson: undefined, versions: { saveoops: 'x' }, redactHosts: ['pluto'] };
  const secrets = ['hunter2', 'pluto', '52:54:00:12:34:56', 'SN-4711', '/home/me'];
  const plain = deathLogs().find(({ name }) => name === 'null-dereference-tainted')?.text ?? '';
  const told = [
    '[    0.000001] Kernel command line: root=/dev/sda1 password=hunter2',
    '[    1.000001] eth0: 52:54:00:12:34:56 at pluto',
    '[    1.000002] usb 1-1: SerialNumber: SN-4711',
    '',
  ].join('\n');
  const log = plain
    .replace('\n', `\n${told}`)
    .split('\n')
    .map((line) => `Mar 04 14:08:00 pluto kernel: ${line}`)
    .join('\n');

  test('has none of what was to be taken out, and still tells of the same death', () => {
    const { files, redacted } = makeBundle(input(log), options);
    for (const { name, text } of files)
      for (const secret of secrets)
        expect([name, secret, text.includes(secret)]).toEqual([name, secret, false]);
    expect(redacted).toEqual({ secret: 1, serial: 1, MAC: 1, host: 1 });
    const report = JSON.parse(files.find(({ name }) => name === 'report.json')?.text ?? '') as Report;
    const before = makeReport(input(plain)).report;
    expect([report.cause?.kind, report.cause?.at, report.cause?.trace]).toEqual([
      before.cause?.kind,
      before.cause?.at,
      before.cause?.trace,
    ]);
  });

  test('takes nothing out that nobody asked for', () => {
    const { files, redacted } = makeBundle(input(log), { ...options, redactHosts: undefined });
    expect(redacted).toBeUndefined();
    expect(files.find(({ name }) => name === 'dmesg.txt')?.text).toBe(log);
    expect(files.map(({ name }) => name)).toEqual([
      'dmesg.txt',
      'report.txt',
      'report.json',
      'versions.json',
      'hardware.txt',
    ]);
  });

  test('redacts strings of capture.json, escaped or not, and keeps it JSON', () => {
    const captureJson = JSON.stringify({ primary: { commandLine: 'a password="x \\" y" b' }, n: 1 });
    const { files } = makeBundle(input(log), { ...options, captureJson });
    const json = files.find(({ name }) => name === 'capture.json')?.text ?? '';
    expect(JSON.parse(json)).toMatchObject({ n: 1 });
    expect(json).not.toContain('x \\');
  });
});
