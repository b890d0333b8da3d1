/**
 * Template of the boot_params that the crash kernel gets; the entry stub adds addresses, E820, screen_info and the
 * RSDP. Source: Documentation/arch/x86/boot.rst, "32-bit Boot Protocol", and zero-page.rst.
 */
import { ByteWriter } from '../bytes/byte-writer.js';
import type { BzImage } from '../formats/bzimage/parse-bzimage.js';
import { LOADED_HIGH, SETUP_HEADER_OFFSET, setupHeaderFields } from '../formats/bzimage/setup-header.js';

const bootParamsSize = 4096;
const undefinedLoader = 0xff;
const normalVideoMode = 0xffff;

/** 4096 bytes: all zero but the setup header. */
export function crashBootParams(kernel: BzImage): Uint8Array {
  const writer = ByteWriter.ofSize(bootParamsSize);
  // boot.rst: "the end of setup header can be calculated as 0x0202 + byte value at offset 0x0201"
  const end = 0x202 + (kernel.setup[0x201] ?? 0);
  writer.put(SETUP_HEADER_OFFSET, kernel.setup.subarray(SETUP_HEADER_OFFSET, end));
  const offset = (name: string): number =>
    setupHeaderFields.find((field) => field.name === name)?.offset ?? Number.NaN;
  writer.u8(offset('type_of_loader'), undefinedLoader);
  writer.u8(offset('loadflags'), LOADED_HIGH);
  writer.u16(offset('vid_mode'), normalVideoMode);
  return writer.bytes;
}
