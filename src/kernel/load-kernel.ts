/** From the bytes of a bzImage to all that Saveoops wants to know of it. */
import { parseBzImage, type BzImage } from '../formats/bzimage/parse-bzimage.js';
import { decompressPayload } from '../formats/bzimage/payload.js';
import { parseElfBtf, type Btf } from '../formats/btf/parse-btf.js';
import { parseElf, type Elf } from '../formats/elf/parse-elf.js';
import { parseKallsyms, type Kallsyms } from '../formats/kallsyms/kallsyms.js';
import { flattenKernel, type FlatImage } from './flat-image.js';
import { parseRelocations, type Relocations } from './relocations.js';

export interface Kernel {
  readonly bzImage: BzImage;
  readonly elf: Elf;
  readonly image: FlatImage;
  readonly relocations: Relocations;
  readonly kallsyms: Kallsyms;
  readonly btf: Btf;
}

/** Takes vmlinux out of a bzImage and reads it. Throws what the parsers of each format throw. */
export async function loadKernel(bytes: Uint8Array, source: string): Promise<Kernel> {
  const bzImage = parseBzImage(bytes, source);
  const payload = await decompressPayload(bzImage.payload, source);
  const elf = parseElf(payload, `${source}: vmlinux`);
  const elfEnd = elf.header.e_shoff + elf.header.e_shnum * elf.header.e_shentsize;
  return {
    bzImage,
    elf,
    image: flattenKernel(elf),
    relocations: parseRelocations(payload.subarray(elfEnd), source),
    kallsyms: parseKallsyms(elf),
    btf: parseElfBtf(elf),
  };
}
