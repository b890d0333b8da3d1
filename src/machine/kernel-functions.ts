/** Names to addresses of one kernel's functions, for breakpoints. */
import { SaveoopsError } from '../errors.js';
import { parseBzImage } from '../formats/bzimage/parse-bzimage.js';
import { decompressPayload } from '../formats/bzimage/payload.js';
import { parseElf } from '../formats/elf/parse-elf.js';
import { parseKallsyms, type Kallsyms } from '../formats/kallsyms/kallsyms.js';
import { readInput } from '../host/files.js';

/** Reads the symbols of a bzImage. Throws what the formats throw; takes seconds for an xz kernel. */
export async function readKernelSymbols(path: string): Promise<Kallsyms> {
  const image = parseBzImage(await readInput(path, 'the kernel that the payload was built from'), path);
  return parseKallsyms(parseElf(await decompressPayload(image.payload, path), path));
}

/** Link-time virtual address of a function, or undefined when no function has the name. */
export function functionAddress(kallsyms: Kallsyms, name: string): bigint | undefined {
  const isCode = (address: bigint): boolean =>
    kallsyms.symbolsAt(address).some((symbol) => symbol.name === name && /^[TtWw]$/.test(symbol.type));
  const found = [...new Set(kallsyms.addresses(name))].filter(isCode);
  if (found.length <= 1) return found[0];
  throw new SaveoopsError('missing-fact', `${found.length} functions are called ${name}`, {
    where: `${kallsyms.source}, kallsyms`,
    found: found.map((address) => `0x${address.toString(16)}`).join(', '),
    wanted: 'a function whose name is its own',
  });
}

/** As functionAddress; throws `missing-fact` with the nearest names when there is none. */
export function requireFunction(kallsyms: Kallsyms, name: string): bigint {
  const address = functionAddress(kallsyms, name);
  if (address !== undefined) return address;
  const near = nearNames(functionNames(kallsyms), name);
  throw new SaveoopsError('missing-fact', `the kernel has no function ${name}`, {
    where: `${kallsyms.source}, kallsyms`,
    found: near.length === 0 ? 'no name like it' : `near matches: ${near.join(', ')}`,
    wanted: 'a function of this kernel; the compiler removes those that it inlines everywhere',
  });
}

function* functionNames(kallsyms: Kallsyms): Generator<string> {
  for (const symbol of kallsyms) if (/^[TtWw]$/.test(symbol.type)) yield symbol.name;
}

/** Up to five names: fewest edits first, a name that contains the wanted one counting as one edit. */
export function nearNames(names: Iterable<string>, wanted: string): readonly string[] {
  const limit = Math.max(1, Math.floor(wanted.length / 4));
  const scored = new Map<string, number>();
  for (const name of names) {
    const score = name.includes(wanted) ? 1 + name.length / 1000 : editDistance(name, wanted, limit);
    if (score <= limit + 1) scored.set(name, score);
  }
  return [...scored]
    .sort((a, b) => a[1] - b[1] || (a[0] < b[0] ? -1 : 1))
    .slice(0, 5)
    .map(([name]) => name);
}

/** Levenshtein's distance, or Infinity when it is beyond `limit`. */
function editDistance(a: string, b: string, limit: number): number {
  if (Math.abs(a.length - b.length) > limit) return Infinity;
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const replace = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(replace, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    if (Math.min(...next) > limit) return Infinity;
    row = next;
  }
  const distance = row[b.length] ?? Infinity;
  return distance <= limit ? distance : Infinity;
}
