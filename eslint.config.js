import { readFileSync } from 'node:fs';
import tseslint from 'typescript-eslint';

/** The rooms of docs/design.md in their order: the one definition of what may import what. */
const rooms = [
  ...readFileSync(new URL('docs/design.md', import.meta.url), 'utf8').matchAll(/^\| `src\/([\w-]+)`/gm),
].map(([, room]) => room);

/** A room's own files may not import from the rooms below it. Tests may: they write what the parsers above them read. */
const boundaries = rooms.map((room, index) => ({
  files: [`src/${room}/**/*.ts`],
  ignores: ['src/**/*.test.ts', 'src/testkit/**'],
  rules: {
    '@typescript-eslint/no-restricted-imports': [
      'error',
      {
        patterns: [
          {
            regex: `^(\\.\\./)+(${[...rooms.slice(index + 1).map((below) => `${below}/`), 'cli\\.js$'].join('|')})`,
            message: `src/${room} imports only from the rooms above it in docs/design.md.`,
          },
        ],
      },
    ],
  },
}));

export default tseslint.config(
  { ignores: ['dist/', 'node_modules/', '.cache/', 'demo-output/'] },
  {
    files: ['src/**/*.ts', 'qemu-tests/**/*.ts'],
    extends: [tseslint.configs.strict],
    languageOptions: {
      parserOptions: { project: ['./tsconfig.json', './src/panic-code/page/tsconfig.json'] },
    },
    rules: {
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/switch-exhaustiveness-check': 'error',
      '@typescript-eslint/prefer-readonly': 'error',
      eqeqeq: 'error',
    },
  },
  ...boundaries,
  {
    files: ['src/**/*.ts'],
    ignores: ['src/**/*.test.ts', 'src/testkit/**'],
    rules: {
      'no-restricted-syntax': [
        'error',
        {
          selector: 'CallExpression[callee.name=/^mkdir(Sync)?$/] Property[key.name="recursive"]',
          message: 'Never ends where mkdir() answers ENOENT (/proc). Use makeFolder() of src/host/files.ts.',
        },
      ],
    },
  },
);
