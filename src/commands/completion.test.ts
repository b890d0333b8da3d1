/** What each shell offers: bash and zsh with their line editor in a terminal of zsh's own, fish by its command for that. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { oracle, runSaveoops } from '../testkit/command-line.js';
import { renderCompletion, type Shell } from './completion.js';

const shells = ['bash', 'zsh', 'fish'] as const satisfies readonly Shell[];
let folder: string;
let help: string;
let helpOfBuild: string;
beforeAll(() => {
  help = runSaveoops(['--help']).stdout;
  helpOfBuild = runSaveoops(['build', '--help']).stdout;
  folder = mkdtempSync(join(tmpdir(), 'saveoops-completion-'));
  mkdirSync(join(folder, 'here'));
  writeFileSync(join(folder, 'here', 'payload.c32'), '');
  for (const shell of shells) writeFileSync(join(folder, `_saveoops-${shell}`), renderCompletion(shell));
  mkdirSync(join(folder, 'fpath'));
  writeFileSync(join(folder, 'fpath', '_saveoops'), renderCompletion('zsh'));
  // A program that only says what its arguments are, and that it has ended.
  writeFileSync(join(folder, 'saveoops'), `#!/bin/sh\nprintf '[%s]' "$@" END\n`, { mode: 0o755 });
  writeFileSync(join(folder, 'start.zsh'), startZsh);
  writeFileSync(join(folder, 'start.bash'), startBash);
  writeFileSync(join(folder, 'drive.zsh'), drive);
});
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

/** Read by the zsh that is tried: before it offers them, zsh hands each set of matches to compadd. */
const startZsh = `fpath=($folder/fpath $fpath)
autoload -Uz compinit
# What it finds in all the folders is kept for the next line.
compinit -C -d $folder/dump
compadd() {
  local -a found
  if [[ " $* " == *' '-[OAD]' '* ]]; then builtin compadd "$@"; return; fi
  builtin compadd -O found "$@"
  (( $#found )) && printf '[%s]' $found
  builtin compadd "$@"
}
comppostfuncs=(ended)
ended() { printf '[%s]' END }
printf '[%s]' READY
`;

const startBash = `bind 'set enable-bracketed-paste off'
PATH=$folder:$PATH
. $folder/_saveoops-bash
printf '[%s]' READY
`;

/** SHELL FOLDER LINE: starts an interactive shell in a terminal, types, and prints what it has shown. */
const drive = `zmodload zsh/zpty
cd $2/here
case $1 in
  zsh) start='zsh -f -i' keys=$'\\t' ;;
  # Readline's insert-completions: all of them become arguments.
  bash) start='bash --norc --noprofile -i' keys=$'\\e*\\n' ;;
esac
zpty shell "env -i PATH=$PATH TERM=dumb HOME=/nonexistent folder=$2 $start"
zpty -w shell ". $2/start.$1"
zpty -r -m shell shown '*\\[READY\\]*'
zpty -w -n shell "$3$keys"
zpty -r -m shell shown '*\\[END\\]*'
zpty -d shell
print -r -- $shown
`;

/** What a shell offers for the last word of a line. */
function offered(shell: Shell, line: string): readonly string[] {
  const last = line.slice(line.lastIndexOf(' ') + 1);
  if (shell === 'fish') {
    const script = 'source $argv[1]; cd $argv[2]; complete -C $argv[3]';
    const file = join(folder, '_saveoops-fish');
    const text = oracle('fish', ['--no-config', '-c', script, '--', file, join(folder, 'here'), line]);
    return text.split('\n').flatMap((each) => each.split('\t')[0] || []);
  }
  const shown = oracle('zsh', ['-f', join(folder, 'drive.zsh'), shell, folder, line]);
  const words = [...shown.matchAll(/\[([^[\]\r\n\x1b]*)\]/g)].map(([, word = '']) => word);
  const before = shell === 'bash' ? line.split(' ').length - 2 : 0;
  // Bash puts back a word that nothing fits.
  return words.slice(before, words.indexOf('END')).filter((word) => word !== '' && word !== last);
}

const sorted = (words: readonly string[]): readonly string[] => [...words].sort();

describe.each(shells)('%s', (shell) => {
  test('offers every command that --help shows', () => {
    const shown = [...help.matchAll(/^ {2}saveoops (\w+)/gm)].map(([, name = '']) => name);
    expect(shown.length).toBeGreaterThan(10);
    const general = shell === 'bash' ? ['--help', '--version'] : [];
    expect(sorted(offered(shell, 'saveoops '))).toEqual(sorted([...shown, ...general]));
    expect(sorted(offered(shell, 'saveoops re'))).toEqual(['repack', 'report']);
    expect(sorted(offered(shell, 'saveoops --'))).toEqual(['--help', '--version']);
  });

  test('offers every option that a command shows', () => {
    const shown = [...helpOfBuild.matchAll(/^ +(--[a-z-]+)/gm)]
      .map(([, option = '']) => option)
      .filter((option) => option !== '--version');
    expect(sorted(offered(shell, 'saveoops build --'))).toEqual(sorted(shown));
    expect(sorted(offered(shell, 'saveoops build --kernel k --cap'))).toEqual([
      '--capture-module',
      '--capture-tools',
    ]);
  });

  test('offers the values of an option, behind a blank and behind =', () => {
    expect(sorted(offered(shell, 'saveoops build --dump '))).toEqual(['filtered', 'full', 'none']);
    expect(sorted(offered(shell, 'saveoops update --loader '))).toEqual(['extlinux', 'grub', 'systemd-boot']);
    const behind = offered(shell, 'saveoops build --dump=f').map((word) => word.replace('--dump=', ''));
    expect(sorted(behind)).toEqual(['filtered', 'full']);
  });

  test('offers the shells once, and names of files where a file is wanted', () => {
    expect(sorted(offered(shell, 'saveoops completion '))).toEqual(['bash', 'fish', 'zsh']);
    expect(offered(shell, 'saveoops completion bash z')).toEqual([]);
    for (const words of ['inspect ', 'explain console_init ', 'build --kernel '])
      expect(offered(shell, `saveoops ${words}p`)).toEqual(['payload.c32']);
  });
});
