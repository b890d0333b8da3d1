import { describe, expect, test } from '@jest/globals';
import { SaveoopsError } from '../errors.js';
import { runTool } from './run-tool.js';

const thrown = async (run: Promise<unknown>): Promise<SaveoopsError> => {
  const error: unknown = await run.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (error instanceof SaveoopsError) return error;
  throw new Error(`no SaveoopsError but ${String(error)}`);
};

describe('runTool', () => {
  test('passes input on and gives all of the output', async () => {
    const input = new Uint8Array(3 << 20).map((_, index) => index * 7);
    expect(Buffer.compare(await runTool('cat', [], { input }), input)).toBe(0);
  });

  test.each([0, 1, 65_536, 65_537, (3 << 20) - 1, 3 << 20, 4 << 20])(
    'gives all of the output when %i bytes of it are expected',
    async (outputSize) => {
      const input = new Uint8Array(3 << 20).map((_, index) => index * 7);
      expect(Buffer.compare(await runTool('cat', [], { input, outputSize }), input)).toBe(0);
    },
  );

  test('a tool that ends before it has read its input is judged by its status', async () => {
    const input = new Uint8Array(3 << 20);
    expect(Buffer.from(await runTool('echo', ['done'], { input })).toString()).toBe('done\n');
    const error = await thrown(runTool('sh', ['-c', 'echo no >&2; exit 3'], { input }));
    expect([error.kind, error.found]).toEqual(['tool', 'no']);
  });

  test('a tool that is not there is an error with the package to install', async () => {
    const error = await thrown(runTool('lzop-that-is-not-there', []));
    expect([error.kind, error.hint]).toEqual(['tool', 'apt-get install lzop-that-is-not-there']);
  });

  test('a failing tool is an error with its last words', async () => {
    const error = await thrown(runTool('sh', ['-c', 'echo one; echo two >&2; exit 3']));
    expect([error.kind, error.found]).toEqual(['tool', 'two']);
  });

  test('endless output ends in an error and not in all of the memory', async () => {
    expect((await thrown(runTool('cat', ['/dev/zero']))).kind).toBe('format');
  }, 60_000);
});
