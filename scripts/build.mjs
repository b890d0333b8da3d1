/**
 * `npm run build`: TypeScript to dist/, stubs/include/plan.h and saveoops.schema.json from their TypeScript
 * definitions, the bare-metal stubs to dist/stubs, the capture initramfs' own program to
 * dist/programs, the page that reads a photographed screen to dist/page, and the check that Syslinux exports everything that the COM32 module imports.
 *
 * Each step is skipped when nothing that it reads has changed. Without a C compiler the stubs that are already in
 * dist/stubs are used, if none of their sources is newer.
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const dist = join(root, 'dist');
const typed = ['src', 'qemu-tests'];
const modules = ['module.elf', 'module64.elf'];
const compiledParts = [
  {
    folder: 'stubs',
    target: 'stubs',
    objects: ['entry.elf', 'crash.elf', 'hook.o', ...modules],
    headers: [],
  },
  {
    folder: 'src/capture-initramfs/programs',
    target: 'programs',
    objects: ['draw-qr', 'read-log', 'console-mode'],
    headers: ['/usr/include/qrcodegen/qrcodegen.h'],
  },
];
const scripts = 'src/capture-initramfs/root';
/** Compiled with the browser's types, into one file: not by compile(). */
const page = 'src/panic-code/page';
const buildInfo = join(dist, 'tsconfig.tsbuildinfo');

/** What a person can put right; anything else is a bug and shows its stack. */
class BuildError extends Error {}

try {
  compile();
  await renderHeader();
  await renderScripts();
  await renderConfigSchema();
  compiledParts.forEach(makeObjects);
  await checkImports();
  await makePage();
} catch (error) {
  if (!(error instanceof BuildError)) throw error;
  console.error(`build: ${error.message}`);
  process.exitCode = 1;
}

/** tsc --incremental, with what it cannot do: notice deleted sources and missing outputs. */
function compile() {
  const sources = typed.flatMap((folder) =>
    filesUnder(join(root, folder)).filter(
      (path) => path.endsWith('.ts') && !path.startsWith(join(root, page, '/')),
    ),
  );
  const outputs = new Set(
    sources.flatMap((path) => {
      const stem = join(dist, relative(root, path)).slice(0, -'.ts'.length);
      return [`${stem}.js`, `${stem}.js.map`, `${stem}.d.ts`];
    }),
  );
  const kept = (path) => path.startsWith(join(dist, scripts, '/'));
  for (const folder of typed) {
    for (const path of filesUnder(join(dist, folder))) {
      if (!outputs.has(path) && !kept(path)) rmSync(path);
    }
  }
  const complete = [...outputs].every((path) => existsSync(path));
  const inputs = [...sources, join(root, 'tsconfig.json'), join(root, 'package-lock.json')];
  if (complete && existsSync(buildInfo) && newest(inputs) < modified(buildInfo)) return;
  if (!complete) rmSync(buildInfo, { force: true });
  const tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc');
  if (!existsSync(tsc)) throw new BuildError('TypeScript is not installed: run `npm ci`');
  const { dependencies, devDependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  const absent = Object.keys({ ...dependencies, ...devDependencies }).filter(
    (name) => !existsSync(join(root, 'node_modules', name)),
  );
  if (absent.length > 0) throw new BuildError(`${absent.join(', ')} not installed: run \`npm ci\``);
  const started = new Date();
  const run = spawnSync(process.execPath, [tsc, '--incremental', '--tsBuildInfoFile', buildInfo], {
    cwd: root,
    stdio: 'inherit',
  });
  if (run.status !== 0) {
    rmSync(buildInfo, { force: true });
    throw new BuildError('tsc found errors');
  }
  // tsc leaves the file alone when its content is the same; a source saved meanwhile must stay newer.
  utimesSync(buildInfo, started, started);
}

/** stubs/include/plan.h, written only when it differs, so that make sees no change without one. */
async function renderHeader() {
  const { renderHeader: render } = await compiled('src/stubs/shared-layout.js');
  writeGenerated('stubs/include/plan.h', render(), 'src/stubs/shared-layout.ts');
}

/** The scripts of the capture initramfs ship as they are, beside the code that packs them; constants.sh is TypeScript's. */
async function renderScripts() {
  const { renderConstants } = await compiled('src/capture-initramfs/constants.js');
  const constants = `${scripts}/lib/saveoops/constants.sh`;
  writeGenerated(constants, renderConstants(), 'src/capture-initramfs/constants.ts');
  const copy = join(dist, scripts);
  rmSync(copy, { recursive: true, force: true });
  cpSync(join(root, scripts), copy, { recursive: true });
}

async function renderConfigSchema() {
  const { renderSchema } = await compiled('src/config/config-schema.js');
  const { configKeys } = await compiled('src/commands/options.js');
  writeGenerated('saveoops.schema.json', renderSchema(configKeys), 'src/commands/options.ts');
}

function compiled(path) {
  return import(pathToFileURL(join(dist, path)).href);
}

function writeGenerated(name, wanted, source) {
  const path = join(root, name);
  if (existsSync(path) && readFileSync(path, 'utf8') === wanted) return;
  writeFileSync(path, wanted);
  console.log(`build: ${name} written anew from ${source}; commit it`);
}

/** What is compiled for the machine itself: what `make` in `folder` writes to `target` in dist. */
function makeObjects({ folder, target, objects, headers }) {
  const out = join(dist, target);
  const sources = filesUnder(join(root, folder)).filter((path) => /(\.[chS]|\.lds|Makefile)$/.test(path));
  const missing = [
    ...['make', 'gcc', 'ld', 'objcopy'].filter((tool) => !onPath(tool)),
    ...headers.filter((path) => !existsSync(path)),
  ];
  const built = objects.map((name) => join(out, name));
  const upToDate =
    built.every((path) => existsSync(path)) && newest(sources) <= Math.min(...built.map(modified));
  if (missing.length === 0) {
    mkdirSync(out, { recursive: true });
    const run = spawnSync('make', ['-s', '-C', join(root, folder), `OUT=${out}`], { stdio: 'inherit' });
    if (run.status !== 0) throw new BuildError(`make failed in ${folder}/`);
    return;
  }
  if (upToDate) {
    console.log(
      `build: no ${missing.join(', ')} here; what is in dist/${target} is newer than its sources and is used`,
    );
    return;
  }
  throw new BuildError(
    `${folder}/ needs ${missing.join(', ')}\n  do: apt-get install gcc binutils make linux-libc-dev libqrcodegen-dev`,
  );
}

async function checkImports() {
  const { unexportedImports } = await compiled('src/testkit/module-imports.js');
  const list = readFileSync(join(root, 'stubs', 'com32', 'syslinux-exports.txt'), 'utf8');
  const bad = modules.flatMap((name) => unexportedImports(readFileSync(join(dist, 'stubs', name)), list));
  if (bad.length === 0) return;
  throw new BuildError(
    `the COM32 module imports what stubs/com32/syslinux-exports.txt does not list: ${bad.join(', ')}\n` +
      '  do: add a name only after you have seen that Syslinux exports it',
  );
}

/** dist/page/panic.html: one file, whose only script is in it and named by its digest, so that no other one runs. */
async function makePage() {
  const folder = join(root, page);
  const tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc');
  const target = join(dist, 'page', 'panic.html');
  const inputs = ['src/report', 'src/panic-code'].flatMap((name) => filesUnder(join(root, name)));
  if (existsSync(target) && newest(inputs) < modified(target)) return;
  if (spawnSync(process.execPath, [tsc, '-p', folder], { cwd: root, stdio: 'inherit' }).status !== 0) {
    throw new BuildError(`tsc found errors in ${page}/`);
  }
  const { build } = await import('esbuild');
  const { outputFiles } = await build({
    entryPoints: [join(folder, 'page.ts')],
    bundle: true,
    minify: true,
    format: 'esm',
    target: 'es2022',
    write: false,
    legalComments: 'inline',
  });
  const script = outputFiles[0].text;
  const digest = `sha256-${createHash('sha256').update(script).digest('base64')}`;
  const html = readFileSync(join(folder, 'page.html'), 'utf8')
    .replace('@DIGEST@', () => digest)
    .replace('<!-- SCRIPT -->', () => `<script type="module">${script}</script>`);
  mkdirSync(join(dist, 'page'), { recursive: true });
  writeFileSync(target, html);
}

function filesUnder(folder) {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name));
}

function modified(path) {
  return statSync(path).mtimeMs;
}

function newest(paths) {
  return Math.max(0, ...paths.map(modified));
}

function onPath(tool) {
  return (process.env.PATH ?? '')
    .split(':')
    .some((folder) => folder !== '' && existsSync(join(folder, tool)));
}
