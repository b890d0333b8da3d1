/** Wall-clock time of commands that do nothing but start, against a Node process that does nothing. Alternating runs, medians. */
import type { Figure } from './figures.js';
import { cli, median, timed } from './timed.js';

const runs = 15;
/** 120 ms where Node takes 40 to start. */
const goal = 3;
const commands = { '--version': ['--version'], '--help': ['--help'], 'build --help': ['build', '--help'] };

export function benchStart(): readonly Figure[] {
  const own = Object.values(commands).map((): number[] => []);
  const node: number[] = [];
  for (let i = 0; i < runs; i++) {
    node.push(timed(process.execPath, ['-e', '0']));
    Object.values(commands).forEach((args, index) =>
      own[index]?.push(timed(process.execPath, [cli, ...args])),
    );
  }
  return Object.keys(commands).map((name, index) => ({
    what: `saveoops ${name}, median of ${runs}`,
    own: median(own[index] ?? []),
    anchor: 'node -e 0',
    anchored: median(node),
    unit: 's',
    goal,
  }));
}
