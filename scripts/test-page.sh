#!/bin/bash
# npm run test:page: the page for a panic's QR code in Chromium, a Debian package. Arguments go to jest.
set -euo pipefail
cd "$(dirname "$0")/.."

. scripts/need.sh
need chromium:chromium
exec bash scripts/test-lane.sh panic-page "$@"
