/**
 * The last screen can be photographed: QEMU's screenshot of it is read by zbarimg, and what the code holds is the end of the log
 * that the serial port carried. The words above it are those of the log, too.
 */
import { describe, expect, test } from '@jest/globals';
import { runReport } from '../src/commands/report.js';
import { readManifest } from '../src/image/payload-folder.js';
import { readPhoto, type PhotographedLog } from '../src/panic-code/read-photo.js';
import { recoveredLog } from '../src/machine/recovered-log.js';
import { makeReport, type Report } from '../src/report/report.js';
import { bootPayload, captured, check, serialConsole } from './harness/boot.js';
import { payload } from './harness/payloads.js';
import { screenOf, sizeOf, textModeRows } from './harness/screen.js';
import { screenAtReset } from './harness/screen-at-reset.js';

const minutes = 60_000;
const vfsPanic = 'Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)';

interface LastScreen {
  readonly size: string;
  readonly photo: PhotographedLog;
  readonly report: Report;
  /** In text mode. */
  readonly rows: readonly string[];
}

describe('the last screen', () => {
  test.each([
    ['a VGA in text mode', '', '640x400'],
    ['a VESA frame buffer', 'vga=0x317', '1024x768'],
  ])(
    'of %s has a QR code with the end of the log',
    async (_, word, wantedSize) => {
      const dir = await payload({ flavour: 'amd64', crashAppend: 'saveoops.hold=0', name: 'screen' });
      const { release } = (await readManifest(dir)).primary;
      const { options, seen } = screenAtReset<LastScreen>(async (qmp, path) => {
        const size = sizeOf(await screenOf(qmp, path));
        let json = '';
        const options = { capture: path, json: true, html: undefined, bundle: undefined, redact: false };
        await runReport(options, { out: (text) => (json += text), progress: () => undefined });
        return {
          size,
          photo: await readPhoto(path),
          report: JSON.parse(json) as Report,
          rows: word === '' ? await textModeRows(qmp, `${path}.memory`) : [],
        };
      });
      const result = await bootPayload(dir, { ...options, extraAppend: `${serialConsole} ${word}` });
      captured(result, vfsPanic);
      check(result, () => {
        const { size, photo, report, rows } = seen();
        const log = (recoveredLog(result.serial)?.text ?? '').trimEnd().split('\n');
        const shown = photo.log.trimEnd().split('\n');
        expect(size).toBe(wantedSize);
        expect(photo.release).toBe(release);
        expect(shown.length).toBeGreaterThan(20);
        expect(shown).toEqual(log.slice(-shown.length));
        const whole = makeReport({ where: '', log: log.join('\n'), cut: false, capture: undefined }).report;
        expect(whole.cause?.trace.length).toBeGreaterThan(5);
        expect(report.cause?.trace).toEqual(whole.cause?.trace);
        if (word !== '') return;
        expect(rows[0]).toMatch(new RegExp(`^Linux ${release} died \\d+ s after its start\\.$`));
        expect(rows[1]).toBe(vfsPanic);
        expect(rows).toContain('Not saved to a disk: none is named (saveoops.save=)');
        expect(rows).toContain('The machine restarts in 0 seconds.');
        expect(rows).toContainEqual(expect.stringMatching(/ panic\+0x/));
      });
    },
    8 * minutes,
  );
});
