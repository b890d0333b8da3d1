/**
 * The crash kernel's own command line; never the primary's, whose console=, root= or panic_on_warn could keep the
 * crash kernel from coming up (its `saveoops.` words alone are copied, by the entry stub). The words are those that kdump distributions have converged on, each with its reason.
 */
export const captureCommandLine: readonly string[] = [
  'nr_cpus=1', // a crash on an AP must not wake the BSP by INIT, and memory is short
  'reset_devices', // devices were left running by the dead kernel
  'irqpoll', // their interrupts may arrive before a driver asks for them
  'nokaslr', // no hole to search in a small region
  'cgroup_disable=memory', // memory
  'mce=off', // a broken machine's checks must not end the capture
  'numa=off',
  'hest_disable', // firmware error records of the dead kernel
  'novmcoredd', // no device dumps: memory
  'transparent_hugepage=never',
  'acpi_no_memhotplug',
  'panic=10', // a crash kernel that panics itself reboots
  'oops=panic', // init takes it back: from then on the capture can go on without a driver
  'softlockup_panic=1', // so does one that loops in the kernel: on its one CPU nothing else runs, no time limit either
  'nmi_watchdog=panic', // nor does that with interrupts off
  'console=tty0',
  'console=ttyS0,115200',
];
