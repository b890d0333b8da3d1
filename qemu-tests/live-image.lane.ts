/**
 * The live image of docs/recipes.md: `npm run test:live`, not part of `npm test`. Its own commands make a Debian live
 * system, which boots armed to the login prompt, and dies of an NMI there, as when a person presses a machine's NMI button.
 */
import { cp, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, expect, test } from '@jest/globals';
import type { BootSource } from '../src/machine/qemu-command.js';
import { bootFrom, captured, check, serialConsole } from './harness/boot.js';
import { cache, digestOf, makeOnce } from './harness/folders.js';
import { emptyFolder, recipe, runRecipe } from './harness/recipes.js';

const minutes = 60_000;
let image: string;

beforeAll(async () => {
  const commands = recipe('Live image', 'root');
  const root = await makeOnce(join(cache, 'live', digestOf(commands)), async (folder) => {
    await mkdir(folder);
    await runRecipe(commands, folder, {}, 25 * 60);
  });
  const folder = emptyFolder('live-image');
  await cp(root, folder, { recursive: true });
  await runRecipe(recipe('Live image', 'image'), folder, {
    // The last console is the one with a login prompt.
    APPEND: `console=tty0 ${serialConsole} unknown_nmi_panic`,
  });
  image = join(folder, 'live.iso');
}, 30 * minutes);

test.each(['cdrom', 'disk'] as const)(
  'as %s it boots armed to the login prompt, and a panic there is captured',
  async (kind) => {
    const boot: BootSource = { kind, image };
    const result = await bootFrom(boot, {
      timeout: 540,
      meanwhile: async (machine, qmp) => {
        await machine.waitForLine([], { timeoutMs: 500_000, prompts: [/ login: *$/] });
        await (await qmp()).execute('inject-nmi');
      },
    });
    const log = captured(result, 'Kernel panic - not syncing: NMI: Not continuing');
    check(result, () => {
      expect(log).toMatch(/Command line: BOOT_IMAGE=saveoops\.c32 .*\bboot=live\b/);
      expect(log).toContain('squashfs: version 4.0');
      expect(log).toMatch(
        /systemd\[1\]: .*graphical\.target|systemd\[1\]: Queued start job for default target/,
      );
    });
  },
  10 * minutes,
);
