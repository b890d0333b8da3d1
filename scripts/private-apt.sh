#!/bin/bash
# To be sourced. apt on folders of its own, as if nothing were installed; mirrors and keys are those of the system's configuration.
# After `private_apt FOLDER SUITE...` apt-get "${apt_options[@]}" knows the main packages of these suites of Debian, and
# $apt is the absolute path of FOLDER, with apt's lists in $apt/lists. `private_lists` reads them anew.

# The mirror of a label of Debian's, as the system's own lists have it.
debian_mirror() {
  apt-get indextargets --format '$(ORIGIN)|$(LABEL)|$(SITE)' 'Created-By: Packages' | sed -n "s/^Debian|$1|//p" | head -n 1
}

private_apt() { # FOLDER SUITE...
  local suite mirror debian security
  debian=$(debian_mirror Debian)
  security=$(debian_mirror Debian-Security)
  if [ -z "$debian" ]; then
    echo 'no Debian mirror in the lists of apt. As root: apt-get update' >&2
    exit 1
  fi
  mkdir -p "$1"/{etc,lists,state,cache}
  apt=$(cd "$1" && pwd)
  shift
  : >"$apt/state/status"
  for suite in "$@"; do
    case $suite in *-security) mirror=$security ;; *) mirror=$debian ;; esac
    [ -z "$mirror" ] || printf 'deb %s %s main\n' "$mirror" "$suite"
  done >"$apt/etc/sources.list"
  apt_options=(
    -qq -o Dir::Etc::SourceList="$apt/etc/sources.list" -o Dir::Etc::SourceParts=/dev/null -o Dir::Etc::PreferencesParts=/dev/null
    -o Dir::State="$apt/state" -o Dir::State::Lists="$apt/lists" -o Dir::State::Status="$apt/state/status" -o Dir::Cache="$apt/cache"
    -o APT::Sandbox::User=root -o APT::Architecture=amd64 -o Debug::NoLocking=true
  )
}

private_lists() { apt-get "${apt_options[@]}" update; }
