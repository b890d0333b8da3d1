#!/bin/bash
# Builds the kernels of qemu-tests/built/variants from Debian's linux-source-6.1 into .cache/built/kernels: arch/x86/boot/bzImage,
# vmlinux without debug information, .config. Nothing is installed but the build tools, as scripts/setup.sh does it. A kernel is built when it is
# not there or its options, base.config or the source have changed. Arguments: names of variants to build, by default all.
set -euo pipefail
cd "$(dirname "$0")/.."
lane=$PWD/qemu-tests/built
out=$PWD/.cache/built
package=linux-source-6.1
# Kernels that are built twice are to be the same.
export KBUILD_BUILD_TIMESTAMP='2024-01-01 00:00:00 UTC' KBUILD_BUILD_USER=saveoops KBUILD_BUILD_HOST=saveoops KBUILD_BUILD_VERSION=1
# Kernel and configuration are those of this script, whatever the caller's environment says.
unset KCONFIG_CONFIG KBUILD_OUTPUT ARCH CROSS_COMPILE

say() { printf 'built: %s\n' "$*" >&2; }

. scripts/need.sh
need flex:flex bison:bison bc:bc libelf-dev:/usr/include/libelf.h

if [ ! -e "$out/version" ]; then
  say "downloading $package"
  rm -rf "$out/source" "$out/download"
  mkdir -p "$out/source" "$out/download"
  # apt's own download user may not write here.
  (cd "$out/download" && apt-get download -qq -o APT::Sandbox::User=root "$package" >&2)
  dpkg-deb --fsys-tarfile "$out/download"/*.deb | tar -xO "./usr/src/$package.tar.xz" |
    tar -xJ -C "$out/source" --strip-components=1
  dpkg-deb -f "$out/download"/*.deb Version >"$out/version.new"
  rm -rf "$out/download" "$out/trees"
  mv "$out/version.new" "$out/version"
fi

# The source has no prompt for this option: it gets one by a second definition.
{
  sed '/^mainmenu/d' "$out/source/Kconfig"
  printf 'config KALLSYMS_BASE_RELATIVE\n\tbool "Addresses in kallsyms are offsets"\n'
} >"$out/Kconfig"

kernel_make() {
  make -s -C "$out/source" O="$out/tree" ARCH=x86_64 KBUILD_KCONFIG="$out/Kconfig" KCFLAGS= -j"$(nproc)" "$@" >>"$out/log" 2>&1 || {
    tail -n 20 "$out/log" >&2
    say "make $* failed; $out/log has all of it"
    exit 1
  }
}

configure() { # name option=value...
  local name=$1 option
  shift
  kernel_make tinyconfig
  {
    cat "$out/tree/.config" "$lane/base.config"
    printf 'CONFIG_LOCALVERSION="-%s"\n' "$name"
    printf 'CONFIG_%s\n' "$@"
  } >"$out/tree/all.config"
  # The last word on an option counts.
  mv "$out/tree/all.config" "$out/tree/.config"
  kernel_make olddefconfig
  for option in $(sed -n 's/^CONFIG_//p' "$lane/base.config") "$@"; do
    case " $* " in *" ${option%%=*}="*) [[ " $* " == *" $option "* ]] || continue ;; esac
    wanted "$option" || {
      say "$name: the kernel's configuration did not take $option"
      exit 1
    }
  done
}

wanted() { # option=value
  case $1 in
    *=n) ! grep -q "^CONFIG_${1%=n}=" "$out/tree/.config" ;;
    *) grep -qxF "CONFIG_$1" "$out/tree/.config" ;;
  esac
}

build() { # name on option=value...
  local name=$1 on=$2 key kernel=$out/kernels/$1 started=$SECONDS
  shift 2
  key=$(cat "$out/version" "$lane/base.config" - <<<"$*" | sha256sum)
  [ "$(cat "$kernel/key" 2>/dev/null)" != "$key" ] || return 0
  say "building $name"
  # In one place always, as paths get into the objects' rules: what it shares with another is not compiled again.
  rm -rf "$out/tree" "$kernel"
  if [ -d "$out/trees/$on" ]; then cp -a "$out/trees/$on" "$out/tree"; else mkdir "$out/tree"; fi
  : >"$out/log"
  configure "$name" "$@"
  kernel_make bzImage
  mkdir -p "$kernel.part"
  cp "$out/tree/.config" "$kernel.part/config"
  cp "$out/tree/arch/x86/boot/bzImage" "$kernel.part/bzImage"
  # For nm and readelf.
  strip -g -o "$kernel.part/vmlinux" "$out/tree/vmlinux"
  echo $((SECONDS - started)) >"$kernel.part/seconds"
  printf '%s\n' "$key" >"$kernel.part/key"
  mv "$kernel.part" "$kernel"
  if [ -n "$(rows | awk -v name="$name" '$2 == name')" ]; then
    mkdir -p "$out/trees"
    rm -rf "$out/trees/$name"
    mv "$out/tree" "$out/trees/$name"
  else
    rm -rf "$out/tree"
  fi
  say "$name: $((SECONDS - started)) s"
}

rows() { sed '/^#/d' "$lane/variants"; }

options_of() { # name: those of what it is built on, and its own
  local on options
  read -r _ on _ _ options < <(rows | awk -v name="$1" '$1 == name')
  [ "$on" = - ] || options_of "$on"
  printf '%s ' "$options"
}

for name in $(rows | cut -d ' ' -f 1); do
  if [ $# -gt 0 ] && [[ " $* " != *" $name "* ]]; then continue; fi
  # shellcheck disable=SC2046
  build "$name" "$(rows | awk -v name="$name" '$1 == name { print $2 }')" $(options_of "$name")
done
