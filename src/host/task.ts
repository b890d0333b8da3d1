/**
 * What a caller of the library wants to hear of a long piece of work, and how it ends the work early. It is bound to the
 * asynchronous work itself, not to the process: two builds at once have two, and no function in between hands it on.
 */
import { AsyncLocalStorage } from 'node:async_hooks';

/** What is going on. */
export type Progress =
  /** A new step has begun: a few words for a person, "Arming the kernel". */
  | { readonly kind: 'step'; readonly text: string }
  /** A host tool has ended. */
  | {
      readonly kind: 'tool';
      /** Its name and its arguments. */
      readonly command: readonly string[];
      readonly seconds: number;
    };

/** How a caller follows and ends the work of one call. */
export interface RunOptions {
  /** Ends the work: host tools and machines are stopped, nothing appears under its final name, and the call rejects with `signal.reason`. */
  readonly signal?: AbortSignal | undefined;
  /** Called while the work goes on. What it throws ends the work. */
  readonly onProgress?: ((progress: Progress) => void) | undefined;
}

const tasks = new AsyncLocalStorage<RunOptions>();

/** Does `work` as a task of its own. Rejects with the signal's reason once it is aborted, else as `work` does. */
export async function asTask<T>(run: RunOptions, work: () => Promise<T>): Promise<T> {
  run.signal?.throwIfAborted();
  try {
    return await tasks.run(run, work);
  } catch (error) {
    // Whatever a stopped tool has come to is only its consequence.
    run.signal?.throwIfAborted();
    throw error;
  }
}

/** The signal of the task that this is part of. */
export function abortSignal(): AbortSignal | undefined {
  return tasks.getStore()?.signal;
}

/** Says what begins now. Throws the signal's reason when the task was aborted. */
export function step(text: string): void {
  abortSignal()?.throwIfAborted();
  tasks.getStore()?.onProgress?.({ kind: 'step', text });
}

/** @param started by performance.now() */
export function toolEnded(command: readonly string[], started: number): void {
  tasks.getStore()?.onProgress?.({ kind: 'tool', command, seconds: (performance.now() - started) / 1000 });
}
