/** `saveoops repack`: another command line or initramfs in a payload, without the work of a build. */
import { mebibytes } from '../bytes/mebibytes.js';
import { configFile } from '../compose/payload-files.js';
import type { ResultIo } from '../host/output.js';
import { isPayloadName, repack, type RepackRequest, type RepackResult } from '../library/repack.js';
import { forJson } from '../safe-text.js';

export interface RepackOptions extends RepackRequest {
  readonly json?: boolean | undefined;
}

/** Throws what repack() throws. */
export async function runRepack({ json, ...request }: RepackOptions, io: ResultIo): Promise<void> {
  const result = await repack(request, io);
  io.out(json === true ? `${forJson(result)}\n` : render(request, result));
}

function render({ append }: RepackRequest, result: RepackResult): string {
  const { out, dryRun, files } = result;
  const lines = [`${out}: ${mebibytes(result.size)}, ${mebibytes(result.reserved)} of RAM reserved`];
  if (isPayloadName(out) && append !== undefined) {
    lines.push(`The primary's command line is in ${configFile}; the armed entry needs`);
    lines.push(`  APPEND ${result.append}`);
  }
  if (dryRun) lines.push(`Nothing was written; without --dry-run: ${files.join(', ')}`);
  return `${lines.join('\n')}\n`;
}
