#!/bin/bash
# npm run docs:map: the picture in README.md, drawn by `saveoops inspect --svg` of what the demo builds. That it is still what the command draws
# is checked by src/commands/inspect.test.ts.
set -euo pipefail
cd "$(dirname "$0")/.."
bash scripts/setup.sh
npm run --silent build
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
kernel=$(printf "%s\n" .cache/kernels/linux-image-*[0-9]-amd64/boot/vmlinuz-* | tail -n 1)
node dist/src/cli.js build --no-config --kernel "$kernel" --out "$work/payload"
node dist/src/cli.js inspect --svg docs/memory-map.svg "$work/payload" >"$work/table"
