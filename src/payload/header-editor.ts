/** Changes the headers of a composed image and keeps what was there, for the manifest and for taking it apart again. */
import { ByteView } from '../bytes/byte-reader.js';
import { ByteWriter } from '../bytes/byte-writer.js';
import { SaveoopsError } from '../errors.js';
import { setupHeaderFields, type SetupHeaderName } from '../formats/bzimage/setup-header.js';
import type { KernelEdit } from '../kernel/evidence.js';

const fileOffset = 'file offset 0x';

export class HeaderEditor {
  readonly bytes: Uint8Array;
  readonly edits: KernelEdit[] = [];
  private readonly writer: ByteWriter;

  /** @param bytes the composed file, which is changed */
  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
    this.writer = new ByteWriter(bytes);
  }

  /** A field of the setup header of at most four bytes. */
  header(name: SetupHeaderName): number {
    const { offset, size } = headerField(name);
    const field = Buffer.from(this.bytes.buffer, this.bytes.byteOffset + offset, size);
    return field.readUIntLE(0, size);
  }

  setHeader(name: SetupHeaderName, value: number): void {
    const { offset, size } = headerField(name);
    const field = Buffer.alloc(size);
    field.writeUIntLE(value, 0, size);
    this.put(`setup header ${name}`, offset, field);
  }

  /** Bytes that stay the same are no edit. */
  put(what: string, offset: number, bytes: Uint8Array): void {
    const before = hex(this.bytes.subarray(offset, offset + bytes.length));
    this.writer.put(offset, bytes);
    const after = hex(bytes);
    if (before !== after)
      this.edits.push({ what, address: `${fileOffset}${offset.toString(16)}`, before, after });
  }
}

/** Whether an edit of the manifest is one of these; the others are the kernel's own. */
export function isHeaderEdit({ address }: KernelEdit): boolean {
  return address.startsWith(fileOffset);
}

/**
 * The setup sectors before editing. Throws `format` for edits that are not those of these bytes.
 * @param source names the payload, for errors
 */
export function undoHeaderEdits(setup: Uint8Array, edits: readonly KernelEdit[], source: string): Uint8Array {
  const view = new ByteView(Uint8Array.from(setup), `${source}: setup`);
  for (const { what, address, before, after } of edits.filter(isHeaderEdit).reverse()) {
    const offset = Number.parseInt(address.slice(fileOffset.length), 16);
    const bytes = Buffer.from(before, 'hex');
    const place = view.slice(offset, bytes.length, what).bytes;
    if (hex(place) !== after) {
      throw new SaveoopsError('format', 'the manifest does not belong to the payload', {
        where: `${source}, ${what}`,
        found: hex(place),
        wanted: after,
        hint: 'build the payload again',
      });
    }
    place.set(bytes);
  }
  return view.bytes;
}

/** Offset and size of a field of the setup header, bytes, from the start of the file or of boot_params. */
export function headerField(name: SetupHeaderName): { readonly offset: number; readonly size: number } {
  const field = setupHeaderFields.find((each) => each.name === name);
  if (field === undefined) throw new RangeError(`no setup header field ${name}`);
  return field;
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}
