/** Which code has run, from V8's own counters: the sense of direction of the fuzzer. */
import { Session, type Profiler } from 'node:inspector';

/** Newly covered characters of a function's source: where, and how to undo it. */
interface News {
  readonly covered: Uint8Array;
  readonly offset: number;
}

export class Coverage {
  readonly #session = new Session();
  /** By script and function: for each character of its source whether it has run. */
  readonly #functions = new Map<string, Uint8Array>();
  #latest: News[] = [];
  #size = 0;
  readonly #wanted: (url: string) => boolean;

  /** @param wanted whether the script of this URL counts */
  constructor(wanted: (url: string) => boolean) {
    this.#wanted = wanted;
    this.#session.connect();
    this.#session.post('Profiler.enable');
    this.#session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: true });
  }

  /** How many characters of source have been seen to run. */
  get size(): number {
    return this.#size;
  }

  /** Whether anything ran since the last call that had not run before. */
  news(): boolean {
    this.#latest = [];
    // The session is of this very thread: the answer comes before post() returns.
    this.#session.post('Profiler.takePreciseCoverage', (error, taken) => {
      if (error !== null) return;
      for (const script of taken.result) if (this.#wanted(script.url)) this.#add(script);
    });
    this.#size += this.#latest.length;
    return this.#latest.length > 0;
  }

  /** Makes the last call's news news again, to see which of several inputs they came from. */
  forget(): void {
    for (const { covered, offset } of this.#latest) covered[offset] = 0;
    this.#size -= this.#latest.length;
  }

  /**
   * Ranges are nested, the outer first; where they begin and end depends on what ran (V8 joins neighbours with equal
   * counts), so they are painted on the source, function by function.
   */
  #add({ scriptId, functions }: Profiler.ScriptCoverage): void {
    for (const { ranges } of functions) {
      const [whole] = ranges;
      if (whole === undefined || whole.count === 0) continue;
      const key = `${scriptId}:${whole.startOffset}`;
      const size = whole.endOffset - whole.startOffset;
      const covered = this.#functions.get(key) ?? new Uint8Array(size);
      this.#functions.set(key, covered);
      const now = new Uint8Array(size);
      for (const { startOffset, endOffset, count } of ranges) {
        now.fill(count > 0 ? 1 : 0, startOffset - whole.startOffset, endOffset - whole.startOffset);
      }
      for (let offset = 0; offset < size; offset++) {
        if (now[offset] !== 1 || covered[offset] === 1) continue;
        covered[offset] = 1;
        this.#latest.push({ covered, offset });
      }
    }
  }
}
