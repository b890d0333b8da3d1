/** capture.json, which the capture initramfs writes beside a log. Read leniently: it may be cut short or damaged. */

type Text = string | null;

export interface CaptureRecord {
  readonly id: Text;
  /** UTC, ISO 8601. */
  readonly time: Text;
  readonly generator: Text;
  readonly kind: Text;
  readonly message: Text;
  /** null: the kernel panicked. */
  readonly reset: ResetRecord | null;
  readonly primary: { readonly release: Text; readonly banner: Text; readonly commandLine: Text };
  readonly crash: { readonly release: Text; readonly commandLine: Text };
  readonly cpu: number | null;
  /** RAM of the crash kernel. */
  readonly memoryKiB: number | null;
  /** Captures since the last good boot, this one included. */
  readonly inARow: number | null;
  readonly save: {
    readonly asked: Text;
    readonly device: Text;
    readonly uuid: Text;
    readonly type: Text;
    readonly directory: Text;
  };
  readonly dump: { readonly asked: Text; readonly how: Text; readonly encrypted: boolean | null };
  readonly files: readonly { readonly name: string; readonly size: number | null; readonly sha256: Text }[];
  readonly failures: readonly string[];
}

export interface HeldRecord {
  readonly checked: number | null;
  readonly lost: number | null;
}

/** After a reset. */
export interface ResetRecord {
  /** From 0 on, missing. */
  readonly lostKiB: number | null;
  /** Pages of the image that never change, and page tables: how many were checked, and no longer hold. */
  readonly image: HeldRecord | null;
  readonly tables: HeldRecord | null;
  /** Seconds at the log's last line. */
  readonly uptime: number | null;
  /** What hardware says has reset the machine. */
  readonly by: Text;
}

/** Characters of one text, and members of one list, that are kept. */
const longestText = 8192;
const longestList = 200;

/** undefined: not JSON, or no object. What is missing or of another type is null. */
export function parseCaptureRecord(json: string): CaptureRecord | undefined {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch {
    return undefined;
  }
  if (!isObject(value)) return undefined;
  const part = (name: string): Values => (isObject(value[name]) ? value[name] : {});
  const [primary, crash, save, dump] = [part('primary'), part('crash'), part('save'), part('dump')];
  return {
    id: text(value, 'id'),
    time: text(value, 'time'),
    generator: text(value, 'generator'),
    kind: text(value, 'kind'),
    message: text(value, 'message'),
    reset: isObject(value['reset']) ? resetRecord(value['reset']) : null,
    primary: {
      release: text(primary, 'release'),
      banner: text(primary, 'banner'),
      commandLine: text(primary, 'commandLine'),
    },
    crash: { release: text(crash, 'release'), commandLine: text(crash, 'commandLine') },
    cpu: number(value, 'cpu'),
    memoryKiB: number(value, 'memoryKiB'),
    inARow: number(value, 'inARow'),
    save: {
      asked: text(save, 'asked'),
      device: text(save, 'device'),
      uuid: text(save, 'uuid'),
      type: text(save, 'type'),
      directory: text(save, 'directory'),
    },
    dump: {
      asked: text(dump, 'asked'),
      how: text(dump, 'how'),
      encrypted: typeof dump['encrypted'] === 'boolean' ? dump['encrypted'] : null,
    },
    files: list(value, 'files').flatMap((file) => {
      const name = isObject(file) ? text(file, 'name') : null;
      if (!isObject(file) || name === null) return [];
      return [{ name, size: number(file, 'size'), sha256: text(file, 'sha256') }];
    }),
    failures: list(value, 'failures').flatMap((each) =>
      typeof each === 'string' ? [each.slice(0, longestText)] : [],
    ),
  };
}

function resetRecord(values: Values): ResetRecord {
  const held = (name: string): HeldRecord | null => {
    const value = values[name];
    return isObject(value) ? { checked: number(value, 'checked'), lost: number(value, 'lost') } : null;
  };
  return {
    lostKiB: number(values, 'lostKiB'),
    image: held('image'),
    tables: held('tables'),
    uptime: number(values, 'uptime'),
    by: text(values, 'by'),
  };
}

type Values = Readonly<Record<string, unknown>>;

function isObject(value: unknown): value is Values {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function text(values: Values, name: string): Text {
  const value = values[name];
  return typeof value === 'string' ? value.slice(0, longestText) : null;
}

function number(values: Values, name: string): number | null {
  const value = values[name];
  return typeof value === 'number' && Number.isFinite(value) ? value : null;
}

function list(values: Values, name: string): readonly unknown[] {
  const value = values[name];
  return Array.isArray(value) ? value.slice(0, longestList) : [];
}
