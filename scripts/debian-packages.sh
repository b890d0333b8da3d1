#!/bin/bash
# The packages of a minimal Debian 13, for the image of the debian lane: downloaded into .cache/debian/packages, never
# installed here. apt works on folders of its own there, with an empty list of installed packages, so that it resolves
# everything; mirror and keys are those of the system's configuration. Does nothing when they are there.
set -euo pipefail
cd "$(dirname "$0")/.."

suite=trixie
wanted=(
  '?essential' apt systemd-sysv udev dbus kmod login e2fsprogs initramfs-tools linux-image-amd64
  extlinux syslinux-common kexec-tools kdump-tools
  # what the package saveoops depends on
  nodejs busybox-static makedumpfile cpio xz-utils zstd lz4 bzip2 lzop
)
[ ! -d .cache/debian/packages ] || exit 0

. scripts/private-apt.sh
private_apt .cache/debian/apt "$suite"
apt_options+=(-o APT::Install-Recommends=false)
private_lists >&2
apt-get "${apt_options[@]}" -y --download-only install "${wanted[@]}" >&2
# The guest that installs them emulates its processor: it had better not decompress.
mkdir "$apt/packages"
for package in "$apt"/cache/archives/*.deb; do
  (
    cd "$apt/packages"
    control=$(ar t "$package" | grep '^control')
    ar x "$package" debian-binary "$control"
    dpkg-deb --fsys-tarfile "$package" >data.tar
    ar rc "${package##*/}" debian-binary "$control" data.tar
    rm debian-binary "$control" data.tar
  )
done
mv "$apt/packages" .cache/debian/packages
rm -rf "$apt"
