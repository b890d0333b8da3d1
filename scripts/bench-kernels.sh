#!/bin/bash
# Downloads the kernels that `npm run bench` counts boots of beside the two stock ones, into .cache/bench/kernels, a folder each: Debian's cloud
# kernels of stable and of sid, whose payload is zstd. Nothing is installed; one that is there stays. 60 MB.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/private-apt.sh
out=$PWD/.cache/bench

fetch() { # SUITE
  local package binary folder=$out/kernels/$1
  ! compgen -G "$folder/boot/vmlinuz-*" >/dev/null || return 0
  private_apt "$out/apt-$1" "$1"
  private_lists >&2
  package=$(apt-cache "${apt_options[@]}" depends linux-image-cloud-amd64 | sed -n 's/^ *Depends: \(linux-image-[0-9].*\)$/\1/p' | head -n 1)
  # Since 6.19 linux-image-* is empty, and this one has the image.
  binary=linux-binary-${package#linux-image-}
  if apt-cache "${apt_options[@]}" show "$binary" >/dev/null 2>&1; then package=$binary; fi
  rm -rf "$folder" "$folder.part"
  mkdir -p "$folder.part/boot"
  printf 'bench: %s of %s\n' "$package" "$1" >&2
  (cd "$folder.part" && apt-get "${apt_options[@]}" download "$package" >&2)
  dpkg-deb --fsys-tarfile "$folder.part"/*.deb |
    tar -x -O --wildcards './boot/vmlinuz-*' './usr/lib/modules/*/vmlinuz' >"$folder.part/boot/vmlinuz-${package#linux-*-}" 2>/dev/null || true
  rm "$folder.part"/*.deb
  [ -s "$folder.part/boot/vmlinuz-${package#linux-*-}" ]
  mv "$folder.part" "$folder"
}

fetch trixie
fetch sid
