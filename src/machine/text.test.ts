import { describe, expect, test } from '@jest/globals';
import { logBegins, logEnds } from '../capture-initramfs/markers.js';
import { encodePacket, PacketReader } from './gdb-packet.js';
import { nearNames } from './kernel-functions.js';
import { judgeCapture, type RunEnd } from './outcome.js';
import { shellWord } from '../host/shell-word.js';
import { qemuArguments, reproduceLine } from './qemu-command.js';
import { markedBlocks, recoveredLog } from './recovered-log.js';
import { captureAfterReset, lastLineBeforeReset, serialParts } from './serial-parts.js';
import { LineSplitter, serialLines } from './serial-text.js';

describe('serial text', () => {
  test('any line end ends a line, terminal control is gone', () => {
    expect(serialLines('a\r\nb\r\r\nc 10%\rd 20%\r\n\x1b[2J\x1b[1;1He\x1b[0m\x07\n\nf')).toEqual([
      ...['a', 'b', 'c 10%', 'd 20%', 'e', '', 'f'],
    ]);
  });

  test('a stream cut anywhere gives the same lines', () => {
    const text = 'a\r\nbb\r\n\x1b[31mred\x1b[0m\rnext\n\nboot: ';
    for (let cut = 0; cut <= text.length; cut++) {
      const splitter = new LineSplitter();
      const lines = [...splitter.push(text.slice(0, cut)), ...splitter.push(text.slice(cut))];
      expect([...lines, splitter.partial]).toEqual(serialLines(text));
    }
  });
});

describe('the recovered log', () => {
  const log = '[    0.000000] Linux version\r\n[    1.000000] Kernel panic - not syncing: X\r\n';

  test('is what lies between the marker lines', () => {
    expect(recoveredLog(`[ 0.1] early\r\n${logBegins}\r\n${log}${logEnds}\r\n[ 9.9] late\r\n`)).toEqual({
      text: '[    0.000000] Linux version\n[    1.000000] Kernel panic - not syncing: X\n',
      complete: true,
    });
  });

  test('is found behind an unfinished line and escapes, and a last line without an end stays', () => {
    const serial = `unfinished \x1b[m${logBegins}\r\n${log}tail${logEnds}`;
    expect(recoveredLog(serial)?.text.split('\n').slice(1)).toEqual([
      '[    1.000000] Kernel panic - not syncing: X',
      'tail',
      '',
    ]);
  });

  test('is the complete one when it was printed more than once', () => {
    const serial = `${logBegins}\n1\n2\n3\n${logBegins}\n4\n${logEnds}\n${logBegins}\n5\n6\n`;
    expect(markedBlocks(serial, logBegins, logEnds).map((block) => block.complete)).toEqual([
      false,
      true,
      false,
    ]);
    expect(recoveredLog(serial)).toEqual({ text: '4\n', complete: true });
  });

  test('is undefined without a begin marker, and incomplete without an end', () => {
    expect(recoveredLog(log)).toBeUndefined();
    expect(recoveredLog(`${logBegins}\n${log}`)?.complete).toBe(false);
  });
});

describe('the outcome', () => {
  const reset: RunEnd = { kind: 'exit', code: 0, signal: undefined };
  const judge = (serial: string, end: RunEnd): string => {
    const { outcome, reason } = judgeCapture({ serial, end, reproduce: 'qemu', seconds: 1 }, 'panic X');
    return `${outcome}: ${reason}`;
  };

  test.each<[string, RunEnd, string]>([
    [`${logBegins}\npanic X\n${logEnds}\n`, reset, 'passed: the recovered log contains "panic X"'],
    // The message as the dying kernel prints it proves nothing.
    [`panic X\n${logBegins}\ny\n${logEnds}\n`, reset, 'failed: the recovered log does not contain "panic X"'],
    [`panic X\n`, reset, 'failed: the machine reset after the panic without a capture'],
    [`hello\n`, reset, 'failed: the machine reset before the panic'],
    [`${logBegins}\npanic X\n`, reset, 'failed: the machine reset while it printed the recovered log'],
    [
      'x\n',
      { kind: 'line', line: 'saveoops: E12 no room' },
      'failed: Saveoops reported a failure: saveoops: E12 no room',
    ],
    ['x\n', { kind: 'timeout', seconds: 5 }, 'lost: no end within 5 seconds'],
    ['x\n', { kind: 'exit', code: undefined, signal: 'SIGKILL' }, 'lost: QEMU ended with SIGKILL'],
    ['x\n', { kind: 'trouble', message: 'no debugger' }, 'lost: no debugger'],
  ])('%j, %j', (serial, end, expected) => {
    expect(judge(serial, end)).toBe(expected);
  });
});

describe('a death that is not the one asked for', () => {
  const reset: RunEnd = { kind: 'exit', code: 0, signal: undefined };
  const judge = (serial: string): string => {
    const { outcome, reason } = judgeCapture(
      { serial, end: reset, reproduce: 'qemu', seconds: 1 },
      'panic X',
    );
    return `${outcome}: ${reason}`;
  };
  const starts = 'saveoops: kernel panic: starting the crash kernel\r\n';
  const captured = (log: string): string => `[ 0.1] primary\n${starts}${logBegins}\n${log}\n${logEnds}\n`;
  const timer = "[    0.9] Kernel panic - not syncing: IO-APIC + timer doesn't work!  Boot with apic=debug";
  // As 6.19 under QEMU 7.2 on a busy host has it, and as it is where a kernel runs into an int3 that is there.
  const trap = (byte: string, oops = 'Oops: int3'): string =>
    [
      `[    4.307386] ${oops}: 0000 [#1] SMP NOPTI`,
      '[    4.403550] RIP: 0010:sched_clock_cpu+0x9/0x1f0',
      `[    4.403887] Code: f3 0f 1e fa 41 54 55 53 ${byte} <90> e8 11 3f ef ff 48 03 05`,
      '[    4.434235] Kernel panic - not syncing: Fatal exception in interrupt',
    ].join('\n');

  test.each<[string, string]>([
    [
      captured(trap('66')),
      'lost: the kernel died of the emulator, and that was captured: QEMU ran an int3 where the memory had 0x66: code that the kernel had patched',
    ],
    [
      captured(trap('0f', 'int3')),
      'lost: the kernel died of the emulator, and that was captured: QEMU ran an int3 where the memory had 0x0f: code that the kernel had patched',
    ],
    [
      captured(trap('cc')),
      'failed: the recovered log does not contain "panic X" but "Fatal exception in interrupt"',
    ],
    [
      captured(timer),
      'lost: the kernel died of the emulator, and that was captured: the host let QEMU wait so long that the kernel missed its timer',
    ],
    [
      `panic X\n${starts}${timer}\n`,
      'lost: the crash kernel died of the emulator: the host let QEMU wait so long that the kernel missed its timer',
    ],
    [
      `panic X\n${starts}[ 1.2] Kernel panic - not syncing: Y\r\n`,
      'failed: the machine reset after the panic without a capture; the crash kernel: "Y"',
    ],
    // Not captured: whatever it was, that is Saveoops's.
    [`${timer}\n`, 'failed: the machine reset before the panic'],
    // Whatever else is in the log.
    [captured(`${timer}\npanic X`), 'passed: the recovered log contains "panic X"'],
  ])('%j', (serial, expected) => {
    expect(judge(serial)).toBe(expected);
  });

  test('what each kernel said is told apart', () => {
    const serial = `SeaBIOS\r\n[ 0.1] primary\r\nunfinished${starts}[ 0.2] crash\r\nx${logBegins}\r\n[ 0.1] primary\r\n${logEnds}\r\nend`;
    expect(serialParts(serial)).toEqual({
      primary: ['SeaBIOS', '[ 0.1] primary', `unfinished${starts.trimEnd()}`],
      crash: ['[ 0.2] crash', `x${logBegins}`, logEnds, 'end'],
    });
    expect(serialParts('a\nb')).toEqual({ primary: ['a', 'b'], crash: [] });
  });

  test.each([
    [
      'the last line of the kernel that was reset',
      `[    0.1] one\r\n[    0.2] two\r\nSeaBIOS\r\n${captureAfterReset}\r\n[    0.0] crash\r\n`,
      '[    0.2] two',
    ],
    ['one that had printed nothing', `SeaBIOS\r\n${captureAfterReset}\r\n[    0.0] crash\r\n`, ''],
    ['no capture', '[    0.1] one\r\nSeaBIOS\r\n[    0.0] again\r\n', undefined],
  ])('the end of a kernel that was reset: %s', (_, serial, last) => {
    expect(lastLineBeforeReset(serial)).toBe(last);
  });
});

describe('the QEMU command', () => {
  test('has what each boot source needs', () => {
    const disk = qemuArguments({ boot: { kind: 'disk', image: '/a,b.img' }, cpus: 2, memory: 256 });
    expect(disk).toEqual(
      expect.arrayContaining(['-smp', '2', '-m', '256', '-no-reboot', '-serial', 'stdio']),
    );
    expect(disk.join(' ')).toContain('file=/a,,b.img');
    const kernel = qemuArguments(
      { boot: { kind: 'kernel', kernel: 'k', initrd: 'i', append: 'a b' }, serial: false },
      { gdb: '/s/gdb' },
    );
    expect(kernel.slice(-11)).toEqual([
      ...['-serial', 'null', '-kernel', 'k', '-initrd', 'i', '-append', 'a b'].slice(2),
      ...['-chardev', 'socket,id=gdb,path=/s/gdb', '-gdb', 'chardev:gdb', '-S'],
    ]);
  });

  test('takes another board, another place for the boot disk, and no serial port', () => {
    const device = ['-device', 'virtio-blk-pci,drive=disk'];
    const line = qemuArguments({
      boot: { kind: 'disk', image: '/a', device },
      board: 'pc',
      serial: 'absent',
    }).join(' ');
    expect(line).toContain('-machine pc ');
    expect(line).toContain('-serial none ');
    expect(line).toMatch(/ -device virtio-blk-pci,drive=disk$/);
    expect(line).not.toMatch(/q35|ide-hd/);
  });

  test('is rendered as words of a shell, without sockets', () => {
    const line = reproduceLine({ boot: { kind: 'kernel', kernel: '/a b/k', append: "x='1'" } });
    expect(line).toMatch(/^qemu-system-x86_64 -nodefaults .* -kernel '\/a b\/k' -append 'x='\\''1'\\'''$/);
    expect(shellWord('')).toBe("''");
  });
});

describe('GDB packets', () => {
  test('are framed as the manual says', () => {
    expect(encodePacket('OK').toString()).toBe('$OK#9a');
    expect(encodePacket('a#b').toString('latin1')).toBe('$a}\x03b#43');
  });

  test('come out of a stream cut anywhere', () => {
    const stream = Buffer.concat([
      Buffer.from('+garbage-'),
      encodePacket('T05thread:01;'),
      encodePacket('}$#*'),
      Buffer.from('$0* #7a$bad#00'),
    ]);
    const expected = [
      ...[{ kind: 'ack' }, { kind: 'nak' }, { kind: 'packet', data: 'T05thread:01;' }],
      ...[{ kind: 'packet', data: '}$#*' }, { kind: 'packet', data: '0000' }, { kind: 'damaged' }],
    ];
    for (let cut = 0; cut <= stream.length; cut++) {
      const reader = new PacketReader();
      expect([...reader.push(stream.subarray(0, cut)), ...reader.push(stream.subarray(cut))]).toEqual(
        expected,
      );
    }
  });

  test('that never end are refused', () => {
    const reader = new PacketReader();
    expect(() => reader.push(Buffer.from('$' + 'x'.repeat(2 ** 21)))).toThrow(RangeError);
  });
});

test('near names: few edits, or containing the wanted name', () => {
  const names = ['start_kernel', 'x86_64_start_kernel', 'setup_arch', 'panic'];
  expect(nearNames(names, 'start_kernl')).toEqual(['start_kernel']);
  expect(nearNames(names, 'start_ker')).toEqual(['start_kernel', 'x86_64_start_kernel']);
  expect(nearNames(names, 'zzz')).toEqual([]);
});
