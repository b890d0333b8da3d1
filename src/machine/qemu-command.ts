/** The QEMU command line of a machine: built as data, rendered for a shell. Options: qemu-system-x86_64(1). */

import { shellWord } from '../host/shell-word.js';
import { ovmfFiles } from '../image/requirements.js';

/** What the machine starts from. */
export type BootSource =
  /**
   * Unless `writable`, the guest's writes go to a temporary file, so that the image stays what was built. `device`:
   * options that plug the drive "disk" in, when it is not to be the first on the machine's own controller.
   */
  | {
      readonly kind: 'disk';
      readonly image: string;
      readonly writable?: boolean;
      readonly device?: readonly string[] | undefined;
    }
  | { readonly kind: 'cdrom'; readonly image: string }
  /** PXE: the firmware loads `file` by TFTP from the host's folder `tftp`. The guest sees the host as 10.0.2.2. */
  | { readonly kind: 'network'; readonly tftp: string; readonly file: string }
  | {
      readonly kind: 'kernel';
      readonly kernel: string;
      readonly initrd?: string | undefined;
      readonly append?: string | undefined;
    };

export type Firmware = 'bios' | 'uefi';

/** A PC for one run. */
export interface MachineSpec {
  readonly boot: BootSource;
  /** Default: SeaBIOS. "uefi": Debian's OVMF, with variables that are forgotten when the machine ends. */
  readonly firmware?: Firmware | undefined;
  /** QEMU's -machine; default "q35". */
  readonly board?: string;
  /** MiB; default 1024. */
  readonly memory?: number;
  /** Default 1. */
  readonly cpus?: number;
  /** Passed on as they are, last: `['-cpu', 'max']`. */
  readonly extra?: readonly string[];
  /**
   * False: no serial port that anyone reads (QEMU's null device; the port itself exists, as on most PCs). For runs
   * whose only output is elsewhere. 'absent': there is no such port. Default true: standard output.
   */
  readonly serial?: boolean | 'absent';
}

/** Unix sockets on which Saveoops listens and to which QEMU connects at its start, so that nobody has to poll. */
export interface ControlSockets {
  readonly qmp?: string | undefined;
  /** With this the machine starts stopped, until the debugger lets it run. */
  readonly gdb?: string | undefined;
}

export const qemuProgram = 'qemu-system-x86_64';

/**
 * Arguments after the program name. `-machine q35` has AHCI, which firmware reads 30 times faster than the
 * default's IDE; TCG, because it is there on every host and behaves the same; `-no-reboot` turns the guest's reset
 * into QEMU's exit, the event that ends a run.
 */
export function qemuArguments(spec: MachineSpec, sockets: ControlSockets = {}): readonly string[] {
  return [
    ...['-nodefaults', '-accel', 'tcg', '-machine', spec.board ?? 'q35'],
    ...['-m', String(spec.memory ?? 1024), '-smp', String(spec.cpus ?? 1)],
    ...['-vga', 'std', '-display', 'none', '-no-reboot'],
    ...['-serial', serialPort(spec)],
    ...(spec.firmware === 'uefi' ? ovmf : []),
    ...bootArguments(spec.boot),
    ...(sockets.qmp === undefined
      ? []
      : ['-chardev', `socket,id=qmp,path=${commas(sockets.qmp)}`, '-mon', 'chardev=qmp,mode=control']),
    ...(sockets.gdb === undefined
      ? []
      : ['-chardev', `socket,id=gdb,path=${commas(sockets.gdb)}`, '-gdb', 'chardev:gdb', '-S']),
    ...(spec.extra ?? []),
  ];
}

/** snapshot: firmware remembers a boot order, and the next machine is another one. */
const ovmf: readonly string[] = [
  ...['-drive', `if=pflash,format=raw,readonly=on,file=${ovmfFiles.code}`],
  ...['-drive', `if=pflash,format=raw,snapshot=on,file=${ovmfFiles.variables}`],
];

function serialPort({ serial = true }: MachineSpec): string {
  if (serial === 'absent') return 'none';
  return serial ? 'stdio' : 'null';
}

function bootArguments(boot: BootSource): readonly string[] {
  switch (boot.kind) {
    case 'disk':
      return [
        ...[
          '-drive',
          `if=none,id=disk,format=raw,snapshot=${boot.writable === true ? 'off' : 'on'},file=${commas(boot.image)}`,
        ],
        // bootindex: whatever other disks `extra` plugs in.
        ...(boot.device ?? ['-device', 'ide-hd,drive=disk,bus=ide.0,bootindex=0']),
      ];
    case 'cdrom':
      return [
        ...['-drive', `if=none,id=cd,media=cdrom,readonly=on,format=raw,file=${commas(boot.image)}`],
        ...['-device', 'ide-cd,drive=cd,bus=ide.0,bootindex=0'],
      ];
    case 'network':
      return [
        ...['-netdev', `user,id=net,tftp=${commas(boot.tftp)},bootfile=${commas(boot.file)}`],
        // bootindex, which UEFI heeds as well; -boot n it does not.
        ...['-device', 'virtio-net-pci,netdev=net,bootindex=0'],
      ];
    case 'kernel':
      return [
        ...['-kernel', boot.kernel],
        ...(boot.initrd === undefined ? [] : ['-initrd', boot.initrd]),
        ...(boot.append === undefined ? [] : ['-append', boot.append]),
      ];
  }
}

/** In QEMU's option lists a comma ends a value unless doubled. */
function commas(value: string): string {
  return value.replaceAll(',', ',,');
}

/**
 * One line for a POSIX shell that starts the same machine, without the sockets of a run: the guest's serial port is
 * the terminal. It works as long as the files that it names are there.
 */
export function reproduceLine(spec: MachineSpec): string {
  return [qemuProgram, ...qemuArguments(spec)].map(shellWord).join(' ');
}
