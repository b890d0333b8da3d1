#!/bin/bash
# Downloads the kernels of the matrix into .cache/matrix/kernels, a folder each with the image alone; nothing is installed. Two kinds:
#   newest  of each Debian release, series and flavour: qemu-tests/matrix/suites
#   kept    those of qemu-tests/matrix/kernels.lock, whatever is newer
# .cache/matrix/list says which these are, a line each: suite series flavour package version kind. What the mirror does not have, or no longer,
# and is not here already, has "gone" for a kind. Other kernels are removed. What an interrupted run has downloaded stays.
# apt works on folders of its own there, with the mirrors and keys of the system's configuration.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/private-apt.sh
out=.cache/matrix
# Seconds for one package: 175 MB at most.
limit=900

say() { printf 'matrix: %s\n' "$*" >&2; }

suites() { grep -v '^#' qemu-tests/matrix/suites; }

# An update of lists that are there costs little; without a network they are used as they are.
read_lists() {
  local suite
  # shellcheck disable=SC2046 # a suite each
  private_apt "$out/apt" $(suites)
  say 'reading package lists'
  private_lists 2>"$apt/errors" >&2 || true
  for suite in $(suites); do
    compgen -G "$apt/lists/*_dists_${suite}_InRelease" >/dev/null || say "no list of $suite: $(grep -m 1 " $suite " "$apt/errors" || echo 'no mirror for it')"
  done
  if ! compgen -G "$apt/lists/*_Packages*" >/dev/null; then
    cat "$apt/errors" >&2
    exit 1
  fi
}

# The kernels of a suite that have an image: "suite series flavour package version sha256". What has it is called linux-image-* or, since
# 6.19, linux-binary-*, beside which linux-image-* is empty. So the size tells: with an image 13 MB at least, empty 3 MB at most.
kernels_of() {
  local list
  for list in "$apt"/lists/*_dists_"$1"_main_binary-amd64_Packages*; do
    [ ! -e "$list" ] || /usr/lib/apt/apt-helper cat-file "$list"
  done | awk -v suite="$1" '
    /^Package: / { package = $2 } /^Version: / { version = $2 } /^Size: / { size = $2 }
    /^SHA256: / && size > 5000000 && package ~ /^linux-(image|binary)-[0-9]+[.][0-9]+.*-amd64$/ && package !~ /-dbg$/ {
      split(package, part, "-")
      split(part[3], number, /[.+]/)
      flavour = match(package, /-(cloud|rt)-amd64$/) ? substr(package, RSTART + 1) : "amd64"
      print suite, number[1] "." number[2], flavour, package, version, $2
    }'
}

# Of the kernels of a line of suites, the newest of each series and flavour; where several suites have it, as the first one's.
newest_of() {
  local suite
  for suite in "$@"; do cat "$apt/kernels/$suite"; done | sort -s -k 5,5V |
    awk '{ key = $2 " " $3 } version[key] != $5 { last[key] = $0; version[key] = $5 } END { for (key in last) print last[key], "newest" }'
}

folder_of() { printf '%s/kernels/%s_%s' "$out" "$1" "$2"; }

choose() {
  local line suite series flavour package version sum name
  mkdir -p "$apt/kernels"
  for suite in $(suites); do kernels_of "$suite" >"$apt/kernels/$suite"; done
  # shellcheck disable=SC2086 # a name each
  suites | while read -r line; do newest_of $line; done
  grep -v '^#' qemu-tests/matrix/kernels.lock | while read -r suite series flavour package version sum; do
    name="$suite $series $flavour $package $version $sum"
    if [ -e "$(folder_of "$package" "$version")/vmlinuz" ] || grep -qxsF "$name" "$apt/kernels/$suite"; then
      printf '%s kept\n' "$name"
    else
      printf '%s gone\n' "$name"
    fi
  done
}

# Status 2 when the mirror does not have what its own list names, 1 for all else.
fetch() { # package version sha256
  local folder deb
  folder=$(folder_of "$1" "$2")
  rm -rf "$folder.part"
  mkdir -p "$folder.part"
  if ! (cd "$folder.part" && timeout $limit apt-get "${apt_options[@]}" download "$1=$2" 2>"$apt/errors" >&2); then
    cat "$apt/errors" >&2
    ! grep -q ' 404 ' "$apt/errors" || return 2
    return 1
  fi
  deb=$(echo "$folder.part"/*.deb)
  if [ "$(sha256sum "$deb" | cut -d ' ' -f 1)" != "$3" ]; then
    say "$1 $2 is not the file of the list: $3"
    return 1
  fi
  dpkg-deb --fsys-tarfile "$deb" | tar -x -O --wildcards './boot/vmlinuz-*' './usr/lib/modules/*/vmlinuz' >"$folder.part/vmlinuz" 2>/dev/null || true
  rm "$deb"
  [ -s "$folder.part/vmlinuz" ] || {
    say "no image in $1"
    return 1
  }
  rm -rf "$folder"
  mv "$folder.part" "$folder"
}

mkdir -p "$out/kernels"
read_lists
# One line for each package, as newest if it is that.
choose | sort -k 5,5V -k 4,4 -k 7,7r | awk '!seen[$4 " " $5]++' >"$out/chosen"

while read -r suite series flavour package version sum kind; do
  if [ "$kind" != gone ] && [ ! -e "$(folder_of "$package" "$version")/vmlinuz" ]; then
    say "$package $version"
    status=0
    fetch "$package" "$version" "$sum" || status=$?
    case $status in
      0) ;;
      2) kind=gone ;;
      *) exit 1 ;;
    esac
  fi
  [ "$kind" != gone ] || say "the mirror does not have $package $version"
  printf '%s %s %s %s %s %s\n' "$suite" "$series" "$flavour" "$package" "$version" "$kind"
done <"$out/chosen" >"$out/list.part"

for folder in "$out"/kernels/*; do
  name=${folder##*/}
  grep -qF " ${name%%_*} ${name#*_} " "$out/list.part" || rm -rf "$folder"
done
mv "$out/list.part" "$out/list"
rm "$out/chosen"
