#!/bin/bash
# npm run test:efi: the lane efi, qemu-tests/efi*.lane.ts. Downloads boot loaders and firmware of newer Debian releases, 30 MB, once.
# Arguments go to jest.
set -euo pipefail
cd "$(dirname "$0")/.."

. scripts/need.sh
# Debian's python3 runs virt-fw-vars, which Debian 12 has not.
need systemd-boot-efi:/usr/lib/systemd/boot/efi/systemd-bootx64.efi grub-efi-amd64-bin:/usr/lib/grub/x86_64-efi/monolithic/grubx64.efi \
  ipxe:/usr/lib/ipxe/ipxe.efi swtpm:swtpm python3:/usr/bin/python3 \
  python3-cryptography:/usr/lib/python3/dist-packages/cryptography/__init__.py \
  python3-importlib-resources:/usr/lib/python3/dist-packages/importlib_resources/__init__.py
bash scripts/loader-packages.sh
exec bash scripts/test-lane.sh 'efi*' "$@"
