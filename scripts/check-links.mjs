/**
 * Check lane: every link of a Markdown file to a file of this repository leads to one, and to a heading in it; every
 * document that a source file names (docs/NAME.md) is there; and every document is reached from docs/README.md or README.md.
 * Links to the web are not followed.
 *
 * Own code, as remark-validate-links is 160 packages for this one question.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';

const files = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard', '-z'], {
  encoding: 'utf8',
})
  .split('\0')
  .filter((name) => name !== '' && existsSync(name) && statSync(name).isFile());
const texts = new Map();
const textOf = (name) => {
  if (!texts.has(name)) texts.set(name, readFileSync(name, 'utf8'));
  return texts.get(name);
};
const withoutCode = (text) =>
  text.replace(/^```[\s\S]*?^```/gm, '').replace(/`[^`\n]*`/g, (code) => (code.includes('](') ? '' : code));

/** The fragments that GitHub makes of a document's headings. */
function fragmentsOf(name) {
  const seen = new Map();
  const headings = textOf(name)
    .replace(/^```[\s\S]*?^```/gm, '')
    .matchAll(/^#{1,6} (.+)$/gm);
  // docs/api.md has anchors of its own in tables.
  const anchors = [...textOf(name).matchAll(/<a id="([^"]+)"><\/a>/g)].map(([, id]) => id);
  return new Set([
    ...anchors,
    ...[...headings].map(([, heading]) => {
      const slug = heading
        .trim()
        .toLowerCase()
        .replace(/[^\p{L}\p{N}\p{M}_ -]/gu, '')
        .replaceAll(' ', '-');
      const times = seen.get(slug) ?? 0;
      seen.set(slug, times + 1);
      return times === 0 ? slug : `${slug}-${times}`;
    }),
  ]);
}

const problems = [];
const documents = files.filter((name) => name.endsWith('.md'));
const linked = new Set();
for (const name of documents) {
  for (const [, target] of withoutCode(textOf(name)).matchAll(/\]\(([^)\s]+)\)/g)) {
    if (/^[a-z]+:/.test(target)) continue;
    const [path, fragment] = target.split('#');
    const file = path === '' ? name : normalize(join(dirname(name), decodeURIComponent(path)));
    if (!existsSync(file)) problems.push(`${name}: no file ${file} (${target})`);
    else if (fragment !== undefined && file.endsWith('.md') && !fragmentsOf(file).has(fragment))
      problems.push(`${name}: no heading "${fragment}" in ${file}`);
    if (name === 'README.md' || name === 'docs/README.md') linked.add(file);
  }
}
for (const name of documents)
  if (name.startsWith('docs/') && name !== 'docs/README.md' && !linked.has(name))
    problems.push(`${name}: named neither by README.md nor by docs/README.md`);
for (const name of files) {
  if (
    !/^(src|stubs|qemu-tests|scripts|syslinux-config)\/.*\.(ts|mjs|sh|[chS]|template)$|^package\.json$/.test(
      name,
    )
  )
    continue;
  for (const [mention] of textOf(name).matchAll(/\bdocs\/[\w/-]+\.md\b/g))
    if (!existsSync(mention) && mention !== 'docs/NAME.md')
      problems.push(`${name}: names ${mention}, which is not there`);
}
if (problems.length > 0) {
  console.error(problems.join('\n'));
  process.exit(1);
}
