/**
 * Records logs of stock kernels that die, and what is known of each death without reading the log: `npm run
 * record:logs`. What it writes, src/report/fixtures/RELEASE/*, is committed; the tests of the report read it. Not part
 * of `npm test`. Another kernel: SAVEOOPS_KERNEL_DIR.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from '@jest/globals';
import { writeCpioArchive } from '../src/capture-initramfs/cpio-archive.js';
import type { DeathFacts } from '../src/testkit/death-logs.js';
import { readManifest } from '../src/image/payload-folder.js';
import type { KernelDebugger } from '../src/machine/kernel-debugger.js';
import { recoveredLog } from '../src/machine/recovered-log.js';
import { serialLines } from '../src/machine/serial-text.js';
import { bootPayload, check, serialConsole } from './harness/boot.js';
import { cache, digestOf, makeOnce, repository } from './harness/folders.js';
import { guestInitramfs } from './harness/guest.js';
import { modulesOf } from './harness/kernel-modules.js';
import { payload } from './harness/payloads.js';
import { injectorFor } from './inject.js';
import { crimeScene, guestWaits } from './kinds/guest.js';
import { kinds, nullDereference } from './kinds/kinds.js';

const minutes = 60_000;
const moduleName = 'dummy';

interface Death {
  readonly name: string;
  /** Words of the guest's command line; TASK= says what it does. */
  readonly append: string;
  /** Without: the guest dies by itself. */
  readonly crime?: (kernel: KernelDebugger, thread: string) => Promise<void>;
  /** Brings a CPU to where the crime is committed; default: the scene that the guest enters. */
  readonly arrive?: (kernel: KernelDebugger) => Promise<string>;
  readonly nmi?: boolean;
  /** A command of QEMU's monitor, once the guest waits. */
  readonly monitor?: string;
  /** What the crime makes of the instruction pointer or the trace. */
  readonly facts?: Partial<DeathFacts>;
  readonly cpus?: number;
  readonly noInitrd?: boolean;
  /** Default: the guest whose script is below. */
  readonly initrd?: () => Promise<string>;
  readonly whole?: boolean;
}

const ofKinds = (name: string): Pick<Death, 'crime'> => {
  const crime = kinds.find((kind) => kind.name === name)?.crime;
  if (crime === undefined) throw new Error(`no kind ${name}`);
  return { crime };
};

/** Runs to the first instruction of the init function of the module that the guest loads next. */
async function arriveInModule(kernel: KernelDebugger): Promise<string> {
  await kernel.arriveAt('do_init_module');
  const thread = await kernel.arriveAt('do_one_initcall');
  const { rdi } = await kernel.gdb.registers();
  await kernel.gdb.setBreakpoint(rdi);
  kernel.gdb.continue();
  await kernel.gdb.waitForStop(minutes);
  await kernel.gdb.removeBreakpoint(rdi);
  return thread;
}

const arriveAtScene = (kernel: KernelDebugger): Promise<string> => kernel.arriveAt(crimeScene);

/** An address that nothing maps. */
const wild = 0xffffffffe0123000n;

/** The timer's interrupt is counted, and found not to have come, on every way that the kernel tries. */
async function loseTimer(kernel: KernelDebugger): Promise<void> {
  const { gdb } = kernel;
  const panic = kernel.addressOf('panic');
  const check = kernel.addressOf('timer_irq_works');
  await gdb.setBreakpoint(panic);
  for (;;) {
    const { rsp } = await gdb.registers();
    await gdb.writeRegister('rip', (await gdb.readMemory(rsp, 8)).readBigUInt64LE());
    await gdb.writeRegister('rsp', rsp + 8n);
    await gdb.writeRegister('rax', 0n);
    await gdb.setBreakpoint(check);
    gdb.continue();
    await gdb.waitForStop(minutes);
    const { rip } = await gdb.registers();
    await gdb.removeBreakpoint(check);
    if (rip === panic) break;
  }
  await gdb.removeBreakpoint(panic);
}

/** What the processor does at a split lock in the kernel: TCG detects none. SDM 3A, 6.14.2: the stack of an exception. */
async function alignmentCheck(kernel: KernelDebugger): Promise<void> {
  const { gdb } = kernel;
  const { rip, rsp, eflags } = await gdb.registers();
  const [code, stack, noError] = [0x10n, 0x18n, 0n];
  const frame = Buffer.alloc(48);
  [noError, rip, code, eflags, rsp, stack].forEach((word, index) => frame.writeBigUInt64LE(word, index * 8));
  const top = (rsp & ~15n) - 48n;
  await gdb.writeMemory(top, frame);
  await gdb.writeRegister('rsp', top);
  await gdb.writeRegister('eflags', eflags & ~0x200n);
  await gdb.writeRegister('rip', kernel.addressOf('asm_exc_alignment_check'));
}

/** enum refcount_saturation_type: linux/refcount.h. */
const useAfterFree = 3n;

const deaths: readonly Death[] = [
  {
    name: 'panic',
    append: 'TASK=scene CPU=1',
    cpus: 2,
    crime: (kernel) => kernel.call('panic', 'Injected in process context'),
    facts: { message: 'Injected in process context', inTrace: crimeScene, cpu: 1 },
    whole: true,
  },
  {
    name: 'bug',
    append: 'TASK=scene oops=panic',
    ...ofKinds('BUG()'),
    facts: { atRip: 'usercopy_abort', inTrace: crimeScene },
  },
  {
    name: 'null-dereference-tainted',
    append: 'TASK=scene oops=panic TAINT=4672',
    crime: nullDereference,
    facts: { atRip: crimeScene, message: 'Fatal exception' },
  },
  {
    name: 'null-dereference-in-interrupt',
    append: 'TASK=scene',
    ...ofKinds('NULL dereference in an interrupt handler'),
    facts: { atRip: 'hrtimer_interrupt', message: 'Fatal exception in interrupt' },
  },
  {
    name: 'general-protection-fault',
    append: 'TASK=scene oops=panic',
    ...ofKinds('general protection fault'),
    facts: { atRip: crimeScene, address: '0xdead0000000000' },
  },
  {
    name: 'stack-overflow',
    append: 'TASK=scene',
    ...ofKinds('stack overflow'),
    facts: { atRip: crimeScene },
  },
  {
    name: 'double-fault',
    append: 'TASK=scene',
    ...ofKinds('double fault'),
    facts: { atRip: crimeScene },
  },
  {
    name: 'double-fault-in-module',
    append: 'TASK=module',
    arrive: arriveInModule,
    ...ofKinds('double fault'),
    facts: { module: moduleName },
  },
  {
    name: 'panic-in-module',
    append: 'TASK=module',
    arrive: arriveInModule,
    crime: (kernel) => kernel.call('panic', 'Injected in a module'),
    facts: { message: 'Injected in a module', moduleInTrace: moduleName },
  },
  { name: 'sysrq', append: 'TASK=sysrq', facts: { message: 'sysrq triggered crash' } },
  {
    name: 'init-ends',
    append: 'TASK=exit',
    facts: { message: 'Attempted to kill init! exitcode=0x00000700' },
  },
  {
    name: 'no-root',
    append: '',
    noInitrd: true,
    facts: { message: 'VFS: Unable to mount root fs on unknown-block(0,0)', pid: 1, cpu: 0 },
  },
  {
    name: 'nmi',
    append: 'TASK=wait unknown_nmi_panic',
    nmi: true,
    facts: { message: 'NMI: Not continuing', cpu: 0 },
  },
  {
    name: 'hung-task',
    append: 'TASK=scene sysctl.kernel.hung_task_panic=1 sysctl.kernel.hung_task_timeout_secs=2',
    ...ofKinds('hung task'),
    facts: { message: 'hung_task: blocked tasks' },
  },
  {
    name: 'soft-lockup',
    append: 'TASK=scene sysctl.kernel.softlockup_panic=1 sysctl.kernel.watchdog_thresh=1',
    ...ofKinds('soft lockup'),
    facts: { message: 'softlockup: hung tasks' },
  },
  {
    name: 'oops-then-sysrq',
    append: 'TASK=twice',
    crime: nullDereference,
    facts: { atRip: crimeScene, message: 'sysrq triggered crash' },
  },
  {
    name: 'early-exception',
    append: '',
    noInitrd: true,
    arrive: (kernel) => kernel.arriveAt('setup_arch'),
    crime: async ({ gdb }) => gdb.writeRegister('rip', wild),
    facts: { address: `0x${wild.toString(16)}`, cpu: 0 },
  },
  {
    name: 'no-working-init',
    append: '',
    initrd: brokenInit,
    facts: { pid: 1 },
  },
  {
    name: 'initramfs-damaged',
    append: '',
    initrd: damagedInitramfs,
    facts: { message: 'VFS: Unable to mount root fs on unknown-block(0,0)' },
  },
  {
    name: 'panic-on-oom',
    append: 'TASK=eat sysctl.vm.panic_on_oom=1',
    facts: { message: 'Out of memory: system-wide panic_on_oom is enabled' },
  },
  {
    name: 'no-timer',
    append: '',
    noInitrd: true,
    arrive: (kernel) => kernel.arriveAt('timer_irq_works'),
    crime: loseTimer,
    facts: { cpu: 0 },
  },
  {
    name: 'stack-protector',
    append: 'TASK=scene',
    crime: (kernel) => kernel.call('__stack_chk_fail', 0n),
    facts: { inTrace: crimeScene },
  },
  {
    name: 'refcount',
    append: 'TASK=scene panic_on_warn=1',
    crime: async (kernel) => {
      await kernel.call('refcount_warn_saturate', 'counter');
      await kernel.gdb.writeRegister('rsi', useAfterFree);
    },
    facts: { atRip: 'refcount_warn_saturate', inTrace: crimeScene },
  },
  {
    name: 'split-lock',
    append: 'TASK=scene oops=panic',
    crime: alignmentCheck,
    facts: { atRip: crimeScene, message: 'Fatal exception' },
  },
  {
    name: 'machine-check',
    append: 'TASK=wait',
    // Bank 4: valid, uncorrected, enabled, with an address, processor context corrupt. Machine check in progress.
    monitor: 'mce 0 4 0xbe00000000000000 0x4 0x1000 0',
  },
];

const tell = (key: string, value: string): string => `echo "fact: ${key} ${value}"\n`;
const script = `
[ -z "$TAINT" ] || echo $TAINT >/proc/sys/kernel/tainted
${tell('release', '$(uname -r)')}
${tell('commandLine', '$(cat /proc/cmdline)')}
${tell('tainted', '$(cat /proc/sys/kernel/tainted)')}
${tell('product', '$(cat /sys/class/dmi/id/product_name)')}
${tell('firmware', '$(cat /sys/class/dmi/id/bios_version)')}
for range in /sys/firmware/memmap/*; do
${tell('memory', '$(cat $range/start) $(cat $range/end) $(cat $range/type)')}
done
${tell('uptime', "$(cut -d ' ' -f 1 /proc/uptime)")}
case $TASK in
  scene) sh -c 'echo "fact: pid $$"; exec taskset -c '\${CPU:-0}' hostname crime' ;;
  twice) sh -c 'echo "fact: pid $$"; exec hostname crime'; echo c >/proc/sysrq-trigger ;;
  module) sh -c 'echo "fact: pid $$"; exec insmod /modules/${moduleName}.ko' ;;
  sysrq) sh -c 'echo "fact: pid $$"; echo c >/proc/sysrq-trigger' ;;
  eat) sh -c 'echo "fact: pid $$"; exec tail /dev/zero' ;;
  exit) echo "fact: pid 1"; exit 7 ;;
  wait) echo "${guestWaits}"; exec sleep 1000 ;;
esac
sleep 1000
`;

async function guest(): Promise<string> {
  const files = process.env['SAVEOOPS_KERNEL_DIR'] === undefined ? modulesOf('amd64', moduleName) : [];
  return await guestInitramfs(script, files);
}

/** Its /init is no program, and there is none of the others that the kernel tries. */
async function brokenInit(): Promise<string> {
  const bytes = Buffer.from('no program\n');
  const archive = await writeCpioArchive([
    { path: 'dev', mode: 0o755, kind: 'directory' },
    { path: 'init', mode: 0o755, kind: 'file', bytes },
  ]);
  return await makeOnce(join(cache, 'guests', `broken-init-${digestOf(archive)}.cpio`), (out) =>
    writeFile(out, archive),
  );
}

/** Damaged right behind gzip's header: nothing of it can be unpacked. */
async function damagedInitramfs(): Promise<string> {
  const whole = readFileSync(await guest());
  whole.fill(0xff, 16, 4096);
  return await makeOnce(join(cache, 'guests', `damaged-${digestOf(whole)}.cpio.gz`), (out) =>
    writeFile(out, whole),
  );
}

/** What the guest said of itself on the serial port before it died. */
function toldFacts(serial: string): Partial<DeathFacts> {
  const told = serialLines(serial).flatMap((line) => {
    const at = line.indexOf('fact: ');
    const [, key = '', value = ''] = at < 0 ? [] : (/^fact: (\w+) (.*)$/.exec(line.slice(at)) ?? []);
    return key === '' ? [] : [{ key, value }];
  });
  const one = (key: string): string | undefined => told.find((fact) => fact.key === key)?.value;
  const memory = told.filter((fact) => fact.key === 'memory').map((fact) => fact.value);
  return {
    ...Object.fromEntries(
      ['release', 'commandLine', 'product', 'firmware'].flatMap((key) => {
        const value = one(key);
        return value === undefined ? [] : [[key, value]];
      }),
    ),
    ...Object.fromEntries(
      ['tainted', 'uptime', 'pid'].flatMap((key) => {
        const value = one(key);
        return value === undefined ? [] : [[key, Number(value)]];
      }),
    ),
    ...(memory.length > 0 && { memory }),
  };
}

/** The beginning, with the machine, and the end, with the death. */
function shortened(log: string): string {
  const lines = log.split('\n');
  const head = lines.findIndex((line) => line.includes('] DMI:')) + 3;
  const tail = Math.max(head, lines.length - 120);
  return [...lines.slice(0, head), ...lines.slice(tail)].join('\n');
}

test.each(deaths.map((death) => [death.name, death] as const))(
  'the log of %s',
  async (name, { append, crime, arrive, nmi, monitor, facts, cpus, noInitrd, initrd, whole }) => {
    const initrds = noInitrd === true ? [] : [await (initrd ?? guest)()];
    const dir = await payload({ flavour: 'amd64', initrds, name: 'death-logs' });
    const injector = await injectorFor(dir);
    const result = await bootPayload(dir, {
      cpus: cpus ?? 1,
      timeout: 400,
      extraAppend: `${serialConsole} ${append}`,
      ...(crime !== undefined && {
        debug: async (gdb): Promise<void> => {
          const kernel = await injector.debuggerOf(gdb);
          await crime(kernel, await (arrive ?? arriveAtScene)(kernel));
          await gdb.detach();
        },
      }),
      ...((nmi === true || monitor !== undefined) && {
        meanwhile: async (machine, qmp): Promise<void> => {
          const control = await qmp();
          await machine.waitForLine([new RegExp(guestWaits)], { timeoutMs: 4 * minutes });
          if (nmi === true) await control.execute('inject-nmi');
          if (monitor !== undefined)
            await control.execute('human-monitor-command', { 'command-line': monitor });
        },
      }),
    });
    const log = check(result, () => {
      const recovered = recoveredLog(result.serial);
      if (recovered?.complete !== true) throw new Error('no whole log');
      return recovered.text;
    });
    const { primary, memory } = await readManifest(dir);
    const folder = join(repository, 'src', 'report', 'fixtures', primary.release);
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, `${name}.txt`), whole === true ? log : shortened(log));
    const all: DeathFacts = {
      release: primary.release,
      regionSize: memory.size,
      ...toldFacts(result.serial),
      ...facts,
    };
    writeFileSync(join(folder, `${name}.json`), `${JSON.stringify(all, null, 2)}\n`);
  },
  8 * minutes,
);
