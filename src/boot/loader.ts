/**
 * What a boot loader is to `saveoops update`: the contract between the one sequence of steps (update-boot.ts) and the files of
 * each loader. A loader decides nothing about kernels: it is told what to offer, and makes the files say so.
 *
 * What every implementation keeps:
 *
 *   - Every moment is a bootable one. A change that boots something else is one rename, one unlink or one new file, seen onto
 *     the disk (writeAtomic, syncFolder) before the next step. Nothing is written in place.
 *   - What is offered is exactly what `changes` was told last. Nothing is remembered elsewhere, so that a run after an
 *     interrupted one needs to know nothing of it: it tells the same loader everything again.
 *   - A payload folder that is being written (V.new) is named by no file of the loader. Between `withdraw` of V and the next
 *     `changes`, the folders V and V.old are renamed: nothing may depend on them.
 *   - Plain entries are the loader's own, or boot the files in /boot themselves. They are never worse than before.
 *   - What belongs to the administrator keeps every byte but what `join` adds, and `leave` takes exactly that away. A setting
 *     of the administrator's (default entry, order, timeout, password) wins.
 *   - The default is the newest kernel: armed when it is offered armed, else plain; unless the administrator's setting names
 *     something else.
 *   - What cannot be done is a SaveoopsError, thrown before anything is changed where that is possible.
 */
import type { BuildFormat } from '../compose/payload-files.js';
import type { FileChange } from './file-change.js';
import type { InstalledKernel } from './installed-kernels.js';
import type { NewFile } from './payload-store.js';

/** The file that a loader boots, in each payload folder. */
export interface PayloadKind {
  /** What `composeFiles` makes for it. */
  readonly format: BuildFormat;
  /** Its name in the payload folder. It may hold an initramfs, so that only root can read it. */
  readonly file: string;
  /**
   * The files of a payload folder (beside update.json), of all that `composeFiles` gives: `file` and saveoops.json, and
   * what `verify` needs. Throws what making them of other files throws.
   */
  readonly select: (built: readonly NewFile[], version: string) => Promise<readonly NewFile[]>;
  /**
   * Checks a payload folder, every byte of `file`, as it comes from the disk. Throws `digest`, `file` and others when it is
   * not what was built.
   */
  readonly verify: (folder: string) => Promise<void>;
  /**
   * Where a payload holds more than kernel and initramfs of /boot: whether the rest is what it would be made of now. Throws `file`.
   * @param folder the payload's
   */
  readonly fits?: (folder: string, version: string) => Promise<boolean>;
}

/** One installed kernel, and which of its payloads may boot. */
export interface Offer {
  readonly kernel: InstalledKernel;
  /** Folder in the store whose payload is this very kernel (and initramfs, where the payload holds one): the armed entry. */
  readonly armed: string | undefined;
  /** Folder of a payload of this kernel that is older than `armed`, or stale: offered as "previous", never the default. */
  readonly previous: string | undefined;
}

export interface Loader {
  /** As in the option `loader`. */
  readonly name: string;
  readonly payload: PayloadKind;

  /**
   * The store: the folder with the payload folders, on a file system that the loader reads. It need not be there yet. Writes
   * nothing. Throws `file`, `unsupported`.
   */
  locate(): Promise<string>;

  /**
   * Makes the store when it is not there, and gives it. Its free space is what a new payload needs beside the old one
   * (payload-store.ts, writeNew). Leftovers of a killed run go. Throws as `locate` does.
   */
  open(): Promise<string>;

  /**
   * The loader's files when it offers exactly these, newest kernel first; a kernel that is not among them gets no entry of ours.
   * In the order in which they are to be changed: what is not to boot goes first. Folders of payloads need not be there yet. Writes
   * nothing, and is made by makeChanges(). Throws `file`.
   */
  changes(store: string, offers: readonly Offer[]): Promise<readonly FileChange[]>;

  /**
   * The way out when the changes could not be made: nothing boots the payload of `version` any more, without room for a new file.
   * More may be withdrawn than was asked for; the next `changes` bring it back. Throws when the payload would still be booted.
   */
  withdraw(store: string, version: string): Promise<void>;

  /**
   * Called after each change by which something is armed: the administrator's configuration leads to what is offered from now on.
   * Does nothing when it does. Throws `file`, `unsupported`, `tool`.
   */
  join(store: string): Promise<void>;

  /** Paths that `join` would write once these are offered. Throws as far as it can be told before that. */
  wouldJoin(store: string, offers: readonly Offer[]): Promise<readonly string[]>;

  /**
   * Takes `join` and `changes` back, every byte, before the payload folders go. Does nothing where nothing is. Throws `file`,
   * `tool`.
   */
  leave(store: string): Promise<void>;

  /** Paths that `leave` would write or remove. */
  wouldLeave(store: string): Promise<readonly string[]>;
}
