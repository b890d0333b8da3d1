/** A photograph of a screen with a panic's QR code. */
import { promisify } from 'node:util';
import { inflate } from 'node:zlib';
import { ExecaError } from 'execa';
import { SaveoopsError } from '../errors.js';
import { runTool } from '../host/run-tool.js';
import { parsePanicCode } from './panic-code.js';

/** What pictures begin with: PNG, JPEG, the PNM formats, BMP, WebP and TIFF. zbarimg tells what it can read. */
const pictures =
  /^(?:\x89PNG\r\n|\xff\xd8\xff|P[1-6]\s|BM.{4}\0\0\0\0|RIFF.{4}WEBP|II\*\0|MM\0\*|.{4}ftyp(?:heic|mif1|avif))/s;

export function isPicture(bytes: Uint8Array): boolean {
  return pictures.test(Buffer.from(bytes.subarray(0, 16)).toString('latin1'));
}

/** Of the log in a code: the largest code has 2953 bytes, and no log is packed to a hundredth. */
const largestLog = 1 << 20;
/** zbarimg's exit status where it has found none. */
const noSymbol = 4;

export interface PhotographedLog {
  readonly log: string;
  readonly release: string | undefined;
}

/**
 * The end of a log, from the QR code in a picture. Throws `tool` when zbarimg is missing or cannot read the picture, and `format`
 * when the picture has no code, or one that is none of a panic.
 */
export async function readPhoto(path: string): Promise<PhotographedLog> {
  const text = await codeIn(path);
  const code = parsePanicCode(text);
  if (code === undefined) {
    // drm_panic without an URL puts the log into the code as it is.
    if (/^(?:<\d+>)?\[ *\d+\.\d+\]/m.test(text)) return { log: text, release: undefined };
    throw new SaveoopsError('format', 'a QR code that does not tell of a panic', {
      where: path,
      found: JSON.stringify(text.slice(0, 100)),
      wanted: "the code of Saveoops' last screen or of the kernel's drm_panic: a=, v= and z= with digits",
    });
  }
  try {
    const log = await promisify(inflate)(code.zlib, { maxOutputLength: largestLog });
    return { log: log.toString(), release: code.release };
  } catch (error) {
    throw new SaveoopsError('format', "the QR code's log does not unpack", {
      where: path,
      found: error instanceof Error ? error.message : String(error),
      wanted: 'a zlib stream',
      cause: error,
    });
  }
}

async function codeIn(path: string): Promise<string> {
  const options = ['--quiet', '--raw', '-Sdisable', '-Sqrcode.enable'];
  try {
    return Buffer.from(await runTool('zbarimg', [...options, '--', path])).toString();
  } catch (error) {
    const cause = error instanceof SaveoopsError ? error.cause : undefined;
    if (!(cause instanceof ExecaError) || cause.exitCode !== noSymbol) throw error;
    throw new SaveoopsError('format', 'no QR code in the picture', {
      where: path,
      found: 'nothing that zbarimg can read',
      wanted: 'a photograph of the whole code, sharp and straight on',
      hint: 'take it again, nearer, without reflections; several pictures are better than one',
      cause: error,
    });
  }
}
