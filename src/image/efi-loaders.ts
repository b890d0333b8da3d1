/** Names of what starts the composed image under UEFI, for the table of options: they are known before anything is loaded that makes disks. */
export const efiLoaders = ['firmware', 'grub', 'systemd-boot'] as const;
/** `firmware`: none, the shell of OVMF starts the image with a command line. */
export type EfiLoader = (typeof efiLoaders)[number];
