/** Names of capture directories: YYYYMMDDTHHMMSSZ-RELEASE-ID, with ".incomplete" while it is not whole. */

export interface CaptureName {
  /** The whole name. */
  readonly name: string;
  /** UTC, ISO 8601: by the crash kernel's clock. */
  readonly time: string;
  /** Of the dead kernel, or "unknown". */
  readonly release: string;
  /** Six hexadecimal digits. */
  readonly id: string;
  readonly incomplete: boolean;
}

const pattern =
  /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z-([A-Za-z0-9.+_-]{1,100})-([0-9a-f]{6})(\.incomplete)?$/;

/** undefined: not the name of a capture. */
export function parseCaptureName(name: string): CaptureName | undefined {
  const match = pattern.exec(name);
  if (match === null) return undefined;
  const [, year = '', month = '', day = '', hour = '', minute = '', second = ''] = match;
  return {
    name,
    time: `${year}-${month}-${day}T${hour}:${minute}:${second}Z`,
    release: match[7] ?? '',
    id: match[8] ?? '',
    incomplete: match[9] !== undefined,
  };
}
