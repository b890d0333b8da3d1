#!/bin/bash
# npm run test:efi: the lane efi, qemu-tests/efi*.lane.ts. Downloads boot loaders and firmware of newer Debian releases, 30 MB, once.
# Arguments go to jest.
set -euo pipefail
cd "$(dirname "$0")/.."

. scripts/need.sh
need systemd-boot-efi:/usr/lib/systemd/boot/efi/systemd-bootx64.efi grub-efi-amd64-bin:/usr/lib/grub/x86_64-efi/monolithic/grubx64.efi \
  ipxe:/usr/lib/ipxe/ipxe.efi swtpm:swtpm
bash scripts/loader-packages.sh
exec bash scripts/test-lane.sh 'efi*' "$@"
