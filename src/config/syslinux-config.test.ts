import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from '@jest/globals';
import { SaveoopsError } from '../errors.js';
import {
  armedAppend,
  checkAppend,
  renderSyslinuxConfig,
  testAppend,
  type ConfigInputs,
} from './syslinux-config.js';

const folder = fileURLToPath(new URL('../../../syslinux-config/', import.meta.url));
const template = readFileSync(`${folder}syslinux.cfg.template`, 'utf8');

const plain: ConfigInputs = {
  release: '6.1.0-56-amd64',
  kernelFile: 'vmlinuz-6.1.0-56-amd64',
  initrdFiles: [],
  initrdBeside: false,
  append: '',
  oopsPanic: false,
  crashKernelFile: 'vmlinuz-6.1.0-56-amd64',
  crashInitrdFile: 'saveoops-capture.img',
  crashAppend: 'nr_cpus=1 reset_devices',
  afterReset: false,
};
const usual = { ...plain, initrdFiles: ['initrd.img'], append: 'root=/dev/sda1 ro rootwait quiet' };
const cases: Readonly<Record<string, ConfigInputs>> = {
  'no-initrd': plain,
  'initrd-embedded': usual,
  'initrds-beside': { ...usual, initrdFiles: ['microcode.img', 'initrd.img'], initrdBeside: true },
  'after-reset': { ...usual, afterReset: true },
  'oops-panic': { ...usual, oopsPanic: true },
  'own-crash-kernel': { ...usual, crashKernelFile: 'vmlinuz-crash', crashAppend: 'saveoops.after=poweroff' },
};

const accept =
  'SAVEOOPS_ACCEPT=1 node --experimental-vm-modules node_modules/jest/bin/jest.js dist/src/config';

describe('syslinux.cfg', () => {
  test.each(Object.entries(cases))('%s is the golden file', (name, inputs) => {
    const path = `${folder}golden/${name}.cfg`;
    const rendered = renderSyslinuxConfig(template, inputs);
    if (process.env['SAVEOOPS_ACCEPT'] === '1') writeFileSync(path, rendered);
    const golden = existsSync(path) ? readFileSync(path, 'utf8') : 'missing';
    if (golden !== rendered) console.error(`If the new text is right, accept it: ${accept}`);
    expect(rendered).toBe(golden);
  });

  test('a replacement pattern in a command line stays what it is', () => {
    expect(renderSyslinuxConfig(template, { ...plain, append: 'a=$& b=@KERNEL@' })).toContain(
      'APPEND a=$& b=@KERNEL@\n',
    );
  });

  test.each([
    ['', false, ''],
    ['', true, 'oops=panic'],
    ['ro quiet', true, 'ro quiet oops=panic'],
    ['ro oops=panic quiet', true, 'ro oops=panic quiet'],
    ['ro oops=panic quiet', false, 'ro oops=panic quiet'],
    ['xoops=panic', true, 'xoops=panic oops=panic'],
  ])('the armed command line of %j, oops=panic wanted: %j', (append, oopsPanic, armed) => {
    expect(armedAppend({ append, oopsPanic })).toBe(armed);
  });

  test.each([
    ['a line break', 'quiet\nLABEL other'],
    ['a tab', 'a\tb'],
    ['a letter beyond ASCII', 'root=ä'],
    ['2001 characters', 'x'.repeat(2001)],
  ])('%s is refused', (_, line) => {
    expect(() => {
      checkAppend('--append', line);
    }).toThrow(SaveoopsError);
  });

  test('the test entry neither waits for a root nor finds one', () => {
    expect(testAppend('root=UUID=1 rootwait rootdelay=5 quiet rdinit=/x')).toBe(
      'quiet rdinit=/saveoops-test root=/dev/saveoops-test',
    );
  });
});
