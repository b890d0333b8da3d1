#!/bin/bash
# Downloads the kernels of qemu-tests/matrix/kernels.lock into .cache/matrix, and unpacks their images; nothing is installed.
# apt works on folders of its own there, with the mirror and keys of the system's configuration. A package that is gone from the mirror is
# replaced by the newest of its suite, series and flavour, and that is said.
set -euo pipefail
cd "$(dirname "$0")/.."
lock=qemu-tests/matrix/kernels.lock
out=.cache/matrix
apt=$PWD/$out/apt

say() { printf 'matrix: %s\n' "$*" >&2; }

options=(
  -qq -o Dir::Etc::SourceList="$apt/etc/sources.list" -o Dir::Etc::SourceParts=/dev/null -o Dir::Etc::PreferencesParts=/dev/null
  -o Dir::State="$apt/state" -o Dir::State::Lists="$apt/lists" -o Dir::State::Status="$apt/state/status" -o Dir::Cache="$apt/cache"
  -o APT::Sandbox::User=root -o APT::Architecture=amd64 -o Debug::NoLocking=true
)

read_lists() {
  [ ! -e "$apt/read" ] || return 0
  local mirror suite
  mirror=$(apt-get indextargets --format '$(ORIGIN)|$(LABEL)|$(SITE)' 'Created-By: Packages' | sed -n 's/^Debian|Debian|//p' | head -n 1)
  if [ -z "$mirror" ]; then
    say 'no Debian mirror in the lists of apt. As root: apt-get update'
    exit 1
  fi
  mkdir -p "$apt"/{etc,lists,state,cache}
  : >"$apt/state/status"
  # A list each, so that the newest of a suite can be told.
  # shellcheck disable=SC2013 # a name each
  for suite in $(sed -n 's/^\([a-z][^ ]*\) .*/\1/p' "$lock" | sort -u); do
    printf 'deb %s %s main\n' "$mirror" "$suite"
  done >"$apt/etc/sources.list"
  say 'reading package lists'
  apt-get "${options[@]}" update >&2
  touch "$apt/read"
}

# suite series flavour -> "package version sha256" of the newest package that has an image. Since Linux 7.1 that is linux-binary-*.
newest() {
  local list
  for list in "$apt"/lists/*_dists_"$1"_main_binary-amd64_Packages*; do
    case $list in
      *.lz4) lz4 -dc "$list" ;;
      *) cat "$list" ;;
    esac
  done | awk -v series="${2/./[.]}" -v flavour="$3" '
    /^Package: /{package=$2} /^Version: /{version=$2}
    /^SHA256: / && package ~ "^linux-(image|binary)-" series "[^a-z]*([+]deb[0-9.]+)?-" flavour "$" { print version, package, $2 }' |
    sort -k1,1V -k2,2r | sed -n '$p' | while read -r version package sum; do printf '%s %s %s\n' "$package" "$version" "$sum"; done
}

fetch() { # folder package version sha256
  local folder=$1 package=$2 version=$3 sum=$4 deb
  deb=$(cd "$folder" && apt-get "${options[@]}" download "$package=$version" >&2 && echo *.deb) || return 1
  if [ "$(sha256sum "$folder/$deb" | cut -d ' ' -f 1)" != "$sum" ]; then
    say "$package $version is not the locked file: $sum"
    return 1
  fi
  dpkg-deb --fsys-tarfile "$folder/$deb" | tar -x -C "$folder" --wildcards './boot/*' './usr/lib/modules/*/vmlinuz' 2>/dev/null || true
  rm "$folder/$deb"
  compgen -G "$folder/boot/vmlinuz-*" >/dev/null || compgen -G "$folder/usr/lib/modules/*/vmlinuz" >/dev/null
}

mkdir -p "$out"
while read -r suite series flavour package version sum; do
  case $suite in '#'* | '') continue ;; esac
  folder=$out/$suite-$series-$flavour
  [ ! -e "$folder/package" ] || continue
  read_lists
  rm -rf "$folder"
  mkdir -p "$folder"
  if ! fetch "$folder" "$package" "$version" "$sum"; then
    read -r package version sum <<<"$(newest "$suite" "$series" "$flavour")"
    [ -n "${package:-}" ] || {
      say "$suite has no kernel $series $flavour"
      exit 1
    }
    say "the locked kernel is gone; taken instead: $package $version"
    rm -rf "$folder"
    mkdir -p "$folder"
    fetch "$folder" "$package" "$version" "$sum" || {
      say "no image in $package"
      exit 1
    }
  fi
  printf '%s %s\n' "$package" "$version" >"$folder/package"
done <"$lock"
rm -f "$apt/read"
