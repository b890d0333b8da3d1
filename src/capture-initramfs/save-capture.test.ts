/**
 * The parts of save-capture that need no machine: run by the busybox that the initramfs carries, on real file systems
 * and folders. qemu-tests/save.test.ts runs the whole.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { scriptFolder } from './scripts.js';

let folder: string;
const system = { ...process.env, PATH: `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin`, LC_ALL: 'C' };

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'saveoops-save-'));
  mkdirSync(join(folder, 'bin'));
  execFileSync('busybox', ['--install', '-s', join(folder, 'bin')]);
});
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

/** The line that reads a shell library, the very file that ships. */
const library = (name: string): string => `. ${scriptFolder}lib/saveoops/${name}.sh\n`;

/** What busybox sh prints for `script`, with busybox's tools only. */
function sh(script: string): string {
  const state = join(folder, 'state');
  mkdirSync(state, { recursive: true });
  return execFileSync(join(folder, 'bin', 'sh'), ['-c', `state=${state}\n${library('constants')}${script}`], {
    encoding: 'utf8',
    env: { PATH: join(folder, 'bin'), LC_ALL: 'C' },
    cwd: folder,
  });
}

function host(program: string, ...args: readonly string[]): string {
  return execFileSync(program, args, { encoding: 'utf8', env: system, stdio: ['ignore', 'pipe', 'pipe'] });
}

/** An empty file of `size` MiB. */
function blank(name: string, size: number): string {
  const path = join(folder, name);
  writeFileSync(path, '');
  truncateSync(path, size << 20);
  return path;
}

/** Overwrites a byte; `change` gives it of what is there. */
function poke(path: string, offset: number, change: (byte: number) => number): void {
  const bytes = readFileSync(path);
  bytes.writeUInt8(change(bytes.readUInt8(offset)), offset);
  writeFileSync(path, bytes);
}

describe('diagnose', () => {
  const diagnosed = (log: string): string => {
    writeFileSync(join(folder, 'log'), log);
    return sh(`${library('diagnose')}\nlog=log\ndiagnose\necho "$kind, $message"`).trim();
  };
  const earlier =
    '[    1.0] Kernel panic - not syncing: pstore: an old one\n[    1.0] ---[ end Kernel panic - not syncing: an old one ]---\n';

  test.each([
    ['[    3.258552] Kernel panic - not syncing: No root\n', 'panic, Kernel panic - not syncing: No root'],
    // As 5.10 with PREEMPT_RT.
    [
      '[    3.258552] Kernel panic - not syncing:\n[    3.258584] No root\n',
      'panic, Kernel panic - not syncing: No root',
    ],
    ['[    3.258552] Kernel panic - not syncing:\n', 'panic, Kernel panic - not syncing:'],
    ['[    0.000000] RIP: 0010:early+0x10/0x20\n', 'exception, RIP: 0010:early+0x10/0x20'],
    ['[    0.000000] Booting\n', 'unknown,'],
  ])('of %j', (log, said) => {
    expect(diagnosed(`[    0.000000] Linux version 5.10\n${log}[    4.000000] CPU: 0 PID: 1\n`)).toBe(said);
    if (said.startsWith('panic')) expect(diagnosed(earlier + log)).toBe(said);
  });
});

describe('diagnose after a reset', () => {
  const diagnosed = (log: string): string => {
    writeFileSync(join(folder, 'log'), log);
    return sh(
      `${library('diagnose')}\nlog=log\ndiagnose\ndiagnose_reset\necho "$kind, $uptime, $message"`,
    ).trim();
  };
  const booted = '[    0.000000] Linux version 6.1\n[    2.500000] RIP: 0010:warned+0x1/0x2\n';

  test.each([
    // Its last words, whatever they are: an earlier warning is no death.
    ['[   41.123456] pci 0000:00:01.0: enabling\n', 'reset, 41.123456, pci 0000:00:01.0: enabling'],
    ['<6>[   41.123456][    T1] pci: enabling\n\n', 'reset, 41.123456, pci: enabling'],
    // One that was not captured at the time.
    [
      '[    3.258552] Kernel panic - not syncing: No root\n[    4.0] Rebooting in 5 seconds..\n',
      'panic, 4.0, Kernel panic - not syncing: No root',
    ],
    ['[    9.000000] reboot: Restarting system\n', 'orderly, 9.000000, reboot: Restarting system'],
    ['[    9.000000] reboot: Power down\n', 'orderly, 9.000000, reboot: Power down'],
    ['[    9.000000] reboot: System halted\n', 'orderly, 9.000000, reboot: System halted'],
    [
      '[    9.000000] kexec_core: Starting new kernel\n',
      'orderly, 9.000000, kexec_core: Starting new kernel',
    ],
    [
      '[    9.000000] ACPI: PM: Preparing to enter system sleep state S4\n[    9.1] Disabling non-boot CPUs ...\n',
      'orderly, 9.1, ACPI: PM: Preparing to enter system sleep state S4',
    ],
    // S3 keeps memory: what hangs on waking up is a death.
    [
      '[    9.000000] ACPI: PM: Preparing to enter system sleep state S3\n',
      'reset, 9.000000, ACPI: PM: Preparing to enter system sleep state S3',
    ],
    // What another says of it.
    ['[    9.000000] systemd: reboot: Power down\n', 'reset, 9.000000, systemd: reboot: Power down'],
  ])('of %j', (log, said) => {
    expect(diagnosed(booted + log)).toBe(said);
  });
});

describe('extract', () => {
  /** With programs of these texts as readers: verdict, log, what failed, what the readers said. */
  const extracted = (vmcoreDmesg: string, readLog: string, seconds = 60): readonly string[] => {
    rmSync(join(folder, 'state'), { recursive: true, force: true });
    for (const [name, text] of [
      ['vmcore-dmesg', vmcoreDmesg],
      ['read-log', readLog],
    ] as const) {
      writeFileSync(join(folder, 'bin', name), `#!${folder}/bin/sh\n${text}\n`, { mode: 0o755 });
    }
    return sh(`${library('extract-log')}EXTRACT_SECONDS=${seconds} log=$state/log errors=$state/errors
memory_kib() { echo 65536; }
: >$log
: >$errors
touch $state/log-failure
extract
echo "$verdict"
for file in $log $state/log-failure $errors; do tr '\\n' ';' <$file; echo; done`).split('\n');
  };

  test('a log that vmcore-dmesg reads is its', () => {
    expect(extracted('echo log', 'echo other')).toEqual([
      ...['saveoops: vmcore-dmesg exit status 0, 4 bytes of log', 'log;', '', '', ''],
    ]);
  });

  test.each([
    ['fails', 'echo no memory >&2; exit 65', 'vmcore-dmesg: no memory;'],
    ['is killed', 'kill -9 $$', 'vmcore-dmesg: Killed;'],
    ['says nothing', ':', ''],
  ])('when it %s, read-log reads it, and nothing has failed', (_, reader, said) => {
    const [verdict, log, , errors] = extracted(reader, 'echo log');
    expect([verdict, log, errors]).toEqual([
      'saveoops: read-log exit status 0, 4 bytes of log',
      'log;',
      said,
    ]);
  });

  test.each([
    ['kill -9 $$', 'exit 1', 60, /^vmcore-dmesg was killed after [0-9] seconds;read-log exit status 1;$/],
    ['while :; do :; done', 'exit 1', 1, /^vmcore-dmesg stopped after 1 seconds;read-log exit status 1;$/],
    [':', ':', 60, /^vmcore-dmesg exit status 0;read-log exit status 0;$/],
  ])('%j and %j: what failed is kept, a kill is no time limit', (first, second, seconds, failure) => {
    const [, log, failed] = extracted(first, second, seconds);
    expect([log, failed]).toEqual(['', expect.stringMatching(failure)]);
  });

  test('the longer of two parts stays', () => {
    const [verdict, log] = extracted('echo the longer part; kill -9 $$', 'echo part; exit 1');
    expect([verdict, log]).toEqual([expect.stringContaining('16 bytes of log'), 'the longer part;']);
  });
});

test('a machine without a disk is told in one line', () => {
  const said = sh(`${library('find-file-system')}${library('unsafe-file-systems')}
exec 2>&1
rm -rf $state/disks
mkdir $state/disks
find_hibernated 77 || echo hibernated
find_file_system LABEL=data || echo "$reason"`);
  expect(said).toBe("no file system LABEL=data (ID_FS_LABEL_ENC=data) on this machine's disks\n");
});

describe('find_damage', () => {
  /** Reason, remark. */
  const damage = (path: string, type: string): readonly string[] =>
    sh(`${library('unsafe-file-systems')}
find_damage ${path} ${type}
echo "$reason"
echo "$remark"`).split('\n');
  const fat = (bits: 16 | 32): string => {
    const path = blank(`fat${bits}`, bits === 16 ? 20 : 40);
    host('mkfs.fat', '-F', String(bits), '-s', '1', ...(bits === 16 ? ['-s', '4'] : []), path);
    return path;
  };
  /** Where the parts are, as fsck.fat says. */
  const layout = (path: string): { first: number; second: number } => {
    const text = host('fsck.fat', '-n', '-v', path);
    const [, first = '', size = ''] =
      /First FAT starts at byte (\d+)[^]*?(\d+) bytes per FAT/.exec(text) ?? [];
    return { first: Number(first), second: Number(first) + Number(size) };
  };

  describe.each([16, 32] as const)('FAT%d', (bits) => {
    const dirtyByte = bits === 16 ? 37 : 65;
    test('as made: nothing', () => {
      expect(damage(fat(bits), 'vfat')).toEqual(['', '', '']);
    });
    test('not unmounted: a remark', () => {
      const path = fat(bits);
      poke(path, dirtyByte, (byte) => byte | 1);
      expect(damage(path, 'vfat')).toEqual(['', expect.stringContaining('was not unmounted'), '']);
    });
    test.each([
      ['second table', (path: string) => layout(path).second + 100, /tables of .* do not agree/],
      ['first table', (path: string) => layout(path).first + 60, /do not agree/],
      ['media byte', (path: string) => layout(path).first, /media byte/],
    ])('damaged %s: refused, as by fsck.fat', (_, where, reason) => {
      const path = fat(bits);
      poke(path, where(path), (byte) => byte ^ 0x55);
      expect(damage(path, 'vfat')[0]).toMatch(reason);
      expect(spawnSync('fsck.fat', ['-n', path], { env: system }).status).not.toBe(0);
    });
  });

  test('FAT32 whose boot sector is not the one that was saved: refused, as by fsck.fat', () => {
    const path = fat(32);
    poke(path, 0x20, (byte) => byte ^ 1); // number of sectors
    expect(damage(path, 'vfat')[0]).toMatch(/backup of its boot sector/);
    expect(spawnSync('fsck.fat', ['-n', path], { env: system }).status).not.toBe(0);
  });

  test('FAT32 with the boot code of Syslinux: nothing', () => {
    const path = fat(32);
    host('syslinux', '--install', path);
    expect(damage(path, 'vfat')).toEqual(['', '', '']);
  });

  test.each([
    ['ext4', [], /^$/, /^$/],
    ['ext4', ['ssv state 3'], /has errors/, /^$/],
    ['ext4', ['ssv state 0', 'feature needs_recovery'], /^$/, /journal is replayed/],
    ['ext2', [], /^$/, /^$/],
    ['ext2', ['ssv state 0'], /no journal/, /^$/],
  ] as const)('%s with %j', (type, commands, reason, remark) => {
    const path = blank(type, 16);
    host('mke2fs', '-q', '-F', '-t', type, path);
    for (const command of commands) host('debugfs', '-w', '-R', command, path);
    const [foundReason, foundRemark] = damage(path, type);
    expect(foundReason).toMatch(reason);
    expect(foundRemark).toMatch(remark);
  });
});

describe('find_file_system', () => {
  /** Device or reason, with disks: an image, whose contents blkid tells, or what it says. */
  const found = (
    disks: Readonly<Record<string, string | readonly string[]>>,
    where: string,
    boot = '',
  ): string => {
    const told = join(folder, 'state', 'disks');
    rmSync(told, { recursive: true, force: true });
    mkdirSync(told, { recursive: true });
    for (const [name, image] of Object.entries(disks)) {
      writeFileSync(
        join(told, name),
        typeof image === 'string'
          ? spawnSync('blkid', ['-p', '-o', 'udev', image], { env: system }).stdout
          : `${image.join('\n')}\n`,
      );
    }
    return sh(`${library('limited')}${library('find-file-system')}
if find_file_system '${where}' '${boot}'; then echo "$device $type"; else echo "$reason"; fi`).trim();
  };
  let ext: string;
  let fat: string;
  beforeAll(() => {
    ext = blank('found-ext', 16);
    host(
      'mke2fs',
      '-q',
      '-F',
      '-t',
      'ext4',
      '-L',
      'my data',
      '-U',
      '6c9cc2b0-2d0f-4d1e-9d5b-0a5a6d3c7e01',
      ext,
    );
    fat = blank('found-fat', 16);
    host('mkfs.fat', '-i', 'ab12cd34', '-n', 'BOOT', fat);
  });

  test.each([
    ['LABEL=BOOT', '', '/dev/sdb vfat'],
    ['LABEL=my\\x20data', '', '/dev/sda ext4'],
    ['UUID=AB12-CD34', '', '/dev/sdb vfat'],
    ['UUID=ab12-cd34', '', '/dev/sdb vfat'],
    ['boot', 'AB12-CD34', '/dev/sdb vfat'],
    ['UUID=6C9CC2B0-2d0f-4d1e-9d5b-0a5a6d3c7e01', '', '/dev/sda ext4'],
    ['LABEL=boot', '', "no file system LABEL=boot (ID_FS_LABEL_ENC=boot) on this machine's disks"],
    ['LABEL=.*', '', "no file system LABEL=.* (ID_FS_LABEL_ENC=.*) on this machine's disks"],
    ['boot', '', 'neither boot loader nor firmware said what was booted from (no saveoops.boot=)'],
  ])('%s, boot loader from %j: %s', (where, boot, expected) => {
    expect(found({ sda: ext, sdb: fat, sdc: blank('empty', 1) }, where, boot)).toBe(expected);
  });

  // What blkid says of partitions of a GPT and of an MBR, recorded in a guest.
  const gpt = [
    'ID_FS_TYPE=vfat',
    'ID_PART_ENTRY_SCHEME=gpt',
    'ID_PART_ENTRY_UUID=0fc63daf-8483-4772-8e79-3d69d8477de4',
    'ID_PART_ENTRY_NUMBER=1',
    'ID_PART_ENTRY_OFFSET=2048',
  ];
  const mbr = (number: number, start: number): readonly string[] => [
    'ID_FS_TYPE=vfat',
    'ID_PART_ENTRY_SCHEME=dos',
    `ID_PART_ENTRY_UUID=0badcafe-0${number}`,
    `ID_PART_ENTRY_NUMBER=${number}`,
    `ID_PART_ENTRY_OFFSET=${start}`,
  ];
  const uuid = '0FC63DAF-8483-4772-8e79-3d69d8477de4';

  test.each([
    [`PARTUUID=${uuid}`, '', '/dev/sda1 vfat'],
    ['boot', `PARTUUID=${uuid}`, '/dev/sda1 vfat'],
    ['PARTUUID=0badcafe-02', '', '/dev/sdb2 vfat'],
    // The second partition of two to firmware, the third place of the table to Linux.
    ['boot', 'MBR=0badcafe@6144', '/dev/sdb3 vfat'],
    ['boot', 'MBR=0badcafe@2048', "no file system boot (MBR=0badcafe@2048) on this machine's disks"],
    ['boot', 'MBR=00000000@2048', "no file system boot (MBR=00000000@2048) on this machine's disks"],
  ])('partitions: %s, started from %j: %s', (where, boot, expected) => {
    expect(found({ sda1: gpt, sdb2: mbr(2, 4096), sdb3: mbr(3, 6144), sdc: fat }, where, boot)).toBe(
      expected,
    );
  });

  test('a copy of a disk makes its partitions ambiguous: refused', () => {
    expect(found({ sda1: gpt, sdb1: gpt }, 'boot', `PARTUUID=${uuid}`)).toBe(
      'boot is not unique: /dev/sda1 /dev/sdb1',
    );
  });

  test('the same label twice: refused', () => {
    expect(found({ sda: fat, sdb: fat }, 'LABEL=BOOT')).toBe('LABEL=BOOT is not unique: /dev/sda /dev/sdb');
  });
});

describe('prune_captures', () => {
  const name = (hour: number, id = 'a1b2c3'): string =>
    `20261124T${String(hour).padStart(2, '0')}0000Z-6.1.0-56-amd64-${id}`;
  let captures: string;
  const add = (directory: string, ...files: readonly string[]): void => {
    mkdirSync(join(captures, directory));
    for (const file of files) writeFileSync(join(captures, directory, file), file);
  };
  const prune = (keep: number, newest: string): string =>
    sh(`${library('prune-captures')}prune_captures ${captures} ${keep} ${newest}`);
  beforeAll(() => {
    captures = join(folder, 'captures');
  });
  const fresh = (): void => {
    rmSync(captures, { recursive: true, force: true });
    mkdirSync(captures);
    for (const hour of [1, 2, 3]) add(name(hour), 'dmesg.txt', 'vmcore', 'capture.log', 'capture.json');
    add(name(9), 'dmesg.txt'); // the new one: not yet whole
  };

  test('removes the oldest until so many are left, the new one among them', () => {
    fresh();
    expect(prune(2, name(9))).toBe(`removed ${name(1)}\nremoved ${name(2)}\n`);
    expect(readdirSync(captures).sort()).toEqual([name(3), name(9)]);
  });

  test('removes nothing when there are no more', () => {
    fresh();
    expect(prune(4, name(9))).toBe('');
    expect(readdirSync(captures)).toHaveLength(4);
  });

  test('keeps the new one though a wrong clock makes it the oldest', () => {
    fresh();
    add(name(0), 'dmesg.txt', 'capture.json');
    prune(1, name(0));
    expect(readdirSync(captures).sort()).toEqual([name(0), name(9)]);
  });

  test('leaves alone what is not whole, not ours, a link, or holds more than we write', () => {
    fresh();
    add(name(4), 'dmesg.txt', 'vmcore.incomplete', 'capture.json');
    add('20261124T000000Z-notes', 'capture.json');
    add(name(5), 'dmesg.txt', 'capture.json', 'analysis.txt');
    symlinkSync(name(3), join(captures, name(6)));
    writeFileSync(join(captures, 'in-a-row'), '1\n');
    const before = readdirSync(captures);
    prune(1, name(9));
    const gone = before.filter((each) => !readdirSync(captures).includes(each));
    expect(gone.sort()).toEqual([name(1), name(2), name(3)]);
    expect(readdirSync(join(captures, name(5)))).toHaveLength(3);
  });
});

describe('the word of a reset', () => {
  test.each([
    ['4096,0/700,0/9', '4096 0/700 0/9'],
    ['0,3/700,1/9', '0 3/700 1/9'],
    ['4096', ' / /'],
    ['4096,0/700', ' / /'],
    ['4096,0/700,0/9,1/1', ' / /'],
    ['4096,0/700,0/', ' / /'],
    ['$(id),0/700,0/9', ' / /'],
    ['', ' / /'],
  ])('%j', (word, parts) => {
    const said = sh(`${library('after-reset')}reset='${word}'
split_reset
echo "$reset $image_lost/$image_checked $tables_lost/$tables_checked"`);
    expect(said).toBe(`${parts}\n`);
  });

  test('loss is said, none is not', () => {
    const said = (word: string): string =>
      sh(`${library('after-reset')}reset='${word}'\nsplit_reset\nlost_memory`);
    expect(said('4096,0/700,0/9')).not.toContain('was lost');
    expect(said('4096,3/700,0/9')).toContain('3 of 700 checked pages of its image, 0 of 9 page tables');
  });
});

describe('capture_json', () => {
  test('after a reset, what has reset the machine', () => {
    const variables = `${library('after-reset')}reset=4096,2/700,0/9 uptime=41.5 reset_by=watchdog
split_reset`;
    expect(json('', variables)).toMatchObject({
      reset: {
        lostKiB: 4096,
        image: { checked: 700, lost: 2 },
        tables: { checked: 9, lost: 0 },
        uptime: 41.5,
        by: "the chipset's watchdog (TCO)",
      },
    });
  });

  /** capture.json of a log, parsed. */
  const json = (log: string, variables = ''): Record<string, unknown> => {
    const state = join(folder, 'state');
    mkdirSync(state, { recursive: true });
    const files: Record<string, string> = {
      log,
      kind: 'panic\n',
      message: 'Kernel panic - not syncing: "quoted" \\ back\tslash \u00e9\n',
      dump: 'failed makedumpfile -l -d 31 (exit status 1: x)\nsaved vmcore (4096 bytes, copy of /proc/vmcore)\n',
      files: 'dmesg.txt 12 ab\nvmcore 4096 cd\n',
      failures: 'makedumpfile -l -d 31 (exit status 1: "x")\nsecond\n',
    };
    for (const [name, text] of Object.entries(files)) writeFileSync(join(state, name), text);
    const text = sh(`${library('capture-json')}${variables}
capture_json`);
    return JSON.parse(text) as Record<string, unknown>;
  };

  test('has every key, and null for what is not known', () => {
    const nothing = { device: null, uuid: null, type: null, directory: null };
    expect(json('', 'id=a1b2c3 time=2026-11-24T18:00:00Z save=boot dump=filtered')).toEqual({
      version: 1,
      id: 'a1b2c3',
      time: '2026-11-24T18:00:00Z',
      generator: null,
      kind: 'panic',
      message: 'Kernel panic - not syncing: "quoted" \\ back?slash ??',
      primary: { release: null, banner: null, commandLine: null },
      crash: { release: expect.any(String), commandLine: expect.any(String) },
      reset: null,
      cpu: null,
      memoryKiB: expect.any(Number),
      inARow: null,
      save: { asked: 'boot', ...nothing },
      dump: { asked: 'filtered', how: 'copy of /proc/vmcore', encrypted: false },
      files: [
        { name: 'dmesg.txt', size: 12, sha256: 'ab' },
        { name: 'vmcore', size: 4096, sha256: 'cd' },
      ],
      failures: ['makedumpfile -l -d 31 (exit status 1: "x")', 'second'],
    });
  });

  test('takes banner, command line and CPU from the log', () => {
    const log = [
      '[    0.000000] Linux version 6.1.0-56-amd64 (gcc) #1 SMP',
      '[    0.000000] Command line: BOOT_IMAGE=/vmlinuz root=UUID=x "quoted"',
      '[    1.000000] CPU: 3 PID: 1 Comm: swapper/0 Not tainted',
      '[    2.000000] CPU: 1 PID: 77 Comm: sh Not tainted',
    ].join('\n');
    expect(json(log, "release='6.1.0-56-amd64' in_a_row=2")).toMatchObject({
      primary: {
        release: '6.1.0-56-amd64',
        banner: 'Linux version 6.1.0-56-amd64 (gcc) #1 SMP',
        commandLine: 'BOOT_IMAGE=/vmlinuz root=UUID=x "quoted"',
      },
      cpu: 1,
      inARow: 2,
    });
  });
});

describe('limited and watched', () => {
  const timed = (script: string): { status: string; seconds: number } => {
    const started = performance.now();
    const status = sh(`${library('limited')}${script}\necho $?`).trim();
    return { status, seconds: (performance.now() - started) / 1000 };
  };

  test('give the status of the command', () => {
    expect(timed('limited 5 sh -c "exit 7"').status).toBe('7');
    expect(timed('watched nothing sh -c "exit 8"').status).toBe('8');
  });

  test('leave a command behind that takes too long, and what it started', () => {
    const { status, seconds } = timed('limited 1 sh -c "sleep 31.4159; true"');
    expect(status).toBe('124');
    expect(seconds).toBeLessThan(15);
    expect(host('ps', '-eo', 'args')).not.toContain('sleep 31.4159');
  });
});
