/** Writes EFI_SIGNATURE_LISTs, as firmware and shim keep certificates (UEFI specification, "Signature Database"). */
import { ByteWriter } from '../bytes/byte-writer.js';

const x509 = 'a159c0a5e494a74a87b5ab155c2bf072';
const sha256 = '2616c4c14c509240aca941f936934328';

/** One list for each certificate, as mokutil and firmware's set-up do, after one of a hash. */
export function signatureLists(certificates: readonly Uint8Array[]): Uint8Array {
  const list = (type: string, data: Uint8Array): Uint8Array => {
    const header = ByteWriter.ofSize(28);
    header.put(0, Buffer.from(type, 'hex'));
    header.u32(16, 28 + 16 + data.length);
    header.u32(24, 16 + data.length);
    return Buffer.concat([header.bytes, new Uint8Array(16).fill(0x11), data]);
  };
  return Buffer.concat([
    list(sha256, new Uint8Array(32).fill(0xaa)),
    ...certificates.map((der) => list(x509, der)),
  ]);
}
