/** What the configuration file of a system says of one option, for those who build nothing. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parse } from 'yaml';

/**
 * Never throws: undefined where there is no /etc/saveoops.yaml, or none that can be read, or where it does not have the key. A file
 * that is no configuration says nothing here: whoever builds with it is told what is wrong. The value is not checked.
 * @param root "/" of the system
 */
export async function configuredValue(root: string, key: string): Promise<unknown> {
  try {
    const values: unknown = parse(await readFile(join(root, 'etc/saveoops.yaml'), 'utf8'), {
      maxAliasCount: 0,
    });
    if (!(values instanceof Object)) return undefined;
    return Object.entries(values).find(([name]) => name === key)?.[1];
  } catch {
    return undefined;
  }
}
