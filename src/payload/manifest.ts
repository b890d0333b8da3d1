/**
 * `saveoops.json`, also embedded in saveoops.c32: everything that one build decided. `inspect` gives it back from
 * the file alone, `test` and `image` read it, and a person can check any byte of the payload against it.
 * Addresses and values that may exceed 2^53 are hexadecimal strings with 0x; sizes and offsets are bytes.
 */
import type { KernelEdit, KernelFact } from '../kernel/evidence.js';

export interface ManifestRegion {
  readonly name: string;
  /** Byte offset in saveoops.c32. */
  readonly offset: number;
  readonly size: number;
  readonly purpose: string;
  readonly sha256: string;
}

export interface Manifest {
  readonly format: 1;
  readonly generator: string;
  readonly primary: {
    /** uname -r of the primary, from its setup header. */
    readonly release: string;
    /** Path's last component as given; the plain entry boots a file of this name. */
    readonly kernelFile: string;
    readonly initrdFiles: readonly string[];
    /** True when the initrds are files beside the payload (`--initrd-beside`). */
    readonly initrdBeside: boolean;
    /** The command line when armed; plain (`--append`); whether `--oops-panic` makes the difference. */
    readonly append: string;
    readonly plainAppend: string;
    readonly oopsPanic: boolean;
    readonly sha256: string;
  };
  readonly crash: {
    readonly release: string;
    readonly kernelFile: string;
    readonly append: string;
    /** `--crash-append`: the end of `append`. */
    readonly ownAppend: string;
    /** True when the crash kernel is the primary's own bzImage, stored once. */
    readonly samePrimary: boolean;
    readonly sha256: string;
  };
  /** Devices that the crash stub resets before it starts the crash kernel. */
  readonly reset: { readonly vga: boolean; readonly pic: boolean };
  /** `--after-reset`: a kernel that is reset is captured by the next boot. */
  readonly afterReset: boolean;
  /** `--boot-watchdog`, seconds; 0: none. */
  readonly bootWatchdog: number;
  /** RAM taken from the primary, bytes, and the sum that shows why. */
  readonly memory: {
    readonly size: number;
    /** `--crash-size`, or null for the computed size. */
    readonly asked: number | null;
    /** What the capture initramfs takes once unpacked, bytes: for a foreign one an estimate. */
    readonly unpacked: number;
    readonly parts: readonly { readonly what: string; readonly bytes: number }[];
  };
  readonly regions: readonly ManifestRegion[];
  /** saveoops-efi.c32, which lies beside the payload. */
  readonly efiModule: { readonly sha256: string };
  readonly edits: readonly KernelEdit[];
  readonly facts: readonly KernelFact[];
  /**
   * Places for a debugger. Offsets are from the start of the image's protected-mode part, which loaders put at
   * 0x100000. `leaveImage`: the jump into the stub's copy in the crash region; RAX holds that copy's address, and
   * the copy's own `enterKernel` is at RAX + enterKernel - stub. `enterKernel`: the last jump; RAX holds the
   * physical address of startup_64, RCX the KASLR offset (virtual address minus link address), RSI boot_params.
   */
  readonly debug: {
    readonly stub: number;
    readonly leaveImage: number;
    readonly enterKernel: number;
  };
}
