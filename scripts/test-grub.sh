#!/bin/bash
# npm run test:grub: the lane grub, qemu-tests/grub.lane.ts. Arguments go to jest.
set -euo pipefail
cd "$(dirname "$0")/.."

. scripts/need.sh
need grub-efi-amd64-bin:/usr/lib/grub/x86_64-efi/monolithic/grubx64.efi
exec bash scripts/test-lane.sh grub "$@"
