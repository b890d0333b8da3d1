/** Before crash_notes exists the crash stub writes the NT_PRSTATUS of the panicking CPU itself. */
import { expect, test } from '@jest/globals';
import { ByteView } from '../src/bytes/byte-reader.js';
import { PT_NOTE } from '../src/formats/elf/elf-tables.js';
import { parseNotes } from '../src/formats/elf/notes.js';
import { parseElf } from '../src/formats/elf/parse-elf.js';
import { bootPayload, check, serialConsole } from './harness/boot.js';
import { injectorFor } from './inject.js';
import { vmcoreHead, vmcorePayload, vmcoreTold } from './vmcore-guests.js';

const NT_PRSTATUS = 1;
/** offsetof(struct elf_prstatus, pr_pid), x86-64. */
const prPid = 32;

test.each([
  ['start_kernel', 0],
  ['kernel_init_freeable', 1],
])(
  'a panic at %s is of PID %i, in the note as in the log',
  async (place, pid) => {
    const dir = await vmcorePayload('amd64');
    const injector = await injectorFor(dir);
    const result = await bootPayload(dir, {
      cpus: 2,
      extraAppend: serialConsole,
      endAt: [new RegExp(vmcoreTold), /---\[ end Kernel panic/, /^saveoops: E/],
      debug: async (gdb) => {
        await injector.panicAt(gdb, place, 'too early for crash_notes');
      },
    });
    check(result, () => {
      const elf = parseElf(vmcoreHead(result), '/proc/vmcore');
      const segment = elf.segments.find((each) => each.p_type === PT_NOTE);
      const notes = segment === undefined ? [] : parseNotes(new ByteView(elf.segmentBytes(segment), 'notes'));
      const prstatus = notes.filter((note) => note.name === 'CORE' && note.type === NT_PRSTATUS);
      expect(prstatus.map(({ desc }) => Buffer.from(desc).readUInt32LE(prPid))).toEqual([pid]);
      // start_kernel panics before the first console: its log is only in memory.
      if (pid !== 0) expect(result.serial).toMatch(new RegExp(`CPU: \\d PID: ${pid} Comm: swapper`));
    });
  },
  300_000,
);
