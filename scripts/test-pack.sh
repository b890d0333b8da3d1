#!/bin/bash
# npm run test:pack: the package works without the checkout. Packs it, installs the tarball into an empty folder, and
# there builds, inspects and tests a payload, by the command and by the programs of docs/library.md. Needs a package registry or npm's cache for the dependencies.
set -euo pipefail
cd "$(dirname "$0")/.."
bash scripts/setup.sh
# shellcheck disable=SC2012 # names of kernel packages hold no blanks
kernel=$(ls "$(realpath "${SAVEOOPS_KERNEL_DIR:-.cache/kernels}")"/linux-image-*-cloud-amd64/boot/vmlinuz-* | tail -n 1)
library=$PWD/docs/library.md
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
npm pack --silent --pack-destination "$work" >/dev/null
mkdir "$work/empty"
cd "$work/empty"
npm install --prefer-offline --no-audit --no-fund --silent "$work"/saveoops-*.tgz
npx saveoops build --no-config --kernel "$kernel" --out payload
npx saveoops inspect payload/saveoops.c32 >/dev/null
npx saveoops test payload --panic start_kernel

# JavaScript as it is; TypeScript by its own compiler and types, from the registry as well.
npm install --prefer-offline --no-audit --no-fund --silent typescript@5 @types/node@20
npm pkg set type=module
node -e '
  const text = fs.readFileSync(process.argv[1], "utf8");
  for (const [, code, name] of text.matchAll(/^```[jt]s\n(\/\/ ([\w.]+): [^]*?)^```$/gm)) fs.writeFileSync(name, code);
' "$library"
node build.mjs "$kernel" library | grep whole
npx tsc --module nodenext --target es2022 --strict ./*.ts
node repack.js library/saveoops.c32 library
node prove.js payload | grep '^passed'
