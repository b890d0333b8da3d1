#!/bin/bash
# npm run test:readers: crash and drgn on dumps of the stock kernel. Fetches that kernel's debug package, 858 MB, once,
# and keeps of it only the vmlinux: .cache/debug/vmlinux-RELEASE. Arguments go to jest.
set -euo pipefail
cd "$(dirname "$0")/.."
bash scripts/setup.sh
export PATH=$PATH:/usr/sbin:/sbin

. scripts/need.sh
need crash:crash python3-drgn:drgn

kernel=$(compgen -G "${SAVEOOPS_KERNEL_DIR:-.cache/kernels}/linux-image-[0-9]*[0-9]-amd64/boot/vmlinuz-*" | grep -v cloud | head -n 1)
release=${kernel##*/vmlinuz-}
if [ ! -r ".cache/debug/vmlinux-$release" ]; then
  echo "downloading linux-image-$release-dbg" >&2
  mkdir -p .cache/debug
  work=$(mktemp -d .cache/debug/.download-XXXXXX)
  trap 'rm -rf "$work"' EXIT
  # apt's own download user may not write here.
  (cd "$work" && apt-get download -qq -o APT::Sandbox::User=root "linux-image-$release-dbg" >&2)
  dpkg-deb --fsys-tarfile "$work"/*.deb | tar -x -C "$work" "./usr/lib/debug/boot/vmlinux-$release"
  mv "$work/usr/lib/debug/boot/vmlinux-$release" .cache/debug/
fi

npm run --silent build
node --experimental-vm-modules --no-warnings node_modules/jest/bin/jest.js \
  --maxWorkers=1 --testMatch '<rootDir>/dist/qemu-tests/readers.lane.js' "$@"
