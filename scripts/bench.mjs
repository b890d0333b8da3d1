/**
 * The ratios of `npm run bench`.
 *
 *   build   wall-clock time of `saveoops build` with a 100 MiB initrd against a floor: decompress the kernel with the
 *           host's tool, read and SHA-256 both inputs, write the output and fsync it. Alternating pairs, medians.
 *   repack  wall-clock time of `saveoops repack` of that payload to a file, against cp and sync of the same file; and
 *           against a Node process that starts, reads the file, writes it and syncs. Alternating, medians.
 *   boot    guest instructions from the first instruction of the boot sector to start_kernel, armed against plain
 *           LINUX/INITRD of the same kernel. QEMU with -icount shift=0 counts one nanosecond of virtual time for each
 *           instruction, and the guest's TSC shows that time: at each stop the debugger makes the guest execute one
 *           rdtsc and puts everything back.
 */
import { spawnSync } from 'node:child_process';
import { createCipheriv, createHash } from 'node:crypto';
import {
  closeSync,
  fsyncSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { unattendedConfig } from '../dist/src/image/boot-config.js';
import { makeDiskImage } from '../dist/src/image/disk-image.js';
import { readPayloadFolder } from '../dist/src/image/payload-folder.js';
import { parseBzImage } from '../dist/src/formats/bzimage/parse-bzimage.js';
import { decompressPayload, payloadCompression } from '../dist/src/formats/bzimage/payload.js';
import { functionAddress, readKernelSymbols } from '../dist/src/machine/kernel-functions.js';
import { runScenario } from '../dist/src/machine/scenario.js';
import { stockKernels } from '../dist/src/testkit/stock-kernels.js';

const MiB = 1 << 20;
const pairs = 5;
const buildInitrd = 100 * MiB;
const bootInitrd = 16 * MiB;
const cli = fileURLToPath(new URL('../dist/src/cli.js', import.meta.url));
const self = fileURLToPath(import.meta.url);

const [command, ...rest] = process.argv.slice(2);
if (command === 'floor') await floor(...rest);
else if (command === 'copy') copy(...rest);
else await bench(process.argv.slice(2));

async function bench(wanted) {
  const folder = mkdtempSync(join(process.env.TMPDIR ?? '/tmp', 'saveoops-bench-'));
  try {
    for (const kernel of stockKernels().filter(({ flavour }) => /^(cloud-)?amd64$/.test(flavour))) {
      const format = payloadCompression(parseBzImage(readFileSync(kernel.vmlinuz), kernel.vmlinuz).payload);
      console.log(`\n${basename(kernel.vmlinuz)} (${format})`);
      if (wanted.length === 0 || wanted.includes('build')) benchBuild(kernel.vmlinuz, folder);
      if (wanted.length === 0 || wanted.includes('repack')) benchRepack(kernel.vmlinuz, folder);
      if (wanted.length === 0 || wanted.includes('boot')) await benchBoot(kernel.vmlinuz, folder);
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Seconds. */
function buildPayload(kernel, initrd, out) {
  const files = ['--kernel', kernel, '--initrd', initrd, '--out', out];
  return timed(process.execPath, [cli, 'build', '--no-config', ...files]);
}

// ---- build ----

function benchBuild(kernel, folder) {
  const initrd = randomFile(join(folder, 'initrd.img'), buildInitrd);
  const out = join(folder, 'built');
  buildPayload(kernel, initrd, out);
  const payload = [sizeOf(join(out, 'saveoops.c32'))];
  const all = readdirSync(out).map((name) => sizeOf(join(out, name)));
  const floorOf = (sizes) => [self, 'floor', kernel, initrd, join(folder, 'floor'), ...sizes.map(String)];
  const runs = { build: [], floor: [], floorAll: [] };
  for (let i = 0; i < pairs; i++) {
    rmSync(out, { recursive: true });
    runs.build.push(buildPayload(kernel, initrd, out));
    runs.floor.push(timed(process.execPath, floorOf(payload)));
    runs.floorAll.push(timed(process.execPath, floorOf(all)));
  }
  const [built, floored, flooredAll] = [runs.build, runs.floor, runs.floorAll].map(median);
  const seconds = (value) => `${value.toFixed(2)} s`;
  console.log(
    `  build, ${buildInitrd / MiB} MiB initrd: ${seconds(built)}; floor that writes saveoops.c32: ${seconds(floored)}, ` +
      `ratio ${(built / floored).toFixed(2)}; floor that writes every file of the folder: ${seconds(flooredAll)}, ` +
      `ratio ${(built / flooredAll).toFixed(2)} (medians of ${pairs}, spread of build ` +
      `${seconds(Math.min(...runs.build))} to ${seconds(Math.max(...runs.build))})`,
  );
}

// ---- repack ----

function benchRepack(kernel, folder) {
  const initrd = randomFile(join(folder, 'initrd.img'), buildInitrd);
  const out = join(folder, 'to-repack');
  buildPayload(kernel, initrd, out);
  const payload = join(out, 'saveoops.c32');
  const to = join(folder, 'copy.c32');
  const ways = {
    repack: [process.execPath, [cli, 'repack', payload, '--crash-append', 'saveoops.hold=60', '--out', to]],
    cp: ['sh', ['-c', 'cp "$1" "$2" && sync "$2"', 'sh', payload, to]],
    node: [process.execPath, [self, 'copy', payload, to]],
  };
  const runs = { repack: [], cp: [], node: [] };
  for (let i = 0; i < pairs; i++) {
    for (const [name, way] of Object.entries(ways)) {
      rmSync(to, { force: true });
      runs[name].push(timed(...way));
    }
  }
  const [repack, cp, node] = [runs.repack, runs.cp, runs.node].map(median);
  console.log(
    `  repack, ${(sizeOf(payload) / MiB).toFixed(0)} MiB payload: ${repack.toFixed(2)} s; cp and sync: ${cp.toFixed(2)} s, ` +
      `ratio ${(repack / cp).toFixed(2)}; the same copy in a Node process: ${node.toFixed(2)} s, ` +
      `ratio ${(repack / node).toFixed(2)} (medians of ${pairs})`,
  );
}

function copy(from, to) {
  const file = openSync(to, 'w');
  writeFileSync(file, readFileSync(from));
  fsyncSync(file);
  closeSync(file);
}

/** A process of its own, as the build is. Sizes: of the files to write. */
async function floor(kernel, initrd, out, ...sizes) {
  rmSync(out, { recursive: true, force: true });
  mkdirSync(out, { recursive: true });
  const bzImage = readFileSync(kernel);
  const unpacked = decompressPayload(parseBzImage(bzImage, kernel).payload, kernel);
  const bytes = readFileSync(initrd);
  for (const input of [bzImage, bytes]) createHash('sha256').update(input).digest();
  const content = Buffer.concat([bytes, await unpacked]);
  sizes.map(Number).forEach((size, index) => {
    const file = openSync(join(out, String(index)), 'w');
    for (let done = 0; done < size;)
      done += writeSync(file, content, 0, Math.min(content.length, size - done));
    fsyncSync(file);
    closeSync(file);
  });
}

/** Seconds. */
function timed(program, args) {
  const started = performance.now();
  const { status, stderr } = spawnSync(program, args, {
    encoding: 'utf8',
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  if (status !== 0) throw new Error(`${args.join(' ')}: ${stderr}`);
  return (performance.now() - started) / 1000;
}

function median(values) {
  return [...values].sort((a, b) => a - b)[values.length >> 1];
}

function sizeOf(path) {
  return statSync(path).size;
}

/** Seeded: the same bytes every time; AES of zeroes, which nothing compresses. */
function randomFile(path, size) {
  const cipher = createCipheriv('aes-128-ctr', Buffer.from('saveoops bench 1'), Buffer.alloc(16));
  writeFileSync(path, cipher.update(Buffer.alloc(size)));
  return path;
}

// ---- boot ----

async function benchBoot(kernel, folder) {
  const initrd = randomFile(join(folder, 'initrd.img'), bootInitrd);
  const out = join(folder, `boot-${basename(kernel)}`);
  buildPayload(kernel, initrd, out);
  const manifest = JSON.parse(readFileSync(join(out, 'saveoops.json'), 'utf8'));
  const symbols = await readKernelSymbols(join(out, manifest.primary.kernelFile));
  const target = functionAddress(symbols, 'start_kernel');
  const results = {};
  for (const [name, label, entry] of [
    ['plain', 'saveoops-plain', 0x100000n],
    ['armed', 'saveoops', 0x100000n + BigInt(manifest.debug.stub)],
  ]) {
    const run = join(out, name);
    mkdirSync(run);
    const image = await bootImage(out, label, run);
    results[name] = await countInstructions(image, run, entry, target);
  }
  const { plain, armed } = results;
  const giga = (value) => `${(Number(value) / 1e9).toFixed(3)} G`;
  const ratio = (key) => (Number(armed[key]) / Number(plain[key])).toFixed(2);
  console.log(
    `  boot, ${bootInitrd / MiB} MiB initrd, guest instructions from the boot sector to start_kernel: ` +
      `armed ${giga(armed.total)}, plain ${giga(plain.total)}, ratio ${ratio('total')}\n` +
      `    of these Syslinux, loading: armed ${giga(armed.loading)}, plain ${giga(plain.loading)}, ratio ${ratio('loading')}\n` +
      `    of these from code32_start on: armed ${giga(armed.kernel)}, plain ${giga(plain.kernel)}, ratio ${ratio('kernel')}`,
  );
}

async function bootImage(out, label, run) {
  const payload = await readPayloadFolder(out);
  const config = join(run, 'syslinux.cfg');
  writeFileSync(config, unattendedConfig(payload.configText, label, 'nokaslr'));
  const files = payload.files.map((file) =>
    file.name === 'syslinux.cfg' ? { name: file.name, source: config } : file,
  );
  const image = join(run, 'disk.img');
  await makeDiskImage(files, image);
  return image;
}

async function countInstructions(image, run, entry, startKernel) {
  let counts;
  let done = () => undefined;
  const finished = new Promise((resolve) => {
    done = resolve;
  });
  const result = await runScenario({
    machine: { boot: { kind: 'disk', image }, extra: ['-icount', 'shift=0,sleep=off'] },
    folder: run,
    timeout: 900,
    debug: async (gdb) => {
      const start = await tscAt(gdb, 0x7c00n);
      // Syslinux itself lives at 1 MiB until it moves the kernel there: the kernel is entered with ESI = boot_params,
      // which hold "HdrS".
      const entered = await tscAt(gdb, entry, entersKernel);
      const end = await tscAt(gdb, startKernel);
      counts = { loading: entered - start, kernel: end - entered, total: end - start };
      done();
    },
    meanwhile: async (machine, qmp) => {
      await finished;
      await (await qmp()).execute('quit');
    },
  });
  if (counts === undefined) throw new Error(`no count: ${JSON.stringify(result.end)}`);
  return counts;
}

/** Runs to `address`, where `accept` says that this is the visit that counts, and reads the TSC there. */
async function tscAt(gdb, address, accept = () => true) {
  for (;;) {
    await gdb.setBreakpoint(address);
    gdb.continue();
    await gdb.waitForStop(900_000);
    await gdb.removeBreakpoint(address);
    const { rip } = await gdb.registers();
    if (rip !== address) throw new Error(`a stop at 0x${rip.toString(16)}, not at 0x${address.toString(16)}`);
    if (await accept(gdb)) return await readTsc(gdb, address);
    await gdb.step('1');
  }
}

async function entersKernel(gdb) {
  const { rsi } = await gdb.registers();
  if (rsi === 0n || rsi > 0xa0000n) return false;
  return (await gdb.readMemory(rsi + 0x202n, 4)).toString('latin1') === 'HdrS';
}

/** The stopped CPU's TSC: one rdtsc in place of the code at `address`, where it stands. */
async function readTsc(gdb, address) {
  const { rax, rdx, eflags } = await gdb.registers();
  const code = await gdb.readMemory(address, 2);
  await gdb.writeMemory(address, Buffer.from([0x0f, 0x31]));
  await gdb.step('1');
  const after = await gdb.registers();
  await gdb.writeMemory(address, code);
  await gdb.writeRegister('rip', address);
  await gdb.writeRegister('rax', rax);
  await gdb.writeRegister('rdx', rdx);
  await gdb.writeRegister('eflags', eflags);
  return ((after.rdx & 0xffffffffn) << 32n) | (after.rax & 0xffffffffn);
}
