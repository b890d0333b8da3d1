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

mirror=$(apt-get indextargets --format '$(ORIGIN)|$(LABEL)|$(SITE)' 'Created-By: Packages' | sed -n 's/^Debian|Debian|//p' | head -n 1)
if [ -z "$mirror" ]; then
  echo 'debian-packages: no Debian mirror in the lists of apt. As root: apt-get update' >&2
  exit 1
fi
apt=$PWD/.cache/debian/apt
mkdir -p "$apt"/{etc,lists,state,cache}
: >"$apt/state/status"
printf 'deb %s %s main\n' "$mirror" "$suite" >"$apt/etc/sources.list"
options=(
  -qq -o Dir::Etc::SourceList="$apt/etc/sources.list" -o Dir::Etc::SourceParts=/dev/null -o Dir::Etc::PreferencesParts=/dev/null
  -o Dir::State="$apt/state" -o Dir::State::Lists="$apt/lists" -o Dir::State::Status="$apt/state/status" -o Dir::Cache="$apt/cache"
  -o APT::Sandbox::User=root -o APT::Install-Recommends=false -o APT::Architecture=amd64 -o Debug::NoLocking=true
)
apt-get "${options[@]}" update >&2
apt-get "${options[@]}" -y --download-only install "${wanted[@]}" >&2
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
