#!/bin/bash
# npm run test:live: the live image of docs/recipes.md. Downloads the packages of a minimal Debian once, into .cache/live.
# Arguments go to jest.
set -euo pipefail
cd "$(dirname "$0")/.."
bash scripts/setup.sh

. scripts/need.sh
need mmdebstrap:mmdebstrap squashfs-tools:sqfstar
# mmdebstrap makes its own user namespace then.
[ "$(id -u)" = 0 ] || need uidmap:newuidmap

npm run --silent build
node --experimental-vm-modules --no-warnings node_modules/jest/bin/jest.js \
  --maxWorkers=1 --testMatch '<rootDir>/dist/qemu-tests/live-image.lane.js' "$@"
