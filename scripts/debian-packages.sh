#!/bin/bash
# The packages of a minimal Debian 13, for the images of the debian lane: downloaded into .cache/debian, never installed here:
#
#   packages             the system
#   packages-LOADER      what it gets for each boot loader beside that
#   packages-upgrade     a newer kernel, of the security archive
#
# apt works on folders of its own there, with an empty list of installed packages, so that it resolves everything; mirror and keys
# are those of the system's configuration. Does nothing when they are there.
set -euo pipefail
cd "$(dirname "$0")/.."

suite=trixie
wanted=(
  '?essential' apt systemd-sysv udev dbus kmod login e2fsprogs initramfs-tools linux-image-amd64
  kexec-tools kdump-tools
  # what the package saveoops depends on
  nodejs busybox-static makedumpfile cpio xz-utils zstd lz4 bzip2 lzop
)
[ ! -d .cache/debian/packages-upgrade ] || [ ! -d .cache/debian/packages-grub-secure ] || exit 0

. scripts/private-apt.sh

# Fetches what these need into .cache/debian/NAME, without what .cache/debian/packages has.
fetch() { # NAME PACKAGE...
  local out=.cache/debian/$1 package names=()
  shift
  [ ! -d "$out" ] || return 0
  for package in $(apt-get "${apt_options[@]}" -s install "$@" | sed -n 's/^Inst \([^ ]*\) .*/\1/p'); do
    compgen -G ".cache/debian/packages/${package}_*.deb" >/dev/null || names+=("$package")
  done
  rm -rf "$apt/packages"
  mkdir -p "$apt/packages" "$apt/cache/archives/partial"
  (
    cd "$apt/packages"
    apt-get "${apt_options[@]}" download "${names[@]}" >&2
    # The guest that installs them emulates its processor: it had better not decompress.
    for package in *.deb; do
      control=$(ar t "$package" | grep '^control')
      ar x "$package" debian-binary "$control"
      dpkg-deb --fsys-tarfile "$package" >data.tar
      rm "$package"
      ar rc "$package" debian-binary "$control" data.tar
      rm debian-binary "$control" data.tar
    done
  )
  mv "$apt/packages" "$out"
}

private_apt .cache/debian/apt "$suite"
apt_options+=(-o APT::Install-Recommends=false)
private_lists >&2
fetch packages "${wanted[@]}"
fetch packages-extlinux "${wanted[@]}" extlinux syslinux-common
fetch packages-grub-pc "${wanted[@]}" grub-pc
fetch packages-grub-efi "${wanted[@]}" grub-efi-amd64 efibootmgr
fetch packages-grub-secure "${wanted[@]}" grub-efi-amd64 grub-efi-amd64-signed shim-signed efibootmgr mokutil sbsigntool dkms
fetch packages-systemd-boot "${wanted[@]}" systemd-boot
private_apt .cache/debian/apt "$suite" "$suite-security"
apt_options+=(-o APT::Install-Recommends=false)
private_lists >&2
kernel=$(apt-cache "${apt_options[@]}" depends linux-image-amd64 | sed -n 's/^ *Depends: \(linux-image-[0-9].*\)$/\1/p' | head -n 1)
fetch packages-upgrade "$kernel"
rm -rf "$apt"
