/** The sweep beyond the boot: a guest takes real steps, and the points are functions that only these steps reach. */
import { join } from 'node:path';
import { SaveoopsError } from '../../src/errors.js';
import type { Kernel } from '../../src/kernel/load-kernel.js';
import { guestInitramfs } from '../harness/guest.js';
import type { BootPoint } from '../../src/kernel/boot-points.js';

export const userspacePhase = 'userspace';

/** In the order in which the guest reaches them. */
const functions = [
  // The guest's first programs.
  ...['__x64_sys_execve', 'begin_new_exec', 'do_user_addr_fault', 'wp_page_copy', '__x64_sys_brk'],
  ...['__x64_sys_mount', 'path_mount', 'tty_open', 'uart_open'],
  ...['__x64_sys_clone', 'do_group_exit', '__x64_sys_wait4'],
  // Files.
  ...['__x64_sys_openat', 'shmem_write_end', '__x64_sys_rename', '__x64_sys_symlink', '__x64_sys_pipe2'],
  ...['__x64_sys_getdents64', '__x64_sys_sync', '__x64_sys_unlink', 'shmem_evict_inode', '__x64_sys_umount'],
  // A module.
  ...['load_module', 'do_init_module'],
  // Network.
  ...['__x64_sys_socket', '__dev_open', 'fib_add_ifaddr', '__x64_sys_sendto', 'icmp_rcv'],
  ...['__x64_sys_delete_module', 'free_module'],
  // Signals, sysctl.
  ...['__x64_sys_kill', 'get_signal', '__x64_sys_sethostname', 'proc_sys_write'],
  // The end of the system, down to its reset.
  ...['__do_sys_reboot', 'kernel_restart', 'device_shutdown', 'migrate_to_reboot_cpu'],
  ...['syscore_shutdown', 'machine_restart', 'native_machine_shutdown', 'native_machine_emergency_restart'],
];

/** Throws `missing-fact` when the kernel has no function of that name, or several. */
export function userspacePoints(kernel: Kernel): BootPoint[] {
  return functions.map((name) => {
    const count = kernel.kallsyms.addresses(name).length;
    if (count === 1) return { name, phase: userspacePhase };
    throw new SaveoopsError('missing-fact', `no function of its own is called ${name}`, {
      where: `${kernel.kallsyms.source}, kallsyms`,
      found: `${count} symbols`,
      wanted: 'one',
    });
  });
}

/** Prints nothing: the kernel's own lines have the serial port for themselves. */
const script = `
exec >/dev/null 2>&1
mkdir /a
mount -t tmpfs tmpfs /a
echo text >/a/file
mv /a/file /a/other
ln -s other /a/link
cat /a/link | wc -c >/a/count
dd if=/dev/zero of=/a/zeros bs=64k count=16
ls -l /a
sync
rm /a/zeros
umount /a
insmod /dummy.ko
ip link set lo up
ip link set dummy0 up
ip address add 192.0.2.1/24 dev dummy0
ping -c 1 192.0.2.1
rmmod dummy
sleep 1000 &
kill $!
wait
hostname sweep
sysctl -w kernel.printk_delay=0
reboot -f
`;

/** The guest's initramfs, with a module of the unpacked package that `vmlinuz` is from. */
export async function userspaceInitramfs(vmlinuz: string, release: string): Promise<string> {
  const source = join(vmlinuz, '../../lib/modules', release, 'kernel/drivers/net/dummy.ko');
  return await guestInitramfs(script, [{ path: 'dummy.ko', source }]);
}
