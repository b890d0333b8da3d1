/**
 * Standard output and standard error. Nothing that they print acts in a terminal: names of files, and what is read from
 * kernels, payloads and logs, may hold escape sequences.
 */
import { exitCodeOf, renderError } from '../errors.js';
import { linesForTerminal } from '../safe-text.js';
import { fileError } from './files.js';
import type { RunOptions } from './task.js';

export interface Output {
  /** Standard output: what was asked for. */
  readonly out: (text: string) => void;
  /** Standard error: what is said meanwhile. */
  readonly progress: (text: string) => void;
}

/** Where a command prints its result, and whom it tells what it does. */
export type ResultIo = Pick<Output, 'out'> & RunOptions;

/**
 * A reader that has seen enough (`| head`) ends no work: a boot menu is to be written to its end. Any other failure of
 * standard output is an error of its own, and sets the exit code; for standard error nobody is left to tell.
 */
export function openOutput(): Output {
  const progress = (text: string): void => {
    process.stderr.write(linesForTerminal(text));
  };
  process.stderr.on('error', () => undefined);
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') return;
    const failure = fileError('standard output', 'a file or a pipe that takes it', error);
    progress(`${renderError(failure)}\n`);
    process.once('exit', () => {
      process.exitCode = exitCodeOf[failure.kind];
    });
  });
  return {
    out: (text) => {
      process.stdout.write(linesForTerminal(text));
    },
    progress,
  };
}
