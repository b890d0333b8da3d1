/** `saveoops explain FUNCTION|ADDRESS PAYLOAD`: what happens when the kernel panics there. */
import type { ResultIo } from '../host/output.js';
import { explain, type Explanation } from '../library/explain.js';
import { forJson, forTerminal } from '../safe-text.js';

export interface ExplainOptions {
  readonly place: string;
  readonly payload: string;
  readonly json: boolean;
}

/** Throws what explain() throws. */
export async function runExplain({ place, payload, json }: ExplainOptions, io: ResultIo): Promise<void> {
  const explanation = await explain(place, payload, io);
  io.out(json ? `${forJson(explanation)}\n` : render(explanation));
}

function render(explanation: Explanation): string {
  const { release, address, offset, captured, how, notes, readers, remarks } = explanation;
  const place = `${explanation.function}${offset === 0 ? '' : `+0x${offset.toString(16)}`}`;
  const rows: [string, string][] = [
    ['kernel', `Linux ${release}`],
    ['runs', explanation.moment],
    ['captured', `${captured}: ${how}`],
    ['interrupts', explanation.quiescing],
    ...notes.map((note): [string, string] => ['note', note]),
    ...readers.map(({ name, reads, remark }): [string, string] => [
      'reader',
      `${name}: ${reads === 'unknown' ? 'not known' : reads}${remark === '' ? '' : ` (${remark})`}`,
    ]),
    ...remarks.map((remark): [string, string] => ['also', remark]),
  ];
  // JSON has the function's own address, and the offset.
  const at = `0x${(BigInt(address) + BigInt(offset)).toString(16)}`;
  return [`panic() in ${place} at ${at}`, ...rows.map(([name, text]) => `${name.padEnd(10)}  ${text}`)]
    .map((line) => `${forTerminal(line)}\n`)
    .join('');
}
