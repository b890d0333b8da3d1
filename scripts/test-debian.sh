#!/bin/bash
# npm run test:debian: the real test (docs/testing.md). Makes, once, a Debian 13 in .cache/debian, of packages that it downloads
# there, and installs the package saveoops in it, in QEMU. Arguments go to jest.
set -euo pipefail
cd "$(dirname "$0")/.."
bash scripts/setup.sh
bash scripts/loader-packages.sh
bash scripts/debian-packages.sh
# Its date is fixed, so that a commit that changes nothing in the package makes no new image.
rm -rf .cache/debian/package
SOURCE_DATE_EPOCH=1700000000 bash scripts/build-deb.sh .cache/debian/package

node --experimental-vm-modules --no-warnings node_modules/jest/bin/jest.js \
  --maxWorkers=1 "$@" --testMatch '<rootDir>/dist/qemu-tests/debian-*.lane.js'
