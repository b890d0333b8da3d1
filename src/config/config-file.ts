/**
 * The configuration file: a flat map in YAML whose keys are the options of `saveoops build`.
 *
 * Source: YAML 1.2.2, core schema. The syntax tree is read directly and only texts, numbers, truth values and lists
 * of texts are taken from it: anchors, aliases, merges and tags, with which a small file can stand for a large one,
 * are refused where they stand and never expanded.
 */
import { stat } from 'node:fs/promises';
import {
  CST,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  Lexer,
  LineCounter,
  parseDocument,
  type Document,
  type Node,
} from 'yaml';
import { SaveoopsError, type ErrorKind } from '../errors.js';
import { fileError, readInput } from '../host/files.js';
import type { OptionSpec } from './option-spec.js';
import { nearestName } from './nearest-name.js';

export type ConfigValue = string | number | boolean | readonly string[];

export interface ConfigFile {
  readonly path: string;
  /** By the names of options. */
  readonly values: Readonly<Record<string, ConfigValue>>;
}

type Options = Readonly<Record<string, OptionSpec>>;

/** Bytes. Command lines have at most 2000 characters: a larger file is another file. */
const largestFile = 64 << 10;

/** Levels in one line: a map with a list is two. */
const deepestNesting = 8;
const blockIndicators: ReadonlySet<string> = new Set(['seq-item-ind', 'explicit-key-ind', 'map-value-ind']);

/**
 * @param asked value of --config; false: --no-config; undefined: `standard` is read if it exists
 * Throws `file`, `format` for what is no such file, `usage` for keys and values that no option has.
 */
export async function readConfigFile(
  asked: string | false | undefined,
  standard: string,
  options: Options,
): Promise<ConfigFile | undefined> {
  if (asked === false) return undefined;
  const path = asked ?? standard;
  const wanted = 'a configuration file in YAML';
  let size: number;
  try {
    ({ size } = await stat(path));
  } catch (error) {
    if (asked === undefined && (error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw fileError(path, wanted, error);
  }
  if (size > largestFile) throw tooLarge(path, size);
  return { path, values: parseConfig(Buffer.from(await readInput(path, wanted)), path, options) };
}

/** Throws `format` for what is no such file, `usage` for keys and values that no option has. */
export function parseConfig(bytes: Uint8Array, path: string, options: Options): ConfigFile['values'] {
  if (bytes.length > largestFile) throw tooLarge(path, bytes.length);
  const lines = new LineCounter();
  const reader = new ConfigReader(path, options, lines);
  return reader.read(parseYaml(decode(bytes, path), path, lines));
}

function decode(bytes: Uint8Array, path: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new SaveoopsError('format', 'the configuration file is not a text', {
      where: path,
      found: 'bytes that are not UTF-8',
      wanted: 'YAML in UTF-8',
      cause,
    });
  }
}

function parseYaml(text: string, path: string, lines: LineCounter): Document.Parsed {
  refuseNesting(text, path);
  // uniqueKeys compares each key with each: ConfigReader does it in linear time.
  const document = parseDocument(text, {
    lineCounter: lines,
    schema: 'core',
    merge: false,
    uniqueKeys: false,
    prettyErrors: false,
    logLevel: 'error',
  });
  const error = document.errors[0];
  if (error === undefined) return document;
  throw new SaveoopsError('format', 'the configuration file is not YAML', {
    where: `${path}, line ${lines.linePos(error.pos[0]).line}`,
    found: error.message,
    wanted: 'lines of the form "key: value" (YAML 1.2)',
    cause: error,
  });
}

/**
 * The parser recurses where lists and maps are nested, and Node does not survive every place where its stack can run
 * out. What is left, nesting by indentation, takes n^2/2 bytes for n levels.
 */
function refuseNesting(text: string, path: string): void {
  let line = 1;
  let brackets = 0;
  let indicators = 0;
  for (const source of new Lexer().lex(text)) {
    const type = CST.tokenType(source);
    if (type === 'newline') {
      line += 1;
      indicators = 0;
    } else if (type === 'flow-seq-start' || type === 'flow-map-start') brackets += 1;
    else if (type === 'flow-seq-end' || type === 'flow-map-end') brackets -= 1;
    else if (brackets === 0 && type !== null && blockIndicators.has(type)) indicators += 1;
    if (brackets <= deepestNesting && indicators <= deepestNesting) continue;
    throw new SaveoopsError('format', 'lists or maps are nested too deeply', {
      where: `${path}, line ${line}`,
      found: `more than ${deepestNesting} levels`,
      wanted: 'options with texts, numbers, truth values or lists of texts',
    });
  }
}

class ConfigReader {
  private readonly path: string;
  private readonly options: Options;
  private readonly lines: LineCounter;

  constructor(path: string, options: Options, lines: LineCounter) {
    this.path = path;
    this.options = options;
    this.lines = lines;
  }

  read({ contents }: Document.Parsed): ConfigFile['values'] {
    if (contents === null || (isScalar(contents) && contents.value === null)) return {};
    this.refuseIndirect(contents);
    if (!isMap(contents)) {
      throw this.refuse('format', contents, 'not a map of options', kindOf(contents), '"key: value" lines');
    }
    const values = new Map<string, ConfigValue>();
    for (const { key, value } of contents.items) {
      this.refuseIndirect(key);
      const spec = isScalar(key) && typeof key.value === 'string' ? this.options[key.value] : undefined;
      if (spec === undefined || !isScalar(key)) throw this.unknownKey(key);
      const name = String(key.value);
      if (values.has(name)) {
        throw this.refuse('usage', key, 'an option is given twice', `${name} again`, 'each key once');
      }
      if (value !== null) this.refuseIndirect(value, name);
      values.set(name, this.convert(name, spec, value, key));
    }
    return Object.fromEntries(values);
  }

  private convert(name: string, spec: OptionSpec, node: Node | null, key: Node): ConfigValue {
    const wanted = describeType(spec);
    const refuse = (found: string, hint?: string): SaveoopsError =>
      this.refuse('usage', node ?? key, 'an option has a value of the wrong type', found, wanted, name, hint);
    if (spec.array === true && isSeq(node)) {
      return node.items.map((item) => {
        this.refuseIndirect(item as Node, name);
        if (isScalar(item) && typeof item.value === 'string') return item.value;
        throw refuse(`a list with ${kindOf(item as Node)} in it`);
      });
    }
    const value = isScalar(node) ? node.value : undefined;
    if (typeof value !== spec.type) {
      const quoted = spec.type === 'string' && isScalar(node) && node.value !== null;
      const truth = spec.type === 'boolean' && typeof value === 'string';
      const hint = quoted
        ? `write it in quotes: ${name}: "${node.source ?? ''}"`
        : truth
          ? `${name}: true, or ${name}: false, without quotes`
          : undefined;
      throw refuse(kindOf(node), hint);
    }
    const given = value as string | number | boolean;
    if (spec.choices !== undefined && !spec.choices.includes(String(given))) throw refuse(kindOf(node));
    return spec.array === true ? [String(given)] : given;
  }

  private unknownKey(key: Node): SaveoopsError {
    const given = (isScalar(key) ? String(key.source ?? key.value) : kindOf(key)).slice(0, 80);
    const names = Object.keys(this.options);
    const near = nearestName(given, names);
    return this.refuse(
      'usage',
      key,
      'the configuration file has a key that is no option',
      given,
      'the name of an option of saveoops build, without dashes in front',
      undefined,
      near === undefined ? `one of ${names.join(', ')}` : `did you mean ${near}?`,
    );
  }

  /** Nothing in the file may stand for something elsewhere in it, or be of a type that is not seen. */
  private refuseIndirect(node: Node, name?: string): void {
    const found = isAlias(node)
      ? `the alias *${node.source}`
      : node.anchor !== undefined
        ? `the anchor &${node.anchor}`
        : node.tag !== undefined
          ? `the tag ${node.tag}`
          : undefined;
    if (found === undefined) return;
    throw this.refuse('format', node, 'a value is not written out', found, 'plain values', name);
  }

  private refuse(
    kind: ErrorKind,
    node: Node,
    summary: string,
    found: string,
    wanted: string,
    name?: string,
    hint?: string,
  ): SaveoopsError {
    const line = `${this.path}, line ${this.lines.linePos(node.range?.[0] ?? 0).line}`;
    const where = name === undefined ? line : `${line}, key ${name}`;
    return new SaveoopsError(kind, summary, { where, found, wanted, hint });
  }
}

function describeType({ type, array, choices }: OptionSpec): string {
  if (choices !== undefined) return choices.join(' or ');
  if (array === true) return 'a text, or a list of texts';
  return { string: 'a text', number: 'a number', boolean: 'true or false' }[type];
}

function kindOf(node: Node | null): string {
  if (isMap(node)) return 'a map';
  if (isSeq(node)) return 'a list';
  if (!isScalar(node) || node.value === null) return 'nothing';
  const shown = JSON.stringify(node.value) ?? String(node.source);
  const short = shown.length > 60 ? `${shown.slice(0, 60)}...` : shown;
  return typeof node.value === 'string' ? `the text ${short}` : `${typeof node.value} ${short}`;
}

function tooLarge(path: string, size: number): SaveoopsError {
  return new SaveoopsError('format', 'the configuration file is too large', {
    where: path,
    found: `${size} bytes`,
    wanted: `at most ${largestFile} bytes`,
  });
}
