/** Where the captures of an installed system are: `saveoops.save=boot` on its usual mount points. */
import { stat } from 'node:fs/promises';
import { join } from 'node:path';

const usual: readonly string[] = ['boot/saveoops', 'boot/efi/saveoops', 'saveoops'];

/** Those that exist. @param root "/" of the system */
export async function capturePlaces(root: string): Promise<readonly string[]> {
  const places = usual.map((place) => join(root, place));
  const exists = await Promise.all(
    places.map((place) =>
      stat(place).then(
        (status) => status.isDirectory(),
        () => false,
      ),
    ),
  );
  return places.filter((_, index) => exists[index] === true);
}
