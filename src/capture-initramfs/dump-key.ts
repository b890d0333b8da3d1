/** The file that `saveoops build --dump-key` names: public keys, of age or SSH, to which dumps are encrypted. */
import { SaveoopsError } from '../errors.js';
import { readInput } from '../host/files.js';
import { runTool } from '../host/run-tool.js';

/**
 * Reads it. What is in the file goes into the payload, which lies on a boot medium for everyone to read, and nothing of
 * it into a message: it may be the private key, given by mistake.
 *
 * Throws `file`, `wrong-file` for a private key, `format` for what age does not take, `tool` without age.
 */
export async function readDumpKey(path: string): Promise<Uint8Array> {
  const bytes = await readInput(path, 'a file with public keys, of age or SSH');
  const wanted = 'public keys, one a line: age1..., ssh-ed25519 ... or ssh-rsa ...';
  // AGE-SECRET-KEY-1..., AGE-PLUGIN-...; -----BEGIN OPENSSH PRIVATE KEY----- and its older kin.
  if (/AGE-SECRET-KEY-|AGE-PLUGIN-|PRIVATE KEY/i.test(Buffer.from(bytes).toString('latin1'))) {
    throw new SaveoopsError('wrong-file', 'a private key cannot be the key that dumps are encrypted to', {
      where: path,
      found: 'a private key',
      wanted,
      hint: 'age-keygen -y KEYFILE gives the public key of an age key; of an SSH key it is the file that ends in .pub',
    });
  }
  try {
    // The bytes that were read, not the file once more: what is checked is what is taken.
    await runTool('age', ['--encrypt', '-R', '-', '/dev/null'], { input: bytes });
  } catch (error) {
    if (error instanceof SaveoopsError && /is not installed/.test(error.message)) throw error;
    throw new SaveoopsError('format', 'not a file with public keys', {
      where: path,
      found: 'what age does not take as recipients',
      wanted,
      hint: `echo | age -R ${path} >/dev/null`,
    });
  }
  return bytes;
}
