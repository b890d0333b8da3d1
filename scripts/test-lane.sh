#!/bin/bash
<<<<<<< HEAD
# A lane by name that needs no packages of its own: qemu-tests/NAME.lane.ts. Further arguments go to jest.
=======
# npm run test:machines, test:flips: machines that are too many for npm test. $1: the lane; further arguments go to jest.
>>>>>>> machines
set -euo pipefail
cd "$(dirname "$0")/.."
lane=$1
shift
bash scripts/setup.sh
npm run --silent build
<<<<<<< HEAD
node --experimental-vm-modules --no-warnings node_modules/jest/bin/jest.js \
=======
exec node --experimental-vm-modules --no-warnings node_modules/jest/bin/jest.js \
>>>>>>> machines
  --maxWorkers=1 --testMatch "<rootDir>/dist/qemu-tests/$lane.lane.js" "$@"
