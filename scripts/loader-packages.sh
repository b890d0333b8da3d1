#!/bin/bash
# Downloads the packages of qemu-tests/loaders/packages into .cache/loaders/SUITE/PACKAGE, unpacked, with a file "version"; nothing is
# installed, but what Debian's python3 needs to run their virt-fw-vars. Does nothing when they are there: remove .cache/loaders to have newer ones.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/need.sh
need python3:/usr/bin/python3 python3-cryptography:/usr/lib/python3/dist-packages/cryptography/__init__.py \
  python3-importlib-resources:/usr/lib/python3/dist-packages/importlib_resources/__init__.py
. scripts/private-apt.sh
out=$PWD/.cache/loaders

mapfile -t missing < <(grep -v '^#' qemu-tests/loaders/packages | while read -r suite package; do
  [ -e "$out/$suite/$package/version" ] || echo "$suite $package"
done)
[ ${#missing[@]} -gt 0 ] || exit 0

mapfile -t suites < <(printf '%s\n' "${missing[@]}" | cut -d ' ' -f 1 | sort -u)
private_apt "$out/apt" "${suites[@]}"
echo 'loaders: reading package lists' >&2
private_lists >&2
for line in "${missing[@]}"; do
  read -r suite package <<<"$line"
  folder=$out/$suite/$package
  rm -rf "$folder" "$folder.part"
  mkdir -p "$folder.part"
  (cd "$folder.part" && apt-get "${apt_options[@]}" download "$package/$suite" >&2)
  deb=$(echo "$folder.part"/*.deb)
  dpkg-deb -f "$deb" Version >"$folder.part/version"
  echo "loaders: $suite: $package $(<"$folder.part/version")" >&2
  dpkg-deb -x "$deb" "$folder.part"
  rm "$deb"
  mv "$folder.part" "$folder"
done
rm -rf "$apt"
