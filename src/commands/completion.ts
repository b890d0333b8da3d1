/** `saveoops completion SHELL`: what completes commands, options and their values in a shell, from the table of options alone, so that no program runs for it. */
import type { OptionSpec } from '../config/option-spec.js';
import { commandSpecs, commonOptions, type CommandSpec } from './options.js';

export type Shell = (typeof commandSpecs.completion.positionals)[0]['choices'][number];

const commands: readonly CommandSpec[] = Object.values(commandSpecs);
const head = 'completion for saveoops, made from its table of options by: saveoops completion';

/** Before any command. */
const general = { help: 'show help', version: 'show the version' } as const;

const optionsOf = ({ options }: CommandSpec): readonly [string, OptionSpec][] =>
  Object.entries<OptionSpec>({
    ...options,
    ...commonOptions,
    help: { type: 'boolean', describe: general.help },
  });

/** What the first argument of a command may be; undefined: anything, such as a file. */
const valuesOf = ({ positionals }: CommandSpec): readonly string[] | undefined => positionals?.[0]?.choices;

export function renderCompletion(shell: Shell): string {
  return `${{ bash, zsh, fish }[shell]().join('\n')}\n`;
}

/** Without a word that fits, bash takes names of files. Of --dump=full it makes three words. */
function bash(): readonly string[] {
  return [
    `# bash ${head} bash`,
    '_saveoops() {',
    '  local words= last=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]}',
    '  if [ "$last" = = ]; then last=',
    '  elif [ "$before" = = ]; then before=${COMP_WORDS[COMP_CWORD - 2]}',
    '  fi',
    '  if [ "$COMP_CWORD" = 1 ]; then',
    `    words='${commands.map(({ name }) => name).join(' ')} ${Object.keys(general)
      .map((name) => `--${name}`)
      .join(' ')}'`,
    '  else',
    '    case "${COMP_WORDS[1]} $before $last" in',
    ...commands.flatMap((command) => [
      ...optionsOf(command).flatMap(([name, { choices }]) =>
        choices === undefined ? [] : [`      '${command.name} --${name} '*) words='${choices.join(' ')}' ;;`],
      ),
      `      '${command.name} '*' -'*) words='${optionsOf(command)
        .map(([name]) => `--${name}`)
        .join(' ')}' ;;`,
      ...(valuesOf(command) === undefined
        ? []
        : [`      '${command.name} ${command.name} '*) words='${(valuesOf(command) ?? []).join(' ')}' ;;`]),
    ]),
    '    esac',
    '  fi',
    '  mapfile -t COMPREPLY < <(compgen -W "$words" -- "$last")',
    '}',
    'complete -o default -F _saveoops saveoops',
  ];
}

function zsh(): readonly string[] {
  /** In _arguments a colon and a bracket end the text; behind a name, = stands for a blank, too. */
  const quoted = (text: string): string => text.replace(/[:[\]\\]/g, '\\$&').replace(/'/g, `'\\''`);
  return [
    '#compdef saveoops',
    `# zsh ${head} zsh`,
    '_saveoops() {',
    '  local -a commands',
    '  if (( CURRENT == 2 )) && [[ $PREFIX == -* ]]; then',
    `    _arguments ${Object.entries(general)
      .map(([name, describe]) => `'--${name}[${describe}]'`)
      .join(' ')}`,
    '    return',
    '  elif (( CURRENT == 2 )); then',
    '    commands=(',
    ...commands.map(({ name, describe }) => `      '${name}:${quoted(describe)}'`),
    '    )',
    '    _describe command commands',
    '    return',
    '  fi',
    '  local command=$words[2]',
    '  shift words',
    '  (( CURRENT-- ))',
    '  case $command in',
    ...commands.flatMap((command) => [
      `    ${command.name}) _arguments \\`,
      ...optionsOf(command).map(([name, { type, describe, array, choices }]) => {
        const value =
          type === 'boolean'
            ? ''
            : `:${type === 'number' ? 'number:' : `value:${choices === undefined ? '_files' : `(${choices.join(' ')})`}`}`;
        return `      '${array === true ? '*' : ''}--${name}${value === '' ? '' : '='}[${quoted(describe)}]${value}' \\`;
      }),
      ...(command.positionals ?? []).map(
        ({ name, choices }, index) =>
          `      '${index + 1}:${name}:${choices === undefined ? '_files' : `(${choices.join(' ')})`}' \\`,
      ),
      '      && return ;;',
    ]),
    '  esac',
    '}',
    '_saveoops "$@"',
  ];
}

function fish(): readonly string[] {
  const quoted = (text: string): string => `'${text.replace(/[\\']/g, '\\$&')}'`;
  return [
    `# fish ${head} fish`,
    ...Object.entries(general).map(
      ([name, describe]) => `complete -c saveoops -n __fish_use_subcommand -l ${name} -d ${quoted(describe)}`,
    ),
    ...commands.flatMap((command) => [
      `complete -c saveoops -n __fish_use_subcommand -f -a ${command.name} -d ${quoted(command.describe)}`,
      ...optionsOf(command).map(([name, { type, describe, choices }]) => {
        const value =
          type === 'boolean' ? '' : choices === undefined ? ' -r' : ` -x -a ${quoted(choices.join(' '))}`;
        return `complete -c saveoops -n '__fish_seen_subcommand_from ${command.name}' -l ${name}${value} -d ${quoted(describe)}`;
      }),
      ...(valuesOf(command) === undefined
        ? []
        : [
            `complete -c saveoops -n '__fish_seen_subcommand_from ${command.name}; and not __fish_seen_subcommand_from ${(valuesOf(command) ?? []).join(' ')}' -f -a ${quoted((valuesOf(command) ?? []).join(' '))}`,
          ]),
    ]),
  ];
}
