/**
 * The kernel modules that the capture initramfs carries when the crash kernel has them: what reaches the disks of
 * common machines, the file systems on them, and hardware watchdogs. Names as the kernel says them. What they need
 * comes along; what a kernel has built in, or does not have, is left out. docs/capture.md tells users.
 */

/** Asked for by a device's modalias, by the kernel itself (file systems, checksums), or by name. */
export const storageModules: readonly string[] = [
  // ATA
  ...['ahci', 'ata_piix', 'ata_generic'],
  // NVMe, and Intel's VMD, behind which NVMe disks hide
  ...['nvme', 'vmd'],
  // virtual machines
  ...['virtio_pci', 'virtio_blk', 'virtio_scsi', 'vmw_pvscsi', 'hv_storvsc', 'xen_blkfront'],
  // USB
  ...['xhci_pci', 'ehci_pci', 'ohci_pci', 'uhci_hcd', 'usb_storage', 'uas'],
  // SD and MMC
  ...['sdhci_pci', 'sdhci_acpi', 'rtsx_pci_sdmmc', 'mmc_block'],
  // RAID and SAS controllers
  ...['megaraid_sas', 'mpt3sas', 'aacraid', 'hpsa', 'smartpqi', 'mptspi', 'mptsas', '3w_9xxx', '3w_sas'],
  // disks and CD-ROMs on any of these
  ...['sd_mod', 'sr_mod'],
];

const fileSystems: readonly string[] = ['vfat', 'ext4', 'xfs', 'btrfs', 'isofs'];

export const fileSystemModules: readonly string[] = [
  ...fileSystems,
  // names of files in vfat: what mount's codepage= and iocharset= are by default, on Debian's kernels and others
  ...['nls_cp437', 'nls_ascii', 'nls_iso8859_1', 'nls_utf8'],
  // checksums, which file systems ask for by algorithm and not by symbol
  ...['crc32c_generic', 'xxhash_generic', 'sha256_generic', 'blake2b_generic'],
];

/**
 * Watchdogs, and what makes the device of iTCO_wdt. No device's modalias loads them: a driver of a watchdog that
 * nobody armed has no business here.
 */
export const watchdogModules: readonly string[] = [
  'lpc_ich',
  'i2c_i801',
  'iTCO_wdt',
  'wdat_wdt',
  'i6300esb',
  'sp5100_tco',
];

/**
 * Disk and file system of one machine in place of the sets above. Code pages and checksums stay: no file tells that they are needed.
 * @param machine names of its modules; without a file system among them, all file systems stay
 */
export function modulesOfMachine(machine: readonly string[]): readonly string[] {
  const known = machine.some((name) => fileSystems.includes(name));
  const others = fileSystemModules.filter((name) => !known || !fileSystems.includes(name));
  return [...machine, ...others];
}
