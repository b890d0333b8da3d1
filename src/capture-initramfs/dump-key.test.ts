import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { renderError, SaveoopsError } from '../errors.js';
import { readDumpKey } from './dump-key.js';

let folder: string;
const run = (program: string, ...args: readonly string[]): string =>
  execFileSync(program, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'saveoops-key-'));
  run('age-keygen', '-o', join(folder, 'age'));
  writeFileSync(join(folder, 'age.pub'), `# a comment\n${run('age-keygen', '-y', join(folder, 'age'))}`);
  for (const type of ['ed25519', 'rsa']) {
    run('ssh-keygen', '-q', '-t', type, '-N', '', '-C', 'me@here', '-f', join(folder, type));
    run('ssh-keygen', '-q', '-m', 'PEM', '-t', 'rsa', '-N', 'secret', '-f', join(folder, `${type}-pem`));
  }
  writeFileSync(join(folder, 'both'), ['age.pub', 'rsa.pub'].map(read).join(''));
  writeFileSync(join(folder, 'empty'), '');
  writeFileSync(join(folder, 'text'), 'my secret\n');
  writeFileSync(
    join(folder, 'typing'),
    read('age.pub').replace(/.\n$/, (end) => (end[0] === 'q' ? 'p\n' : 'q\n')),
  );
});
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

const read = (name: string): string => readFileSync(join(folder, name), 'utf8');

describe('readDumpKey', () => {
  test.each(['age.pub', 'ed25519.pub', 'rsa.pub', 'both'])('takes %s as it is', async (name) => {
    expect(Buffer.from(await readDumpKey(join(folder, name))).toString()).toBe(read(name));
  });

  test.each([
    ['age', 'wrong-file'],
    ['ed25519', 'wrong-file'],
    ['rsa', 'wrong-file'],
    ['rsa-pem', 'wrong-file'],
    ['empty', 'format'],
    ['text', 'format'],
    ['typing', 'format'],
    ['missing', 'file'],
  ])('refuses %s, and says nothing of what is in it', async (name, kind) => {
    const error: unknown = await readDumpKey(join(folder, name)).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(SaveoopsError);
    expect(error).toMatchObject({ kind });
    if (name === 'missing') return;
    const said = renderError(error as SaveoopsError);
    const words = read(name)
      .split(/\s+/)
      .filter((word) => word.length > 8);
    for (const word of words) expect(said).not.toContain(word);
  });
});
