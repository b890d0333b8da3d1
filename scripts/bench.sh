#!/bin/bash
# npm run bench: ratios, each taken in one run; see docs/testing.md. Nothing is asserted. Arguments: build, repack, boot, look, crash, capture, region,
# sha256, start, and parts of kernels' names.
set -euo pipefail
cd "$(dirname "$0")/.."
bash scripts/setup.sh
bash scripts/bench-kernels.sh
node scripts/build.mjs
exec node --no-warnings dist/qemu-tests/bench/bench.js "$@"
