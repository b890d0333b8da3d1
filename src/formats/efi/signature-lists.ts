/**
 * EFI_SIGNATURE_LIST (UEFI specification, "Signature Database"): what the variables db, dbx, MokListRT and MokListXRT hold, lists one
 * after the other:
 *
 *   0   16  type of the signatures, a GUID
 *   16  4   size of this list, with this header
 *   20  4   size of a header of the type's own, which follows
 *   24  4   size of one signature
 *   28      that header, then the signatures: 16 bytes owner, then what the type says
 *
 * All little-endian.
 */
import { ByteView } from '../../bytes/byte-reader.js';
import { SaveoopsError } from '../../errors.js';

const headerSize = 28;
const ownerSize = 16;
/** EFI_CERT_X509_GUID, a5c059a1-94e4-4aa7-87b5-ab155c2bf072, as it lies in memory. */
const x509 = 'a159c0a5e494a74a87b5ab155c2bf072';

/** The certificates (DER), in order; signatures of other kinds, hashes of images among them, are left out. Throws `truncated`, `format`. */
export function certificatesOf(data: Uint8Array, source: string): readonly Uint8Array[] {
  const view = new ByteView(data, source);
  const found: Uint8Array[] = [];
  for (let at = 0; at < view.length;) {
    const size = view.u32(at + 16, 'SignatureListSize');
    const own = view.u32(at + 20, 'SignatureHeaderSize');
    const each = view.u32(at + 24, 'SignatureSize');
    if (size < headerSize + own || each <= ownerSize) {
      throw new SaveoopsError('format', 'a signature list that contradicts itself', {
        where: `${source}, offset ${at}`,
        found: `${size} bytes with a header of ${own}, ${each} for one signature`,
        wanted: 'an EFI_SIGNATURE_LIST',
      });
    }
    const { bytes: list } = view.slice(at, size, 'signature list');
    const isX509 = Buffer.from(list.subarray(0, 16)).toString('hex') === x509;
    for (let one = headerSize + own; isX509 && one + each <= size; one += each) {
      found.push(list.slice(one + ownerSize, one + each));
    }
    at += size;
  }
  return found;
}
