#!/bin/bash
# npm run test:live: the live image of docs/recipes.md. Downloads the packages of a minimal Debian once, into .cache/live.
# Arguments go to jest.
set -euo pipefail
cd "$(dirname "$0")/.."
bash scripts/setup.sh

needs=(mmdebstrap:mmdebstrap squashfs-tools:sqfstar)
[ "$(id -u)" = 0 ] || needs+=(uidmap:newuidmap)
missing=()
for need in "${needs[@]}"; do
  command -v "${need#*:}" >/dev/null || missing+=("${need%%:*}")
done
if [ ${#missing[@]} -gt 0 ]; then
  if [ "$(id -u)" != 0 ]; then
    echo "Debian packages are missing. As root: apt-get install --no-install-recommends ${missing[*]}" >&2
    exit 1
  fi
  apt-get update -qq >&2
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >&2
fi

npm run --silent build
node --experimental-vm-modules --no-warnings node_modules/jest/bin/jest.js \
  --maxWorkers=1 --testMatch '<rootDir>/dist/qemu-tests/live-image.lane.js' "$@"
