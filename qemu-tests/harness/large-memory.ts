/** Machines with RAM above 512 GiB. The host needs memory for what of it is touched, not for what there is. */
import type { RunOptions } from './boot.js';

type Machine = Required<Pick<RunOptions, 'memory' | 'board' | 'extra'>>;

const TiBInMiB = 1 << 20;

/**
 * 1 GiB of RAM at 0, the rest at 1 TiB: QEMU moves what lies above 4 GiB there when an AMD processor's machine uses addresses
 * from 1012 GiB on (hw/i386/pc.c, AMD_HT_START), and a PCI window of a TiB does.
 * @param memory MiB in all
 * @param cpu a model of AMD, with what it lacks
 */
export function ramAtOneTiB(memory: number, cpu = 'max'): Machine {
  return {
    memory,
    board: 'q35,max-ram-below-4g=1G',
    extra: ['-cpu', `${cpu},phys-bits=46`, '-global', 'q35-pcihost.pci-hole64-size=1T'],
  };
}

/**
 * So much RAM in one piece above 4 GiB. QEMU itself needs a ten-thousandth of it, for its bits for each page.
 * @param size TiB; SMBIOS before version 3 cannot list the modules of more than about 15
 */
export function tebibytes(size: number): Machine {
  const memory = size * TiBInMiB;
  return {
    memory,
    board: 'q35,memory-backend=ram,smbios-entry-point-type=64',
    extra: [
      ...['-object', `memory-backend-ram,id=ram,size=${memory}M,reserve=off`],
      ...['-cpu', 'max,phys-bits=46,vendor=GenuineIntel'],
    ],
  };
}
