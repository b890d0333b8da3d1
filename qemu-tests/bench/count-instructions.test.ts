/** The counter of `npm run bench`: a loop of known length, from a boot sector, is counted right to the instruction. */
import { execFileSync } from 'node:child_process';
import { truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { withTemporaryFolder } from '../../src/host/files.js';
import { countAt, countInstructions } from './count-instructions.js';

const turns = 100_000;
const sector = `
	.code16
	.globl start
start:	cli
	movl $${turns}, %ecx
turn:	decl %ecx
	jnz turn
end:	hlt
	jmp end
	.org 510
	.word 0xaa55
`;

test('a loop in the boot sector', async () => {
  await withTemporaryFolder(async (folder) => {
    const [source, image] = [join(folder, 'loop.S'), join(folder, 'disk.img')];
    await writeFile(source, sector);
    const linking = ['-Ttext=0x7c00', '-e', 'start', '--build-id=none', '--oformat=binary'];
    execFileSync('gcc', [
      ...['-m32', '-nostdlib', '-static', '-no-pie'],
      ...[...linking.map((each) => `-Wl,${each}`), '-o', image, source],
    ]);
    await truncate(image, 1 << 20);
    // The encodings: cli 1 byte, movl 6, decl 2 (with its prefix), jnz 2.
    const counted = await countInstructions({ boot: { kind: 'disk', image }, memory: 64 }, folder, {
      places: [
        { name: 'start', at: 0x7c00n },
        { name: 'start-code', code: Buffer.from([0xfa, 0x66, 0xb9]) },
        { name: 'turn', at: 0x7c07n },
        { name: 'end', at: 0x7c0bn },
      ],
      stop: ['end'],
    });
    expect(countAt(counted, 'end') - countAt(counted, 'start')).toBe(2n + 2n * BigInt(turns));
    expect(countAt(counted, 'start-code')).toBe(countAt(counted, 'start'));
    expect(counted.visits.filter(({ place }) => place === 'turn')).toHaveLength(turns);
    // The firmware has read the sector and little else.
    expect(counted.bytesRead).toBeGreaterThanOrEqual(512);
    expect(counted.bytesRead).toBeLessThan(1 << 20);
  });
});
