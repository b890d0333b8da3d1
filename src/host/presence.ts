/** Whether something is there. What may not be looked at counts as not there: whoever then needs it gets the reason. */
import { stat } from 'node:fs/promises';

export async function exists(path: string): Promise<boolean> {
  return await stat(path).then(
    () => true,
    () => false,
  );
}

export async function isFolder(path: string): Promise<boolean> {
  return await stat(path).then(
    (status) => status.isDirectory(),
    () => false,
  );
}
