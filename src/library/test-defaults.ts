/** Defaults of a test in QEMU, for testPayload() and for the table of options, which every start of the program loads: so nothing else is here. */
export const testDefaults = {
  panic: 'mount',
  /** Where --reset ends the kernel: a black screen's usual place. */
  at: 'pci_subsys_init',
  firmware: 'bios',
  loader: 'syslinux',
  cpus: 1,
  /** MiB. */
  memory: 1024,
  /** Seconds. */
  timeout: 240,
} as const;
