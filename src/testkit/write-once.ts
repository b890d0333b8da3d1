/** One `writeTogether` as a process of its own, to be killed: FOLDER TEXT. Writes three files that repeat the text. */
import { exitCodeOf, renderError, SaveoopsError } from '../errors.js';
import { writeTogether } from '../host/files.js';

const [folder = '', text = ''] = process.argv.slice(2);
const chunks = [1, 2, 3].map(() => Buffer.from(text.repeat(20_000)));
console.log(process.pid);
try {
  await writeTogether(
    folder,
    ['a', 'b', 'c'].map((name) => ({ name, chunks })),
  );
} catch (error) {
  if (!(error instanceof SaveoopsError)) throw error;
  console.error(renderError(error));
  process.exitCode = exitCodeOf[error.kind];
}
