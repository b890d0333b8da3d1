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
const oldAddresses = /^(?:\[<[0-9a-f]{1,16}>\] ){1,2}/;
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
