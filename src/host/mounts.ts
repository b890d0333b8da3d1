/** What is mounted where, and udev's names of file systems. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

/** By what an option names a file system (`UUID=...`): the folder of /dev/disk with links of such names. */
export const deviceLinkFolders: Readonly<Record<string, string>> = {
  LABEL: 'by-label',
  UUID: 'by-uuid',
  PARTLABEL: 'by-partlabel',
  PARTUUID: 'by-partuuid',
};

export interface Mount {
  /** The folder of the file system that is mounted; "/": all of it. */
  readonly top: string;
  readonly point: string;
  readonly type: string;
  readonly source: string;
}

/** In the order in which they were made; none where it cannot be read. Source: proc_pid_mountinfo(5). @param root where proc/ is */
export async function readMounts(root: string): Promise<readonly Mount[]> {
  const text = await readFile(join(root, 'proc/self/mountinfo'), 'utf8').catch(() => '');
  return text.split('\n').flatMap((line) => {
    const [before = '', after = ''] = line.split(' - ', 2);
    const [, , , top, point] = before.split(' ');
    const [type, source] = after.split(' ');
    if (top === undefined || point === undefined || type === undefined || source === undefined) return [];
    return [{ top, point: unescape(point), type, source: unescape(source) }];
  });
}

/** Blanks and backslashes of a path are three octal digits there. */
function unescape(path: string): string {
  return path.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(parseInt(digits, 8)));
}
