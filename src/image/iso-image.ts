/**
 * An isohybrid image: boots as a CD through isolinux, and as a disk when written to a stick. Files lie in
 * /isolinux beside isolinux.bin and the ldlinux.c32 of the same Syslinux version. For UEFI the file /efi.img is an EFI system
 * partition with the same files once more, since syslinux.efi reads no ISO 9660: El Torito names it, and so does the GPT.
 * It must be a file: its size is beyond what El Torito can say, so firmware takes it to reach to the end of the volume, which
 * an appended partition would lie behind (UEFI 2.10, 13.3.2.1; EDK2's PartitionDxe then finds nothing).
 */
import { stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { permissionsOf } from '../host/files.js';
import { runTool } from '../host/run-tool.js';
import { withTemporaryFolder } from '../host/files.js';
import { bootsByEfi, makeEfiPartition, type MadeImage } from './disk-image.js';
import {
  reproducibleEnvironment,
  requireUnchanged,
  sizeImageFiles,
  type ImageFile,
  type SizedImageFile,
} from './image-files.js';
import { renameWhenDone } from './rename-when-done.js';
import { efiNeeds, isoImageNeeds, requireOnHost, syslinuxFiles } from './requirements.js';

async function sizeIsoFiles(files: readonly ImageFile[]): Promise<readonly SizedImageFile[]> {
  await requireOnHost([...isoImageNeeds, ...(bootsByEfi(files) ? efiNeeds : [])]);
  return await sizeImageFiles([
    { name: 'isolinux.bin', source: syslinuxFiles.isolinux },
    // One of the user's own would come from another version and not load.
    { name: 'ldlinux.c32', source: syslinuxFiles.ldlinux },
    ...files.filter((file) => file.name.toLowerCase() !== 'ldlinux.c32'),
  ]);
}

/** What makeIsoImage would make; xorriso alone knows the size. Throws as it does, but for what goes wrong in writing. */
export async function planIsoImage(
  files: readonly ImageFile[],
): Promise<{ readonly size: null; readonly fileSystem: 'ISO 9660' }> {
  await sizeIsoFiles(files);
  return { size: null, fileSystem: 'ISO 9660' };
}

/**
 * Writes an ISO image with `files` to `out`; the same files give the same bytes. Throws as makeDiskImage does.
 * Options: xorrisofs(1). Rock Ridge (-R) keeps the names, which Syslinux compares with case on ISO.
 */
export async function makeIsoImage(files: readonly ImageFile[], out: string): Promise<MadeImage> {
  const sized = await sizeIsoFiles(files);
  const mode = await permissionsOf(sized.map(({ source }) => source));
  const efi = bootsByEfi(files);
  return await withTemporaryFolder(
    async (folder) =>
      await renameWhenDone(out, mode, async (temporary) => {
        const partition = join(folder, 'efi.img');
        if (efi) {
          await writeFile(partition, '');
          await makeEfiPartition(partition, files);
        }
        await runTool(
          'xorriso',
          [
            ...['-as', 'mkisofs', '-quiet', '-o', temporary, '-V', 'SAVEOOPS', '-J', '-joliet-long', '-R'],
            ...['-iso-level', '3', '--set_all_file_dates', '2000010100000000'],
            ...['-uid', '0', '-gid', '0', '-dir-mode', '0755', '-file-mode', '0644'],
            ...['-isohybrid-mbr', syslinuxFiles.isohybridMbr],
            ...['-b', 'isolinux/isolinux.bin', '-c', 'isolinux/boot.cat'],
            ...['-no-emul-boot', '-boot-load-size', '4', '-boot-info-table', '-graft-points'],
            ...(efi ? efiOptions : []),
            ...(efi ? [`/efi.img=${graftPath(partition)}`] : []),
            // In graft points `=` and `\` are special: names cannot hold a `\`, sources may hold either.
            ...sized.map((file) => `/isolinux/${graftPath(file.name)}=${graftPath(file.source)}`),
          ],
          { env: reproducibleEnvironment },
        );
        await requireUnchanged(sized);
        return { size: (await stat(temporary)).size, fileSystem: 'ISO 9660' as const };
      }),
  );
}

/** A second El Torito entry that is a partition of the GPT. */
const efiOptions = ['-eltorito-alt-boot', '-e', 'efi.img', '-no-emul-boot', '-isohybrid-gpt-basdat'];

function graftPath(path: string): string {
  return path.replaceAll('\\', '\\\\').replaceAll('=', '\\=');
}
