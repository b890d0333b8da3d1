/** A manifest such as `saveoops build` writes, small. */
import type { Manifest } from '../payload/manifest.js';

const sha256 = '0'.repeat(64);

export const sampleManifest: Manifest = {
  format: 1,
  generator: 'saveoops 0.1.0',
  primary: {
    release: '6.1.0-56-amd64',
    kernelFile: 'vmlinuz',
    initrdFiles: ['initrd.img'],
    initrdBeside: false,
    append: 'root=/dev/sda1 ro',
    plainAppend: 'root=/dev/sda1 ro',
    oopsPanic: false,
    sha256,
  },
  crash: {
    release: '6.1.0-56-amd64',
    kernelFile: 'vmlinuz',
    append: 'quiet saveoops.hold=60',
    ownAppend: 'saveoops.hold=60',
    samePrimary: true,
    sha256,
  },
  reset: { vga: false, pic: false },
  afterReset: false,
  bootWatchdog: 0,
  memory: { size: 128 << 20, asked: null, unpacked: 1 << 20, parts: [{ what: 'stub', bytes: 2 << 20 }] },
  regions: [{ name: 'module', offset: 0, size: 8192, purpose: 'COM32 module', sha256 }],
  efiModule: { sha256 },
  edits: [{ what: 'hook', address: '0xffffffff81000000', before: 'cc', after: '90' }],
  facts: [{ name: '_text', value: '0xffffffff81000000', source: 'ELF program headers' }],
  debug: { stub: 0x700000, leaveImage: 0x700100, enterKernel: 0x700200 },
};
