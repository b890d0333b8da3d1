/** From input bytes to everything `saveoops build` writes. Runs host tools (decompressors, lz4) and nothing else. */
import { armKernel } from '../arm/arm-kernel.js';
import { requireOrderlyEnd } from '../arm/orderly-end.js';
import { synthesiseVmcoreinfo, vmcoreinfoFacts } from '../arm/vmcoreinfo.js';
import { parseBzImage } from '../formats/bzimage/parse-bzimage.js';
import { decompressPayload } from '../formats/bzimage/payload.js';
import { constantPages, constantPagesFact } from '../kernel/constant-pages.js';
import type { Kernel } from '../kernel/load-kernel.js';
import { findTextFont, fontBytes, textFontFact } from '../kernel/text-font.js';
import { planCrashRegion } from '../layout/crash-region.js';
import type { ComposedImage } from './assemble-image.js';
import { checkCrashKernel } from './check-crash-kernel.js';
import { composeImage, scratchSize, type DeviceResets } from './compose-image.js';
import { moduleParts, writeCom32, type Com32File, type Initrd } from './com32-file.js';
import { sha256Hex } from '../bytes/digests.js';
import type { KernelFact } from '../kernel/evidence.js';
import type { Manifest } from './manifest.js';
import { storeKernel } from './stored-kernel.js';
import { regionPlaces } from '../stubs/shared-layout.js';
import type { StubObjects } from '../stubs/stub-objects.js';
import { requireSymbol } from '../stubs/stub-objects.js';

/** A named input: `name` is the file name it gets beside the payload. */
export interface InputFile {
  readonly name: string;
  readonly bytes: Uint8Array;
}

/** An initramfs for the crash kernel, and what it takes once unpacked, bytes. */
export interface CrashInitrd {
  readonly bytes: Uint8Array;
  readonly unpackedSize: number;
}

/** How much a foreign archive unpacks to is not known: dracut and initramfs-tools images grow about threefold. */
export function foreignCrashInitrd(bytes: Uint8Array): CrashInitrd {
  return { bytes, unpackedSize: 3 * bytes.length };
}

export interface PayloadInputs {
  readonly generator: string;
  readonly kernel: InputFile;
  /** The same kernel, taken apart: the caller starts this early, since a host tool does most of the work. */
  readonly loaded: Kernel;
  readonly initrds: readonly Initrd[];
  readonly initrdBeside: boolean;
  /** The primary's command line when armed. */
  readonly append: string;
  /** --append and --oops-panic. */
  readonly plainAppend: string;
  readonly oopsPanic: boolean;
  readonly crashKernel: InputFile;
  readonly crashInitrd: CrashInitrd;
  readonly crashAppend: string;
  /** --crash-append: the end of crashAppend. */
  readonly ownCrashAppend: string;
  /** --crash-size, bytes. */
  readonly crashSize: number | undefined;
  readonly reset: DeviceResets;
  /** --after-reset. */
  readonly afterReset: boolean;
  /** --boot-watchdog, seconds. */
  readonly bootWatchdog: number;
  readonly stubs: StubObjects;
}

export interface Payload {
  readonly image: ComposedImage;
  readonly com32: Com32File;
  readonly manifest: Manifest;
}

/** Throws whatever the formats, arming, layout and tools throw. */
export async function buildPayload(inputs: PayloadInputs): Promise<Payload> {
  const kernel = inputs.loaded;
  const samePrimary = Buffer.compare(inputs.kernel.bytes, inputs.crashKernel.bytes) === 0;
  const crashKernel = samePrimary
    ? kernel.bzImage
    : parseBzImage(inputs.crashKernel.bytes, inputs.crashKernel.name);
  const crashVmlinux = samePrimary
    ? kernel.image.bytes
    : await decompressPayload(crashKernel.payload, inputs.crashKernel.name);
  checkCrashKernel(crashKernel, crashVmlinux, inputs.crashKernel.name);
  const armed = armKernel(kernel, inputs.stubs.hook);
  if (inputs.afterReset) requireOrderlyEnd(armed.facts, inputs.kernel.name);
  const vmcoreinfo = synthesiseVmcoreinfo(kernel);
  const font = findTextFont(kernel);
  const stored = await storeKernel(kernel);
  const constants = constantPages(kernel, (regionPlaces.PAGE_SUMS_END - regionPlaces.PAGE_SUMS) / 4);
  const region = planCrashRegion(
    {
      kernelSize: crashKernel.protectedMode.length,
      initSize: crashKernel.header.init_size,
      initrdSize: inputs.crashInitrd.bytes.length,
      unpackedSize: inputs.crashInitrd.unpackedSize,
      scratchSize: scratchSize({
        original: kernel.bzImage.protectedMode.length,
        compressed: stored.bytes.length,
        entryStub: inputs.stubs.entry.bytes.length,
        samePrimary,
        ownPayload: stored.inside !== undefined,
      }),
    },
    inputs.crashSize,
  );
  const image = composeImage({
    kernel,
    armed,
    stored,
    vmcoreinfo,
    constants,
    crashKernel,
    samePrimary,
    crashInitrd: inputs.crashInitrd.bytes,
    crashCommandLine: inputs.crashAppend,
    region,
    reset: inputs.reset,
    afterReset: inputs.afterReset,
    bootWatchdog: inputs.bootWatchdog,
    font: fontBytes(kernel, font),
    stubs: inputs.stubs,
  });
  const embedded = inputs.initrdBeside ? [] : inputs.initrds;
  const entrySymbol = (name: string): number =>
    Number(requireSymbol(inputs.stubs.entry.symbols, name, 'entry.elf').value);
  const { module, efiModule } = inputs.stubs;
  const sha256 = sha256Hex(inputs.kernel.bytes);
  const crashSha256 = samePrimary ? sha256 : sha256Hex(inputs.crashKernel.bytes);
  const com32 = writeCom32(moduleParts(module), efiModule, image, embedded, (digests) => ({
    format: 1,
    generator: inputs.generator,
    primary: {
      release: kernel.bzImage.release,
      kernelFile: inputs.kernel.name,
      initrdFiles: inputs.initrds.map((initrd) => initrd.name),
      initrdBeside: inputs.initrdBeside,
      append: inputs.append,
      plainAppend: inputs.plainAppend,
      oopsPanic: inputs.oopsPanic,
      sha256,
    },
    crash: {
      release: crashKernel.release,
      kernelFile: inputs.crashKernel.name,
      append: inputs.crashAppend,
      ownAppend: inputs.ownCrashAppend,
      samePrimary,
      sha256: crashSha256,
    },
    reset: inputs.reset,
    afterReset: inputs.afterReset,
    bootWatchdog: inputs.bootWatchdog,
    memory: {
      size: region.size,
      asked: inputs.crashSize ?? null,
      unpacked: inputs.crashInitrd.unpackedSize,
      parts: region.sum,
    },
    ...digests,
    edits: [...image.headerEdits, ...armed.edits],
    facts: [
      ...headerFacts(kernel),
      ...armed.facts,
      ...vmcoreinfoFacts(vmcoreinfo),
      textFontFact(font),
      constantPagesFact(constants),
    ],
    debug: {
      stub: image.stubOffset,
      leaveImage: image.stubOffset + entrySymbol('leave_image_jump'),
      enterKernel: image.stubOffset + entrySymbol('enter_kernel_jump'),
    },
  }));
  return { image, com32, manifest: com32.manifest };
}

function headerFacts({ bzImage, image, relocations }: Kernel): KernelFact[] {
  const { header } = bzImage;
  const hex = (value: number | bigint): string => `0x${value.toString(16)}`;
  return [
    { name: 'init_size', value: hex(header.init_size), source: 'setup header' },
    { name: 'kernel_alignment', value: hex(header.kernel_alignment), source: 'setup header' },
    { name: 'xloadflags', value: hex(header.xloadflags), source: 'setup header' },
    { name: '_text', value: hex(image.virtual), source: 'ELF program headers' },
    { name: 'LOAD_PHYSICAL_ADDR', value: hex(image.physical), source: 'ELF program headers' },
    { name: 'startup_64', value: hex(image.physical + BigInt(image.entryOffset)), source: 'ELF e_entry' },
    {
      name: 'relocations',
      value: `${relocations.words64.length} + ${relocations.inverse32.length} + ${relocations.words32.length}`,
      source: '64-bit, inverse 32-bit, 32-bit lists behind the ELF file',
    },
  ];
}
