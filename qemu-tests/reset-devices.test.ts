/**
 * `saveoops build --reset-vga --reset-pic`: the primary's display driver has left text mode, its kernel has moved the
 * vectors of the interrupt controllers; the crash kernel finds both as the BIOS left them.
 *
 * What characters look like is learnt from the primary: its own console driver draws them in graphics mode.
 */
import { mkdir } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { SaveoopsError } from '../src/errors.js';
import { readManifest } from '../src/image/payload-folder.js';
import type { GdbRemote } from '../src/machine/gdb-remote.js';
import type { Machine } from '../src/machine/machine.js';
import { wrongEnds } from '../src/machine/outcome.js';
import type { QmpClient } from '../src/machine/qmp.js';
import type { ScenarioResult } from '../src/machine/scenario.js';
import { serialLines } from '../src/machine/serial-text.js';
import { loadStubObjects, requireSymbol } from '../src/stubs/stub-objects.js';
import { thorough } from '../src/testkit/lanes.js';
import { bootPayload, captured, check, guestBlock, serialConsole } from './harness/boot.js';
import { cache } from './harness/folders.js';
import { blockBegins, guestInitramfs, printBlock } from './harness/guest.js';
import { modulesOf } from './harness/kernel-modules.js';
import { payload } from './harness/payloads.js';
import { pressKeys } from './harness/press-keys.js';
import {
  coloursOf,
  learnGlyphs,
  readTextScreen,
  screenOf,
  sizeOf,
  unreadable,
  type Glyphs,
  type Screen,
} from './harness/screen.js';

const minutes = 60_000;
/** Milliseconds until something that must happen has happened, on a busy host. */
const patience = 150_000;
const panicMessage = 'Kernel panic - not syncing: sysrq triggered crash';
const drawn = 'guest: all characters are drawn';
const lastWords = 'reboot: System halted';

/** All printable characters of ASCII, in rows that are told apart. */
const rows = [0x20, 0x40, 0x60].map((first) =>
  String.fromCharCode(...Array.from({ length: first === 0x60 ? 31 : 32 }, (_, i) => first + i)),
);

/** Draws the rows on the graphics screen, waits for the return key, and panics. */
async function drawingGuest(): Promise<string> {
  const modules = modulesOf('amd64', 'bochs');
  return await guestInitramfs(
    `
case $(cat /proc/cmdline) in
  *guest.bochs*) ${modules.map(({ path }) => `insmod /${path}`).join(' && ')} ;;
esac
${printBlock('display', 'cat /sys/class/graphics/fb0/name /sys/class/graphics/fb0/modes')}
${printBlock('iomem', 'cat /proc/iomem')}
printf '\\033[2J\\033[H\\033[?25l' >/dev/tty1
cat >/dev/tty1 <<'END'
${rows.join('\n')}
END
# A graphics mode of 256 colours would use the palette for its own: white is no longer white.
port() { printf "\\\\$(printf %03o $2)" | dd of=/dev/port bs=1 seek=$(($1)) conv=notrunc 2>/dev/null; }
port 0x3c8 63
for component in red green blue; do port 0x3c9 0; done
echo "${drawn}"
read key </dev/tty1
echo c >/proc/sysrq-trigger
`,
    modules,
  );
}

interface Sights {
  readonly glyphs: Glyphs;
  /** Before the panic. */
  readonly graphics: Screen;
  /** At the crash stub's last instruction, the jump into the crash kernel. */
  readonly atJump: Screen;
  /** QEMU's `info pic` there. */
  readonly pic: string;
  /** When the crash kernel has halted; undefined when the run ended at the jump. */
  readonly end: Screen | undefined;
}

interface Looks {
  readonly result: ScenarioResult;
  readonly sights: Sights;
}

/** Boots, panics, and looks at the machine on its way. */
async function look(dir: string, words: string, goOn: boolean): Promise<Looks> {
  const folder = join(cache, 'runs', `screens-${basename(dir)}`);
  await mkdir(folder, { recursive: true });
  const { memory } = await readManifest(dir);
  const { crash } = await loadStubObjects();
  const jump = requireSymbol(crash.symbols, 'enter_crash_kernel_jump', 'crash.elf').value;
  let sights: Sights | undefined;
  let attach: (gdb: GdbRemote) => void = () => undefined;
  const attached = new Promise<GdbRemote>((resolve) => (attach = resolve));
  const result = await bootPayload(dir, {
    extraAppend: `${serialConsole} ${words}`,
    endAt: wrongEnds.map(({ pattern }) => pattern),
    timeout: 400,
    debug: async (gdb) => {
      attach(gdb);
      return await Promise.resolve();
    },
    meanwhile: async (machine, connect) => {
      const gdb = await attached;
      const qmp = await connect();
      gdb.continue();
      await arrival(machine, drawn);
      const count = rows.join('').length;
      const graphics = await shown(
        qmp,
        join(folder, 'graphics.ppm'),
        (screen) => learnGlyphs(screen, rows).size === count,
      );
      const glyphs = learnGlyphs(graphics, rows);
      gdb.interrupt();
      await gdb.waitForStop(patience);
      const region = regionIn(machine.lines, memory.size);
      await gdb.setBreakpoint(region + jump);
      gdb.continue();
      await running(qmp); // QEMU drops the keys of a machine that stands still.
      await pressKeys(qmp, 'ret');
      const stop = await gdb.waitForStop(patience);
      if (stop.thread !== undefined) await gdb.selectThread(stop.thread);
      const { rip } = await gdb.registers();
      if (rip !== region + jump)
        throw lost(`a stop at 0x${rip.toString(16)}`, 'the jump into the crash kernel');
      const pic = String(await qmp.execute('human-monitor-command', { 'command-line': 'info pic' }));
      const atJump = await screenOf(qmp, join(folder, 'at-jump.ppm'));
      await gdb.detach();
      let end: Screen | undefined;
      if (goOn) {
        await arrival(machine, lastWords);
        end = await shown(qmp, join(folder, 'end.ppm'), (screen) =>
          readTextScreen(screen, glyphs).some((row) => row.endsWith(lastWords)),
        );
      }
      sights = { glyphs, graphics, atJump, pic, end };
      await qmp.quit();
    },
  });
  return check(result, () => {
    if (sights === undefined) throw new Error('the machine ended before all was seen');
    return { result, sights };
  });
}

async function arrival(machine: Machine, text: string): Promise<void> {
  const pattern = new RegExp(text);
  const awaited = await machine.waitForLine([pattern], { timeoutMs: patience });
  if (awaited.kind !== 'line') throw lost(awaited.kind, `the line "${text}"`);
}

/** When the machine runs: the debugger's connection and the monitor's are served in no order. */
async function running(qmp: QmpClient): Promise<void> {
  for (;;) {
    const status = (await qmp.execute('query-status')) as { readonly running: boolean };
    if (status.running) return;
  }
}

function lost(found: string, wanted: string): SaveoopsError {
  return new SaveoopsError('tool', 'the machine did not come along', { where: 'this test', found, wanted });
}

/**
 * The first screenshot that shows what is wanted, or the last one: serial port and screen do not get the same words at
 * the same time, and a display driver copies to the screen when it has time.
 */
async function shown(qmp: QmpClient, path: string, wanted: (screen: Screen) => boolean): Promise<Screen> {
  const deadline = Date.now() + patience / 10;
  for (;;) {
    const screen = await screenOf(qmp, path);
    if (wanted(screen) || Date.now() > deadline) return screen;
  }
}

/** Start of the crash region, from the guest's /proc/iomem. */
function regionIn(lines: readonly string[], size: number): bigint {
  for (const line of lines.slice(lines.indexOf(blockBegins('iomem')))) {
    const [, first = '0', last = '0'] = /^([0-9a-f]+)-([0-9a-f]+) : Reserved$/i.exec(line) ?? [];
    const start = BigInt(`0x${first}`);
    if (BigInt(`0x${last}`) - start + 1n === BigInt(size)) return start;
  }
  throw lost('no such range', `a reserved range of ${size} bytes in /proc/iomem`);
}

/** Size of the mode in /sys/class/graphics/fb0/modes: "U:1024x768p-0". */
function modeSize(mode: string | undefined): string {
  return /:(\d+x\d+)/.exec(mode ?? '')?.[1] ?? 'none';
}

/** Lines as a terminal of 80 columns shows them. */
function wrapped(lines: readonly string[]): string[] {
  return lines.flatMap((line) => line.match(/.{1,80}/g) ?? ['']).map((row) => row.trimEnd());
}

/** What the screen shows is the end of what the serial port carried. */
function expectEndOfLog({ result, sights }: Looks): void {
  const shown = sights.end === undefined ? [] : readTextScreen(sights.end, sights.glyphs);
  const text = shown.slice(0, shown.findLastIndex((row) => row !== '') + 1);
  expect(text.join('\n')).not.toContain(unreadable);
  expect(text.length).toBeGreaterThan(20);
  expect(text).toEqual(wrapped(serialLines(result.serial)).slice(-text.length));
}

const crashAppend =
  'saveoops.after=halt saveoops.hold=0 saveoops.save=boot saveoops.qr=no vt.global_cursor_default=0';
const drawingPayload = async (reset: boolean): Promise<string> =>
  await payload({
    flavour: 'amd64',
    initrds: [await drawingGuest()],
    crashAppend,
    resetVga: reset,
    resetPic: reset,
    name: reset ? 'reset' : 'reset-nothing',
  });
const vectors = (pic: string): readonly string[] => pic.match(/irq_base=[0-9a-f]+/g) ?? [];

describe('a primary whose driver has switched to graphics', () => {
  test(
    'with --reset-vga and --reset-pic the log is legible on the screen',
    async () => {
      const dir = await drawingPayload(true);
      const looks = await look(dir, 'guest.bochs', true);
      const { result, sights } = looks;
      captured(result, panicMessage);
      const [name, mode] = guestBlock(result, 'display');
      check(result, () => {
        expect(name).toBe('bochs-drmdrmfb');
        expect(sizeOf(sights.graphics)).toBe(modeSize(mode));
        expect(sizeOf(sights.atJump)).toBe('720x400');
        // The stub's own words, before the crash kernel's console driver has touched a register.
        const [first, ...others] = readTextScreen(sights.atJump, sights.glyphs);
        expect(['', unreadable]).toContain(first); // the cursor, which blinks
        expect(others).toEqual([
          ...Array.from({ length: 23 }, () => ''),
          'saveoops: kernel panic: starting the crash kernel',
        ]);
        expect(coloursOf(sights.atJump, 24)).toEqual(['000000', 'ffffff']);
        expect(vectors(sights.pic)).toEqual(['irq_base=70', 'irq_base=08']);
        expectEndOfLog(looks);
        // One screen has what a person needs who comes to the machine.
        const rows = readTextScreen(sights.end ?? sights.atJump, sights.glyphs);
        for (const part of [
          /^Call Trace:$/,
          /^ panic\+0x/,
          /^ sysrq_handle_crash\+0x/,
          new RegExp(`^saveoops: ${panicMessage}$`),
          /^saveoops: saved on \/dev\/sda1 \(vfat, boot, UUID [0-9A-F]{4}-[0-9A-F]{4}\)$/,
          /^saveoops: in \/saveoops\/\S+: dmesg\.txt$/,
          /^saveoops: halt in 0 seconds$/,
        ]) {
          expect(rows).toContainEqual(expect.stringMatching(part));
        }
      });
    },
    8 * minutes,
  );

  thorough(
    'without them the interrupt controllers stay as they were, and the screen where the text is not hidden',
    async () => {
      const dir = await drawingPayload(false);
      const { result, sights } = await look(dir, 'vga=791', false);
      const [name, mode] = guestBlock(result, 'display');
      check(result, () => {
        expect(name).toBe('VESA VGA');
        expect(sizeOf(sights.atJump)).toBe(modeSize(mode));
        expect(vectors(sights.pic)).toEqual(['irq_base=38', 'irq_base=30']);
      });
    },
    8 * minutes,
  );
});

thorough(
  'a primary that the boot loader started in a VESA graphics mode: the log is legible on the screen',
  async () => {
    const dir = await drawingPayload(true);
    const looks = await look(dir, 'vga=791', true);
    const { result, sights } = looks;
    captured(result, panicMessage);
    const [name, mode] = guestBlock(result, 'display');
    check(result, () => {
      expect([name, modeSize(mode)]).toEqual(['VESA VGA', '1024x768']);
      expect(sizeOf(sights.graphics)).toBe('1024x768');
      expectEndOfLog(looks);
    });
  },
  8 * minutes,
);
