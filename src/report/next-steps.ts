/** What a person can do with a capture: command lines to copy. */
import { shellWord } from '../host/shell-word.js';
import type { CodePlace } from './code-place.js';
import { debugPackage, isRelease } from './debug-package.js';
import type { CaptureInput } from './report-input.js';

export interface NextStep {
  readonly why: string;
  /** For a shell; null: there is nothing to type. */
  readonly command: string | null;
}

export interface NextStepFacts {
  readonly kernel: { readonly release: string | null; readonly banner: string | null };
  /** Where the code to look at is. */
  readonly at: CodePlace | undefined;
  readonly where: string;
  readonly capture: CaptureInput | undefined;
}

export function nextSteps({ kernel, at, where, capture }: NextStepFacts): readonly NextStep[] {
  const debug = debugPackage(kernel.release ?? undefined, kernel.banner ?? '');
  const vmlinux = debug?.vmlinux ?? 'VMLINUX';
  const withSymbols = [
    ...sourceLine(at, vmlinux, kernel.release),
    ...(capture === undefined ? [] : dumpSteps(capture, where, vmlinux)),
  ];
  // Of no use when nothing that follows names it.
  if (debug === undefined && !withSymbols.some(({ command }) => command !== null)) return withSymbols;
  return [
    debug === undefined
      ? {
          why: `Get the vmlinux with debug information of exactly this kernel${kernel.release === null ? '' : ` (${kernel.release})`} from whoever built it; in the lines below it is VMLINUX`,
          command: null,
        }
      : {
          why: `Install the symbols of this kernel. ${debug.distribution}: from ${debug.where}`,
          command: debug.install,
        },
    ...withSymbols,
  ];
}

function sourceLine(at: CodePlace | undefined, vmlinux: string, release: string | null): NextStep[] {
  const { function: name, offset = 0, module } = at ?? {};
  if (name === undefined) return [];
  if (module === undefined) {
    const place = shellWord(`list *(${name}+0x${offset.toString(16)})`);
    return [{ why: 'See the line of source', command: `gdb -batch -ex ${place} ${shellWord(vmlinux)}` }];
  }
  const folder = `/usr/lib/debug/lib/modules/${release !== null && isRelease(release) ? release : 'RELEASE'}`;
  return [
    {
      why: `See the line of source: the code is in the module ${module}. Find its symbols, open them with gdb, and type list *(${name}+0x${offset.toString(16)})`,
      command: `find ${folder} -name ${shellWord(`${module.replace(/[_-]/g, '[_-]')}.ko*`)}`,
    },
  ];
}

function dumpSteps(capture: CaptureInput, where: string, vmlinux: string): NextStep[] {
  const has = (name: string): boolean => capture.files.some((file) => file.name === name);
  const fetch = (name: string): NextStep[] =>
    capture.copyCommand === undefined
      ? []
      : [{ why: 'Copy the dump out of the image', command: capture.copyCommand(name) }];
  const path = (name: string): string =>
    shellWord(capture.copyCommand === undefined ? `${where.replace(/\/+$/, '')}/${name}` : name);
  const whole = ['vmcore', 'vmcore.age', 'vmcore.incomplete', 'vmcore.age.incomplete'].find(has);
  if (whole === undefined) {
    return [
      {
        why: 'No memory dump was saved. To have one the next time, build with --dump filtered, or give saveoops.dump=filtered on the kernel command line',
        command: null,
      },
    ];
  }
  const encrypted = whole.startsWith('vmcore.age');
  const filtered = capture.record?.dump.how?.startsWith('makedumpfile') !== false;
  const dump = encrypted ? 'vmcore' : path(whole);
  return [
    ...fetch(whole),
    ...(encrypted
      ? [
          {
            why: 'Decrypt the dump with the private key',
            command: filtered
              ? `age --decrypt --identity KEYFILE ${path(whole)} | makedumpfile -R vmcore`
              : `age --decrypt --identity KEYFILE --output vmcore ${path(whole)}`,
          },
        ]
      : []),
    { why: 'Look around in the dead kernel', command: `crash ${shellWord(vmlinux)} ${dump}` },
    { why: 'The same in Python', command: `drgn -c ${dump} -s ${shellWord(vmlinux)}` },
  ];
}
