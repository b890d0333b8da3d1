import { describe, expect, test } from '@jest/globals';
import { oracle, runSaveoops } from '../testkit/command-line.js';
import { renderCompletion } from './completion.js';

/** What bash offers for a line that ends in its last word. */
function offered(...words: readonly string[]): readonly string[] {
  const script = `${renderCompletion('bash')}
    COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _saveoops
    printf '%s\\n' "\${COMPREPLY[@]}"`;
  return oracle('bash', ['-c', script, 'bash', ...words])
    .split('\n')
    .filter((word) => word !== '');
}

describe('bash', () => {
  test('offers every command that --help shows', () => {
    const shown = [...runSaveoops(['--help']).stdout.matchAll(/^ {2}saveoops (\w+)/gm)].map(
      ([, name]) => name,
    );
    expect(offered('saveoops', '')).toEqual([...shown, '--help', '--version']);
    expect(offered('saveoops', 'rep')).toEqual(['repack', 'report']);
  });

  test('offers every option that a command shows', () => {
    const shown = [...runSaveoops(['build', '--help']).stdout.matchAll(/^ +(--[a-z-]+)/gm)]
      .map(([, option]) => option)
      .filter((option) => option !== '--version');
    expect([...offered('saveoops', 'build', '--')].sort()).toEqual([...shown].sort());
    expect(offered('saveoops', 'build', '--kernel', 'k', '--cap')).toEqual([
      '--capture-tools',
      '--capture-module',
    ]);
  });

  test('offers the values of an option, and names of files where a file is wanted', () => {
    expect(offered('saveoops', 'build', '--dump', 'f')).toEqual(['filtered', 'full']);
    expect(offered('saveoops', 'completion', '')).toEqual(['bash', 'zsh', 'fish']);
    expect(offered('saveoops', 'inspect', 'sav')).toEqual([]);
  });
});

test.each(['zsh', 'fish'] as const)('%s: every option is there, and every quote is closed', (shell) => {
  const text = renderCompletion(shell);
  const bash = renderCompletion('bash');
  const options = new Set([...bash.matchAll(/--([a-z-]+)/g)].map(([, name]) => name ?? ''));
  expect(options.size).toBeGreaterThan(30);
  const missing = [...options].filter(
    (name) => !text.includes(shell === 'fish' ? ` -l ${name} ` : `--${name}[`) && name !== 'version',
  );
  expect(missing).toEqual([]);
  // Without what is escaped: \' within fish's quotes, '\'' between zsh's.
  const odd = text
    .replace(shell === 'fish' ? /\\./g : /'\\''/g, '')
    .split('\n')
    .filter((line) => (line.match(/'/g) ?? []).length % 2 === 1);
  expect(odd).toEqual([]);
});
