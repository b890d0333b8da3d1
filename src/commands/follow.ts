/** What a person sees of work that takes a while: on a terminal one line that says what is going on; with --verbose each step and each host tool. */
import { shellWord } from '../host/shell-word.js';
import type { Output } from '../host/output.js';
import type { Progress, RunOptions } from '../host/task.js';
import { forTerminal } from '../safe-text.js';

/** Where a command writes, and whom it tells what it does. */
export interface CommandIo extends Output, RunOptions {}

export interface Followed {
  readonly io: CommandIo;
  /** Takes the line away. */
  readonly end: () => void;
}

/** With `quiet` only errors are written, and what a program asked for by --json. */
export async function follow(
  output: Output,
  { quiet, verbose, json }: { readonly quiet: boolean; readonly verbose: boolean; readonly json: boolean },
): Promise<Followed> {
  const silenced = quiet && !json ? { ...output, out: () => undefined } : output;
  if (verbose)
    return { io: { ...silenced, onProgress: (progress) => say(progress, output) }, end: () => undefined };
  if (quiet || !process.stderr.isTTY) return { io: silenced, end: () => undefined };
  const { default: yoctoSpinner } = await import('yocto-spinner');
  // cli.ts handles signals: by process.exit(), at which the cursor comes back.
  const spinner = yoctoSpinner({ stream: process.stderr, handleSignals: false });
  const end = (): void => {
    if (spinner.isSpinning) spinner.stop();
  };
  process.once('exit', end);
  const onProgress = (progress: Progress): void => {
    if (progress.kind !== 'step') return;
    const text = forTerminal(progress.text);
    if (spinner.isSpinning) spinner.text = text;
    else spinner.start(text);
  };
  return { io: { ...silenced, onProgress }, end };
}

function say(progress: Progress, { progress: write }: Output): void {
  if (progress.kind === 'step') write(`${progress.text}\n`);
  else write(`  ${progress.command.map(shellWord).join(' ')}  (${progress.seconds.toFixed(2)} s)\n`);
}
