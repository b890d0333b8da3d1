/** A FAT file system that Linux has written, names and all, is read by `saveoops captures` and `saveoops report`. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { runScenario } from '../src/machine/scenario.js';
import { runSaveoops } from '../src/testkit/command-line.js';
import { deathLogs } from '../src/testkit/death-logs.js';
import { check, serialConsole } from './harness/boot.js';
import { cache } from './harness/folders.js';
import { guestInitramfs } from './harness/guest.js';
import { modulesOf } from './harness/kernel-modules.js';
import { stockKernel } from './harness/payloads.js';

const folder = join(cache, 'runs', 'captures-fat');
const [log] = deathLogs().filter(({ name }) => name === 'bug');
const written = 'guest: written';
const name = '20261124T180000Z-6.1.0-56-amd64-a1b2c3';

test('what the kernel writes to FAT is listed and read', async () => {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const image = join(folder, 'fat.img');
  writeFileSync(image, '');
  truncateSync(image, 40 << 20);
  execFileSync('mformat', ['-i', image, '-v', 'CAPTURES', '::']);
  const modules = ['virtio_pci', 'virtio_blk', 'vfat', 'nls_cp437', 'nls_ascii'].flatMap((each) =>
    modulesOf('amd64', each),
  );
  const files = [...new Map(modules.map((file) => [file.path, file])).values()];
  const initrd = await guestInitramfs(
    `
${files.map(({ path }) => `insmod /${path}`).join('\n')}
mkdir /mnt
mount -t vfat -o umask=0077 /dev/vda /mnt
mkdir -p /mnt/saveoops/${name} /mnt/saveoops/${name.replace('a1b2c3', 'a1b2c4.incomplete')}
cp /log /mnt/saveoops/${name}/dmesg.txt.incomplete
mv /mnt/saveoops/${name}/dmesg.txt.incomplete /mnt/saveoops/${name}/dmesg.txt
dd if=/dev/zero of=/mnt/saveoops/${name}/vmcore.age bs=1M count=3 2>/dev/null
umount /mnt
echo "${written}"
poweroff -f
`,
    [...files, { path: 'log', source: log?.path ?? '' }],
  );
  const result = await runScenario({
    machine: {
      boot: { kind: 'kernel', kernel: stockKernel('amd64').vmlinuz, initrd, append: serialConsole },
      extra: [
        ...['-drive', `if=none,id=fat,format=raw,file=${image}`],
        ...['-device', 'virtio-blk-pci,drive=fat'],
      ],
    },
    folder,
    timeout: 180,
  });
  check(result, () => {
    expect(result.serial).toContain(written);
    const run = runSaveoops(['captures', image, '--json']);
    expect([run.status, run.stderr]).toEqual([0, '']);
    const { captures } = JSON.parse(run.stdout) as { captures: { id: string; files: unknown }[] };
    expect(captures.map(({ id, files }) => [id, files])).toEqual([
      ['a1b2c4', []],
      [
        'a1b2c3',
        [
          { name: 'dmesg.txt', size: log?.text.length },
          { name: 'vmcore.age', size: 3 << 20 },
        ],
      ],
    ]);
    const report = runSaveoops(['report', `${image}:a1b2c3`, '--json']);
    expect([report.status, report.stderr]).toEqual([0, '']);
    expect(JSON.parse(report.stdout)).toMatchObject({ cause: { kind: 'usercopy', pid: log?.facts.pid } });
  });
}, 240_000);
