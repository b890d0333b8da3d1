import { existsSync, mkdtempSync, readFileSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { diskImageNeeds, requireOnHost } from '../image/requirements.js';
import { oracle } from '../testkit/command-line.js';
import { doctor, taskNeeds } from './doctor.js';

let empty: string;
beforeAll(() => {
  empty = mkdtempSync(join(tmpdir(), 'saveoops-doctor-'));
});
afterAll(() => {
  rmSync(empty, { recursive: true, force: true });
});

test('a machine on which the tests run lacks nothing that they use', async () => {
  const { ready, tasks, install } = await doctor();
  expect([ready, install]).toEqual([true, null]);
  expect(tasks.map(({ task }) => task)).toEqual(expect.arrayContaining(['build', 'image', 'test']));
});

test('without programs it names them, and the refusals of the commands say the same', async () => {
  const { ready, tasks, install } = await doctor({ path: empty });
  expect(ready).toBe(false);
  const image = tasks.find(({ task }) => task === 'image')?.missing ?? [];
  expect(image.map(({ name }) => name)).toEqual(expect.arrayContaining(['mformat', 'syslinux']));
  const refusal: unknown = await requireOnHost(diskImageNeeds, empty).catch((error: unknown) => error);
  const { hint = '' } = refusal as { readonly hint?: string };
  const packages = hint.replace('apt-get install ', '').split(' ');
  expect(packages).toEqual(expect.arrayContaining(['mtools', 'syslinux']));
  expect((install ?? '').split(' ')).toEqual(expect.arrayContaining(['apt-get', 'install', ...packages]));
});

test("the recipe's job on a hosted runner installs all that a test there needs", () => {
  const text = readFileSync(new URL('../../../docs/recipes.md', import.meta.url), 'utf8');
  const installed = /apt-get install -y --no-install-recommends (.*)/.exec(text)?.[1]?.split(' ') ?? [];
  const control = readFileSync(new URL('../../../src/packaging/deb/control.in', import.meta.url), 'utf8');
  const depends = /^Depends: (.*)$/m.exec(control)?.[1] ?? '';
  const needs = taskNeeds
    .filter(({ task }) => task === 'build' || task === 'test')
    .flatMap((each) => each.needs);
  expect(needs.length).toBeGreaterThan(5);
  // In every Debian.
  const there = ['util-linux', 'kmod', 'coreutils'];
  const missing = needs
    .map((need) => need.package)
    .filter((name) => !installed.includes(name) && !depends.includes(name) && !there.includes(name));
  expect([...new Set(missing)]).toEqual([]);
});

test('each package is the one that dpkg knows as owner', () => {
  const folders = (process.env['PATH'] ?? '').split(delimiter);
  const wrong = taskNeeds
    .flatMap(({ needs }) => needs)
    .flatMap((need) => {
      const places =
        need.file === undefined
          ? (need.places ?? folders.map((at) => join(at, need.program ?? '')))
          : [need.file];
      const path = places.find((place) => existsSync(place));
      if (path === undefined) return [];
      // Debian keeps some names of /bin that are in /usr/bin today, and others that are links of update-alternatives.
      const names = [
        path,
        path.replace(/^\/usr/, ''),
        realpathSync(path),
        realpathSync(path).replace(/^\/usr/, ''),
      ];
      const owners = oracle('sh', ['-c', 'dpkg -S "$@" 2>/dev/null || true', 'sh', ...names]);
      return owners.includes(`${need.package}:`) ? [] : [`${path}: ${need.package}, and dpkg says ${owners}`];
    });
  expect(wrong).toEqual([]);
});
