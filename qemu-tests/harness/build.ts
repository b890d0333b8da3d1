/** `saveoops build` with its defaults, for tests that care about an option or two. */
import { runBuild, type BuildOptions } from '../../src/commands/build.js';

/** All of build's options with the values that the command line gives them by default. */
const defaults: Omit<BuildOptions, 'kernel' | 'out'> = {
  initrd: [],
  initrdBeside: false,
  append: '',
  oopsPanic: false,
  crashKernel: undefined,
  crashInitrd: undefined,
  crashAppend: '',
  crashSize: undefined,
  resetVga: false,
  afterReset: false,
  resetPic: false,
  save: undefined,
  dump: 'none',
  dumpKey: undefined,
  keep: 0,
  maxCapturesInARow: 3,
  fallbackEntry: 'saveoops-plain',
  captureTools: undefined,
  modules: undefined,
  captureModule: [],
  signKey: undefined,
  signCert: undefined,
  format: 'com32',
  json: false,
};

export type GivenOptions = Pick<BuildOptions, 'kernel' | 'out'> & Partial<BuildOptions>;

/** Builds a payload without a word. Throws what runBuild() throws. */
export async function buildPayloadFolder(given: GivenOptions): Promise<void> {
  await runBuild({ ...defaults, ...given }, { out: () => undefined });
}
