/** Places in the kernel's code as printk's %pS writes them. */

export interface CodePlace {
  /** undefined: the kernel knew no function there. */
  readonly function: string | undefined;
  /** Bytes into the function, and the function's size. */
  readonly offset: number | undefined;
  readonly size: number | undefined;
  /** undefined: in the kernel image. */
  readonly module: string | undefined;
  /** Hexadecimal with 0x, where the log has only that. */
  readonly address: string | undefined;
}

/** Kernels before 4.10 print addresses first. */
const oldAddresses = /^(?:\[<[0-9a-f]{1,16}>\] {1,4}){1,2}/;
/** With a build ID in brackets when the kernel has CONFIG_STACKTRACE_BUILD_ID. */
const named =
  /^([A-Za-z_$.][\w$.]{0,511})\+0x([0-9a-f]{1,12})\/0x([0-9a-f]{1,12})(?: \[([\w-]{1,64})(?: [0-9a-f]{1,64})?\])?/;
const bare = /^(?:0x)?([0-9a-f]{1,16})(?![\w])/;

/** `function+0x1/0x2 [module]` or `0xADDRESS`; undefined for anything else. */
export function parseCodePlace(text: string): CodePlace | undefined {
  const place = text.replace(oldAddresses, '');
  const match = named.exec(place);
  if (match !== null) {
    const [, name, offset = '', size = '', module] = match;
    return {
      function: name,
      offset: parseInt(offset, 16),
      size: parseInt(size, 16),
      module,
      address: undefined,
    };
  }
  const address = bare.exec(place)?.[1];
  if (address === undefined) return undefined;
  const nothing = { function: undefined, offset: undefined, size: undefined, module: undefined };
  return { ...nothing, address: `0x${address}` };
}

/** As the kernel writes it, with the module. */
export function renderCodePlace(place: CodePlace): string {
  if (place.function === undefined) return place.address ?? '?';
  const hex = (value: number | undefined): string => (value ?? 0).toString(16);
  const module = place.module === undefined ? '' : ` [${place.module}]`;
  return `${place.function}+0x${hex(place.offset)}/0x${hex(place.size)}${module}`;
}

/**
 * Where the instruction pointer was, of a line that says so: `RIP: 0010:` of x86-64, before 4.10 with addresses in
 * front; `EIP: ` and `EIP is at ` of i386; `pc : ` of arm64. undefined: no such line, or one of userspace.
 */
export function parseInstructionPointer(text: string): CodePlace | undefined {
  const begin = /^(?:RIP: ?0010: ?|EIP is at |EIP: (?=[A-Za-z_])|pc : )/i.exec(text)?.[0];
  return begin === undefined ? undefined : parseCodePlace(text.slice(begin.length).trimStart());
}

/**
 * The place in the headline of a sanitizer, a warning or a panic: `BUG: KASAN: ... in f+0x1/0x2`, `WARNING: ... at
 * f+0x1/0x2`, `stack-protector: Kernel stack is corrupted in: f+0x1/0x2`.
 */
export function placeInHeadline(text: string): CodePlace | undefined {
  for (const word of [' in ', ' in: ', ' at ']) {
    const at = text.lastIndexOf(word);
    const place = at < 0 ? undefined : parseCodePlace(text.slice(at + word.length));
    if (place?.function !== undefined) return place;
  }
  return undefined;
}
