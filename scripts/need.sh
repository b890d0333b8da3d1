#!/bin/bash
# To be sourced. need PACKAGE:PROBE...: installs the Debian packages whose probe, a program or a file, is not there, as root;
# else prints the line to type, and ends the script.

need() {
  local each missing=()
  for each in "$@"; do
    has "${each#*:}" || missing+=("${each%%:*}")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  if [ "$(id -u)" != 0 ]; then
    echo 'Debian packages are missing. As root:' >&2
    echo "  apt-get update && apt-get install --no-install-recommends ${missing[*]}" >&2
    exit 1
  fi
  update_lists
  echo "installing ${missing[*]}" >&2
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >&2
}

has() {
  case $1 in
    /*) [ -r "$1" ] ;;
    *) PATH=$PATH:/usr/sbin:/sbin command -v "$1" >/dev/null ;;
  esac
}

# Once a script.
update_lists() {
  [ -z "${updated_lists-}" ] || return 0
  echo 'reading package lists' >&2
  apt-get update -qq >&2
  updated_lists=yes
}
