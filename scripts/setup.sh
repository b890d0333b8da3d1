#!/bin/bash
# Everything that demo, test and bench need on a Debian 12 machine with Node: npm packages, Debian packages, two stock
# kernels. Does nothing, quickly, when all is there. Debian packages are installed when run as root; otherwise the
# line to type is printed. The kernels are only downloaded and unpacked into .cache/kernels, never installed.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf 'setup: %s\n' "$*" >&2; }

. scripts/need.sh
need \
  gcc:gcc binutils:ld make:make linux-libc-dev:/usr/include/linux/perf_event.h \
  libqrcodegen-dev:/usr/include/qrcodegen/qrcodegen.h zbar-tools:zbarimg \
  qemu-system-x86:qemu-system-x86_64 util-linux:setpriv \
  syslinux:syslinux syslinux-common:/usr/lib/syslinux/modules/bios/ldlinux.c32 isolinux:/usr/lib/ISOLINUX/isolinux.bin extlinux:extlinux \
  syslinux-efi:/usr/lib/SYSLINUX.EFI/efi64/syslinux.efi ovmf:/usr/share/OVMF/OVMF_CODE_4M.fd sbsigntool:sbsign openssl:openssl \
  pxelinux:/usr/lib/PXELINUX/lpxelinux.0 ipxe-qemu:/usr/lib/ipxe/qemu/pxe-virtio.rom \
  mtools:mcopy fdisk:sfdisk dosfstools:fsck.fat e2fsprogs:mke2fs xfsprogs:mkfs.xfs btrfs-progs:mkfs.btrfs xorriso:xorriso \
  busybox-static:busybox kexec-tools:vmcore-dmesg makedumpfile:makedumpfile age:age openssh-client:ssh-keygen cpio:cpio \
  bzip2:bzip2 lz4:lz4 lzop:lzop xz-utils:xz zstd:zstd kmod:depmod \
  grub-common:grub-script-check grub2-common:/usr/sbin/grub-install grub-pc-bin:/usr/lib/grub/i386-pc/boot.img \
  file:file strace:strace shellcheck:shellcheck shfmt:shfmt elfutils:eu-readelf dwarves:pahole xxhash:xxhsum dpkg:dpkg-deb \
  zsh:zsh fish:fish

if [ ! -e node_modules/.package-lock.json ] || [ package-lock.json -nt node_modules/.package-lock.json ]; then
  say 'npm ci'
  npm ci --no-audit --no-fund --loglevel=error >&2
  touch node_modules/.package-lock.json
fi

# The newest kernel that the meta-package asks for, unless one of the flavour is there. $1: amd64, cloud-amd64
fetch_kernel() {
  local folder package work
  for folder in .cache/kernels/linux-image-*-"$1"; do
    case $folder in *-cloud-amd64) [ "$1" = cloud-amd64 ] || continue ;; esac
    compgen -G "$folder/boot/vmlinuz-*" >/dev/null && return 0
  done
  package=$(newest_kernel "$1")
  if [ -z "$package" ] && [ "$(id -u)" = 0 ]; then
    update_lists
    package=$(newest_kernel "$1")
  fi
  if [ -z "$package" ]; then
    say "no linux-image-$1 in the package lists. As root: apt-get update"
    exit 1
  fi
  say "downloading $package"
  mkdir -p .cache/kernels
  work=$(mktemp -d .cache/kernels/.download-XXXXXX)
  # apt's own download user may not write here.
  if ! (cd "$work" && apt-get download -qq -o APT::Sandbox::User=root "$package" >&2); then
    rm -rf "$work"
    [ "$(id -u)" = 0 ] && [ -z "${updated_lists-}" ] || {
      say "cannot download $package; as root: apt-get update"
      exit 1
    }
    update_lists # the lists may name a version that is gone
    fetch_kernel "$1"
    return
  fi
  dpkg-deb -x "$work"/*.deb "$work/root"
  rm -rf ".cache/kernels/$package"
  mv "$work/root" ".cache/kernels/$package"
  rm -rf "$work"
}

newest_kernel() {
  apt-cache depends "linux-image-$1" 2>/dev/null | sed -n 's/^ *Depends: \(linux-image-[0-9].*\)$/\1/p' | head -n 1
}

if [ -z "${SAVEOOPS_KERNEL_DIR:-}" ]; then
  fetch_kernel amd64
  fetch_kernel cloud-amd64
fi
