#!/bin/bash
# npm run test:built: builds the kernels of qemu-tests/built/variants, and runs the lane. Arguments go to jest.
set -euo pipefail
cd "$(dirname "$0")/.."
bash scripts/setup.sh
bash scripts/built-kernels.sh
exec bash scripts/test-lane.sh built "$@"
