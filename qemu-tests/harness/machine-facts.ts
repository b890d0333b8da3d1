/** What a running system tells about how it was booted: a guest that prints it, and its reader. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseKallsyms, renderProcKallsyms } from '../../src/formats/kallsyms/kallsyms.js';
import type { ScenarioResult } from '../../src/machine/scenario.js';
import { loadVmlinux } from '../../src/testkit/stock-kernels.js';
import { guestBlock } from './boot.js';
import { cache, digestOf, makeOnce } from './folders.js';
import { withoutStamp } from './early-log.js';
import { guestInitramfs, printBlock } from './guest.js';
import { stockKernel, type Flavour } from './payloads.js';

/** Every file under a folder as lines "path base64", as the user who runs it can read them. */
const dumpTree = (folder: string): string =>
  `find ${folder} -type f | sort | while read -r f; do echo "$f $(base64 -w 0 $f)"; done`;

const shown = '/sys/kernel/boot_params';

/**
 * A guest that prints the blocks that readFacts() reads and powers off. With `nokaslr` it also compares
 * /proc/kallsyms with what Saveoops reads from the kernel's file.
 */
export async function factsGuest(flavour: Flavour): Promise<string> {
  const expected = renderProcKallsyms(parseKallsyms(await loadVmlinux(stockKernel(flavour))));
  const source = await makeOnce(join(cache, 'guests', `kallsyms-${digestOf(expected)}`), (out) =>
    writeFile(out, expected),
  );
  return await guestInitramfs(
    `
mkdir -p /etc
echo "user:x:1000:1000::/:/bin/sh" >/etc/passwd
cat >/dump-as-user <<'END'
id -u
${dumpTree(shown)}
END
cat >/compare-kallsyms <<'END'
if cmp /expected-kallsyms /proc/kallsyms >/differs 2>&1; then
  echo same
else
  # "... differ: char N, line L"
  line=$(sed -n 's/.* line \\([0-9]*\\).*/\\1/p' /differs)
  cat /differs
  [ -z "$line" ] || sed -n "$line{p;q}" /expected-kallsyms /proc/kallsyms
fi
END
${printBlock('cmdline', 'cat /proc/cmdline')}
${printBlock('boot_params', `base64 ${shown}/data`)}
${printBlock('as user', 'su -s /bin/sh -c "sh /dump-as-user" user')}
${printBlock('iomem', 'cat /proc/iomem')}
${printBlock('text', 'grep -w _text /proc/kallsyms')}
${printBlock('kcore', 'head -c 8192 /proc/kcore | base64')}
${printBlock('dmesg', 'dmesg')}
grep -qw nokaslr /proc/cmdline && {
${printBlock('kallsyms', 'sh /compare-kallsyms')}
}
poweroff -f
`,
    [{ path: 'expected-kallsyms', source }],
  );
}

export const e820Type = { ram: 1, reserved: 2 } as const;

/** E820 entry of boot_params. */
export interface E820Entry {
  readonly start: bigint;
  readonly end: bigint;
  readonly type: number;
}

export interface Facts {
  readonly run: ScenarioResult;
  /** The 4096 bytes of /sys/kernel/boot_params/data. */
  readonly bootParams: Buffer;
  readonly e820: readonly E820Entry[];
  readonly cmdline: string;
  readonly iomem: readonly string[];
  /** Kernel log without time stamps. */
  readonly dmesg: readonly string[];
  /** What uid 1000 can read under /sys/kernel/boot_params, by path. */
  readonly readByUser: ReadonlyMap<string, Buffer>;
  readonly userId: string;
  /** Virtual address of _text, its physical address, and where the direct map starts: what KASLR hides. */
  readonly text: bigint;
  readonly physicalText: bigint;
  readonly pageOffset: bigint;
}

/** Offsets in struct boot_params (the kernel's Documentation/x86/zero-page.rst). */
export const zeroPage = {
  e820Entries: 0x1e8,
  e820Table: 0x2d0,
  e820EntrySize: 20,
  setupData: 0x250,
} as const;

/** Throws with the run's evidence when a block is missing. */
export function readFacts(run: ScenarioResult): Facts {
  const bootParams = fromBase64(guestBlock(run, 'boot_params'));
  const [userId = '', ...files] = guestBlock(run, 'as user');
  const iomem = guestBlock(run, 'iomem');
  return {
    run,
    bootParams,
    e820: readE820(bootParams),
    cmdline: guestBlock(run, 'cmdline').join('\n'),
    iomem,
    dmesg: guestBlock(run, 'dmesg').map(withoutStamp),
    readByUser: new Map(
      files.map((line) => {
        const [path = '', text = ''] = line.split(' ');
        return [path, Buffer.from(text, 'base64')];
      }),
    ),
    userId,
    text: BigInt('0x' + (guestBlock(run, 'text')[0]?.split(' ')[0] ?? '0')),
    physicalText: BigInt('0x' + (/^ *([0-9a-f]+)-.*: Kernel code$/m.exec(iomem.join('\n'))?.[1] ?? '0')),
    pageOffset: pageOffset(fromBase64(guestBlock(run, 'kcore'))),
  };
}

function fromBase64(lines: readonly string[]): Buffer {
  return Buffer.from(lines.join(''), 'base64');
}

/** The memory map in the 4096 bytes of boot_params. */
export function readE820(bootParams: Buffer): E820Entry[] {
  return Array.from({ length: bootParams[zeroPage.e820Entries] ?? 0 }, (_, index) => {
    const at = zeroPage.e820Table + index * zeroPage.e820EntrySize;
    const start = bootParams.readBigUInt64LE(at);
    return { start, end: start + bootParams.readBigUInt64LE(at + 8), type: bootParams.readUInt32LE(at + 16) };
  });
}

const noAddress = 0xffff_ffff_ffff_ffffn;
const kernelImage = 0xffff_ffff_8000_0000n;

/**
 * From the program headers of /proc/kcore: RAM in the direct map has both addresses, and their difference is
 * page_offset_base. The kernel's text, which has both too, lies in the last 2 GiB.
 */
function pageOffset(kcore: Buffer): bigint {
  const count = kcore.readUInt16LE(56);
  const offsets = Array.from({ length: count }, (_, index) => {
    const at = 64 + 56 * index;
    return {
      type: kcore.readUInt32LE(at),
      virtual: kcore.readBigUInt64LE(at + 16),
      physical: kcore.readBigUInt64LE(at + 24),
    };
  })
    .filter((one) => one.type === 1 && one.physical !== noAddress && one.virtual < kernelImage)
    .map((one) => one.virtual - one.physical);
  const [first] = offsets;
  if (first === undefined || offsets.some((offset) => offset !== first)) {
    throw new Error(`/proc/kcore maps RAM at ${offsets.map((offset) => offset.toString(16)).join(', ')}`);
  }
  return first;
}
