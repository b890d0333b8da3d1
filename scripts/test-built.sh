#!/bin/bash
# npm run test:built: builds the kernels of qemu-tests/built/variants, and runs the lane. Arguments go to jest.
set -euo pipefail
cd "$(dirname "$0")/.."
bash scripts/setup.sh
bash scripts/built-kernels.sh
npm run --silent build
exec node --experimental-vm-modules --no-warnings node_modules/jest/bin/jest.js \
  --maxWorkers=1 --testMatch '<rootDir>/dist/qemu-tests/built.lane.js' "$@"
