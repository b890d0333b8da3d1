/** docs/recipes.md: each recipe's own commands, in an empty folder, and what they make boots. */
import { createReadStream } from 'node:fs';
import { copyFile, cp, mkdir, readFile, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from '@jest/globals';
import { readManifest } from '../src/image/payload-folder.js';
import { thorough } from '../src/testkit/lanes.js';
import { bootFrom, captured, check, guestBlock, serialConsole } from './harness/boot.js';
import { flipByte } from './harness/flip-byte.js';
import { blockEnds, guestInitramfs, printBlock } from './harness/guest.js';
import { stockKernel } from './harness/payloads.js';
import { emptyFolder, recipe, runRecipe } from './harness/recipes.js';

const limit = 300_000;
const panic = 'Kernel panic - not syncing: sysrq triggered crash';
let values: Readonly<Record<string, string>>;

beforeAll(async () => {
  values = {
    KERNEL: stockKernel('cloud-amd64').vmlinuz,
    INITRD: await guestInitramfs(
      `${printBlock('cmdline', 'cat /proc/cmdline')}echo c > /proc/sysrq-trigger\n`,
    ),
    APPEND: serialConsole,
  };
});

describe('PXE server', () => {
  let folder: string;
  let damaged: string;
  beforeAll(async () => {
    folder = emptyFolder('pxe');
    await runRecipe(recipe('PXE server'), folder, values);
    damaged = emptyFolder('pxe-damaged');
    await cp(folder, damaged, { recursive: true });
  }, limit);

  test(
    'lpxelinux.0 loads the payload by TFTP, and the panic is captured; SYSAPPEND reaches the armed kernel',
    async () => {
      const config = join(folder, 'tftp/armed/syslinux.cfg');
      const text = await readFile(config, 'utf8');
      await writeFile(config, text.replace(/^LABEL saveoops$/m, '$&\n\tSYSAPPEND 3'));
      const result = await bootFrom({ kind: 'network', tftp: join(folder, 'tftp'), file: 'lpxelinux.0' });
      captured(result, panic);
      check(result, () => {
        // No file system was started from, so the loader has none to tell of.
        expect(guestBlock(result, 'cmdline')).toEqual([
          expect.stringMatching(
            /^BOOT_IMAGE=saveoops\.c32 console=ttyS0,115200 ip=10\.0\.2\.15:10\.0\.2\.2:\S+ BOOTIF=01-52-54-00-12-34-56$/,
          ),
        ]);
      });
    },
    limit,
  );

  thorough(
    'lpxelinux.0 loads it by HTTP, and the panic is captured',
    async () => {
      // The TFTP server has the loader alone.
      const loader = emptyFolder('pxe-http');
      await mkdir(join(loader, 'tftp/pxelinux.cfg'), { recursive: true });
      for (const name of ['lpxelinux.0', 'ldlinux.c32']) {
        await copyFile(join(folder, 'tftp', name), join(loader, 'tftp', name));
      }
      const asked: string[] = [];
      const server = createServer((request, response) => {
        asked.push(request.url ?? '');
        createReadStream(join(folder, 'tftp', request.url ?? ''))
          .on('error', () => response.writeHead(404).end())
          .pipe(response);
      });
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
      try {
        const { port } = server.address() as AddressInfo;
        await runRecipe(recipe('PXE server', 'http'), loader, { SERVER: `10.0.2.2:${port}` });
        const result = await bootFrom({ kind: 'network', tftp: join(loader, 'tftp'), file: 'lpxelinux.0' });
        captured(result, panic);
        check(result, () => {
          expect(asked).toEqual(['/armed/syslinux.cfg', '/armed/saveoops.c32', '/armed/saveoops.c32']);
        });
      } finally {
        server.closeAllConnections();
        server.close();
      }
    },
    limit,
  );

  thorough(
    'pxelinux.0 boots the plain entry, by TFTP, too, when the payload is damaged',
    async () => {
      const dir = join(damaged, 'tftp/armed');
      const { regions, primary } = await readManifest(dir);
      const kernel = regions.find(({ name }) => name === 'primary');
      expect(kernel).toBeDefined();
      await flipByte(join(dir, 'saveoops.c32'), (kernel?.offset ?? 0) + 4096);
      const result = await bootFrom(
        { kind: 'network', tftp: join(damaged, 'tftp'), file: 'pxelinux.0' },
        { endAt: [new RegExp(blockEnds('cmdline'))] },
      );
      check(result, () => {
        expect(guestBlock(result, 'cmdline').join()).toContain(`BOOT_IMAGE=${primary.kernelFile} `);
      });
    },
    limit,
  );
});

test(
  'A CI job: the commands pass, and the log that came back is in the result and in the folder',
  async () => {
    const folder = emptyFolder('ci');
    await runRecipe(recipe('A CI job', 'ci'), folder, values, 280);
    const result = JSON.parse(await readFile(join(folder, 'mount.json'), 'utf8')) as Record<string, unknown>;
    expect(result).toMatchObject({
      outcome: 'passed',
      recovered: expect.stringContaining('VFS: Unable to mount'),
    });
    expect(await readFile(join(folder, 'logs/start_kernel/recovered.log'), 'utf8')).toMatch(
      /Kernel panic - not syncing: Saveoops test/,
    );
  },
  limit,
);
