/** Who can see and change what of the crash region on a running system: docs/security.md, "The running system". */
import { expect, test } from '@jest/globals';
import { readManifest } from '../src/image/payload-folder.js';
import { regionPlaces } from '../src/stubs/shared-layout.js';
import { thorough } from '../src/testkit/lanes.js';
import { bootPayload, captured, check, guestBlock, serialConsole } from './harness/boot.js';
import { guestInitramfs, printBlock } from './harness/guest.js';
import { payload } from './harness/payloads.js';

/** As a user who is not root. */
const asUser = `
echo "iomem $(cut -d : -f 1 /proc/iomem | tr -d ' ' | sort -u)"
echo "mem $(dd if=/dev/mem bs=1 count=1 2>&1 | tail -n 1)"
echo "kcore $(dd if=/proc/kcore bs=1 count=1 2>&1 | tail -n 1)"
echo "memmap $(cat /sys/firmware/memmap/0/start 2>&1)"
echo "dmesg $(dmesg 2>&1 | head -n 1)"
echo "status $(od -An -v -tx1 /sys/kernel/boot_params/setup_data/0/data | tr -d ' \\n')"
echo "setup_data $(od -An -v -tx8 -j 592 -N 8 /sys/kernel/boot_params/data | tr -d ' ')"
`;

/** The region is the reserved range of its size. Its first words of a command line, before and after a byte is changed. */
const asRoot = (size: number): string => `
for map in /sys/firmware/memmap/[0-9]*; do
  start=$(cat $map/start)
  [ "$(cat $map/type)" = Reserved ] && [ $(($(cat $map/end) + 1 - start)) = ${size} ] && region=$start
done
echo "region $region"
place=$((region + ${regionPlaces.CMDLINE}))
echo "read $(dd if=/dev/mem bs=1 skip=$place count=9 2>&1 | head -n 1)"
echo "write $(printf N | dd of=/dev/mem bs=1 seek=$place conv=notrunc 2>&1 | tail -n 1)"
echo "read $(dd if=/dev/mem bs=1 skip=$place count=9 2>&1 | head -n 1)"
`;

async function boot(append: string): ReturnType<typeof bootPayload> {
  const plain = await payload({ flavour: 'cloud-amd64', name: 'security-size' });
  const { memory } = await readManifest(plain);
  const guest = await guestInitramfs(`
mkdir -p /etc
echo 'root:x:0:0::/:/bin/sh' >/etc/passwd
echo 'user:x:1000:1000::/:/bin/sh' >>/etc/passwd
cat >/user <<'END'${asUser}END
${printBlock('user', 'su user -c "sh /user"')}
${printBlock('root', asRoot(memory.size))}
echo c >/proc/sysrq-trigger
`);
  const dir = await payload({ flavour: 'cloud-amd64', initrds: [guest], name: 'security' });
  return await bootPayload(dir, { extraAppend: `${serialConsole} ${append}` });
}

test('a user learns whether the system is armed and where the region is, and reads nothing of it; root may do all', async () => {
  const result = await boot('');
  check(result, () => {
    const root = guestBlock(result, 'root');
    const region = Number(root[0]?.split(' ')[1]);
    expect(region).toBeGreaterThan(0);
    // The status node lies in the page below.
    const page = (region - 4096) / 4096;
    expect(guestBlock(result, 'user')).toEqual([
      'iomem 00000000-00000000',
      expect.stringMatching(/^mem .*(Permission denied|Operation not permitted)$/),
      expect.stringMatching(/^kcore .*(Permission denied|Operation not permitted)$/),
      'memmap 0x0',
      expect.stringMatching(/^dmesg .*Operation not permitted$/),
      expect.stringMatching(/^status 0200000000000000/),
      expect.stringMatching(new RegExp(`^setup_data 0*${page.toString(16)}[0-9a-f]{3}$`)),
    ]);
    expect(root.slice(1)).toEqual([
      expect.stringMatching(/^read nr_cpus=1/),
      expect.stringMatching(/^write 1\+0 records out|^write 1 byte/),
      expect.stringMatching(/^read Nr_cpus=1/),
    ]);
    // What has been changed is not started.
    expect(result.serial).toContain('saveoops: E30 not captured, SHA-256 differs: boot_params');
  });
}, 240_000);

thorough(
  'with lockdown=integrity root changes nothing, and a panic is captured',
  async () => {
    const result = await boot('lockdown=integrity');
    check(result, () => {
      const root = guestBlock(result, 'root');
      expect(root.slice(1)).toEqual([
        expect.stringMatching(/^read .*Operation not permitted$/),
        expect.stringMatching(/^write .*Operation not permitted$/),
        expect.stringMatching(/^read .*Operation not permitted$/),
      ]);
    });
    captured(result, 'sysrq triggered crash');
  },
  240_000,
);
