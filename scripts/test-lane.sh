#!/bin/bash
# A lane by name: qemu-tests/NAME.lane.ts; NAME may be a pattern. Further arguments go to jest.
set -euo pipefail
cd "$(dirname "$0")/.."
lane=$1
shift
bash scripts/setup.sh
npm run --silent build
exec node --experimental-vm-modules --no-warnings node_modules/jest/bin/jest.js \
  --maxWorkers=1 --testMatch "<rootDir>/dist/qemu-tests/$lane.lane.js" "$@"
