/**
 * Framing of the GDB remote serial protocol: `$data#checksum`. Pure. Source: the GDB manual's appendix "Remote
 * Protocol", sections Overview and Notification Packets.
 */

/** One thing that the peer sent. */
export type GdbItem =
  | { readonly kind: 'packet'; readonly data: string }
  | { readonly kind: 'damaged' }
  | { readonly kind: 'ack' }
  | { readonly kind: 'nak' };

/** Latin-1 text holds packet bytes one to one. The checksum covers the escaped data. */
export function encodePacket(data: string): Buffer {
  const escaped = data.replace(/[#$}*]/g, (char) => '}' + String.fromCharCode(char.charCodeAt(0) ^ 0x20));
  return Buffer.from(`$${escaped}#${hexByte(checksum(escaped))}`, 'latin1');
}

function checksum(data: string): number {
  let sum = 0;
  for (let i = 0; i < data.length; i++) sum = (sum + data.charCodeAt(i)) & 0xff;
  return sum;
}

function hexByte(value: number): string {
  return value.toString(16).padStart(2, '0');
}

/** More than any answer that Saveoops asks for; beyond it the peer is not speaking this protocol. */
const longestPacket = 1 << 20;

/** Takes the stream apart. Bytes between packets are skipped, as the protocol allows. */
export class PacketReader {
  #buffer = '';

  /** Throws RangeError when a packet never ends. */
  push(chunk: Buffer): readonly GdbItem[] {
    this.#buffer += chunk.toString('latin1');
    const items: GdbItem[] = [];
    for (;;) {
      const start = this.#buffer.search(/[$+-]/);
      if (start < 0) {
        this.#buffer = '';
        return items;
      }
      const first = this.#buffer[start];
      if (first !== '$') {
        items.push({ kind: first === '+' ? 'ack' : 'nak' });
        this.#buffer = this.#buffer.slice(start + 1);
        continue;
      }
      const end = this.#buffer.indexOf('#', start);
      if (end < 0 || this.#buffer.length < end + 3) {
        this.#buffer = this.#buffer.slice(start);
        if (this.#buffer.length > longestPacket) throw new RangeError('a packet that does not end');
        return items;
      }
      const raw = this.#buffer.slice(start + 1, end);
      const good = this.#buffer.slice(end + 1, end + 3).toLowerCase() === hexByte(checksum(raw));
      const data = good ? decodeData(raw) : undefined;
      items.push(data === undefined ? { kind: 'damaged' } : { kind: 'packet', data });
      this.#buffer = this.#buffer.slice(end + 3);
    }
  }
}

/** Undoes escapes and run lengths; undefined when the data is malformed. */
function decodeData(raw: string): string | undefined {
  let data = '';
  for (let i = 0; i < raw.length; i++) {
    const char = raw.charAt(i);
    if (char === '}') {
      if (++i >= raw.length) return undefined;
      data += String.fromCharCode(raw.charCodeAt(i) ^ 0x20);
    } else if (char === '*') {
      // `x*c`: x again, (code of c) - 29 times.
      if (data === '' || ++i >= raw.length) return undefined;
      const count = raw.charCodeAt(i) - 29;
      if (count < 3 || count > 97) return undefined;
      data += data.charAt(data.length - 1).repeat(count);
    } else {
      data += char;
    }
  }
  return data;
}
