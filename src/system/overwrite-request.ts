/**
 * Whether firmware has been asked to clear RAM at the next reset: the variable MemoryOverwriteRequestControl of UEFI, which
 * Linux' EFI stub sets on machines with a TPM (CONFIG_RESET_ATTACK_MITIGATION; TCG PC Client Platform Reset Attack Mitigation
 * Specification). It is read only: to take the request back is a decision about security.
 */
import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';

const variable = 'MemoryOverwriteRequestControl-e20939be-32d4-41be-a150-897f85d49829';
/** efivarfs puts the attributes first, bytes; the variable itself is one byte. */
const attributes = 4;
const size = attributes + 1;
/** ClearMemory. */
const clearMemory = 1;

/**
 * Never throws: undefined where there is no such variable (BIOS, firmware without a TPM), or none as it should be.
 * @param root "/" of the system
 */
export async function readOverwriteRequest(root: string): Promise<boolean | undefined> {
  try {
    // A file in its place that is none, a pipe say, must not keep us here.
    const file = await open(
      join(root, 'sys/firmware/efi/efivars', variable),
      constants.O_RDONLY | constants.O_NONBLOCK,
    );
    try {
      // A byte more than there should be: what is longer is another thing.
      const { bytesRead, buffer } = await file.read(Buffer.alloc(size + 1), 0, size + 1, 0);
      return bytesRead === size ? (buffer.readUInt8(attributes) & clearMemory) !== 0 : undefined;
    } finally {
      await file.close();
    }
  } catch {
    return undefined;
  }
}
