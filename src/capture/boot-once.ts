/**
 * /bin/boot-once of the capture initramfs, a script for busybox sh: ends a row of panics that nobody stops. It counts
 * captures, and has Syslinux start another entry at the next boot, once. docs/capture.md, "No endless row of panics".
 *
 * Syslinux keeps what it is to boot once in two sectors at the end of ldlinux.sys (the "auxiliary data vector") and clears
 * them before it obeys, so that it never does so twice. Debian's extlinux writes them on any file system that it knows, for
 * Syslinux and EXTLINUX alike.
 */

import { menuFile } from './in-a-row.js';

/** The busybox tools that boot-once calls. */
export const bootOnceApplets: readonly string[] = [
  'basename',
  'dirname',
  'grep',
  'sed',
  'sync',
  'tail',
  'tr',
];

/** Word of the kernel's command line that only a boot instead of a panicking kernel has; its value is the capture's name. */
export const fallbackWord = 'saveoops.fallback=';

/** In the folder of the captures: how many there were since the last good boot. A decimal and a line end. */
export const inARowFile = 'in-a-row';

/** Times in seconds. */
const limits = {
  /** A few sectors, and the cache of a slow stick. */
  write: 120,
} as const;

/**
 * A function of save-capture: `count_in_a_row DIRECTORY CAPTURE`, both on the mounted file system, sets $in_a_row, and
 * $fallback to the entry that boots next when that is too many.
 */
export const countInARowFunction = String.raw`
count_in_a_row() {
  fallback=
  if ! limited ${limits.write} boot-once count "$1" >$state/in-a-row 2>$state/said; then
    failure "${inARowFile} ($(why 1))"
    return
  fi
  read -r in_a_row <$state/in-a-row
  case $max_in_a_row in
    0 | [1-9] | [1-9][0-9] | [1-9][0-9][0-9]) ;;
    *)
      failure "saveoops.max-in-a-row=$max_in_a_row (no number from 0 to 999)"
      return
      ;;
  esac
  [ $max_in_a_row != 0 ] && [ $in_a_row -ge $max_in_a_row ] || return 0
  note "$in_a_row captures in a row"
  # What Syslinux boots is written beside it, and only what was named is written to.
  if [ "$(lower "$boot")" != "$(lower "$uuid")" ]; then
    failure "boot-once (Syslinux was started from another file system: ${'${boot:-unknown}'})"
  elif limited ${limits.write} boot-once set $root "$entry" "$2" >$state/said 2>&1; then
    fallback=$entry
  else
    failure "boot-once ($(why $?))"
  fi
}
`;

/** The script's text. Its exit status: 0 done, 1 not, with the reason on standard output, 2 wrong arguments. */
export const bootOnceScript = String.raw`#!/bin/sh
# boot-once count DIRECTORY: one more capture since the last good boot; prints the number, which DIRECTORY keeps.
# boot-once set MOUNTPOINT LABEL CAPTURE: Syslinux on the file system that is mounted there starts LABEL at the next boot,
# which tells the kernel the name of CAPTURE, a directory, beside which the count starts anew.

# In place: a full disk has no room for a new file.
keep_count() {
  [ ! -L "$1/${inARowFile}" ] && echo $2 >"$1/${inARowFile}" && sync "$1/${inARowFile}" "$1"
}

# What is no number up to 999 is none of ours.
read_count() {
  number=0
  [ ! -f "$1/${inARowFile}" ] || read -r number <"$1/${inARowFile}"
  case $number in
    [0-9] | [1-9][0-9] | [1-9][0-9][0-9]) ;;
    *) number=0 ;;
  esac
}

# A label that Syslinux does not find would leave the machine at its prompt. The menu of an installed system is a file
# that the configuration includes, in /boot/saveoops.
has_entry() {
  sed -n 's/^[[:space:]]*[Ll][Aa][Bb][Ee][Ll][[:space:]]*//p' "$1"/*.cfg "$1"/*.conf \
    "$1/../saveoops/${menuFile}" "$1/saveoops/${menuFile}" 2>/dev/null | tr -d '\r' |
    grep -qxF "$2"
}

# Of several installations one is started; another's sectors are nobody's business and do no harm.
set_once() {
  reason="no ldlinux.sys with an entry \"$2\" beside it"
  for folder in "$1/boot/syslinux" "$1/syslinux" "$1/boot/extlinux" "$1/extlinux" "$1/boot" "$1"; do
    [ -f "$folder/ldlinux.sys" ] && has_entry "$folder" "$2" || continue
    if said=$(extlinux --once="$2 ${fallbackWord}$(basename "$3")" "$folder" 2>&1); then
      reason=
    else
      reason=$(echo "$said" | tail -n 1)
      break
    fi
  done
  if [ -n "$reason" ]; then
    echo "$reason"
    return 1
  fi
  sync
  keep_count "$(dirname "$3")" 0
}

case "$1 $#" in
  "count 2")
    read_count "$2"
    keep_count "$2" $((number + 1)) && echo $((number + 1))
    ;;
  "set 4") set_once "$2" "$3" "$4" ;;
  *)
    echo "usage: boot-once count DIRECTORY | set MOUNTPOINT LABEL CAPTURE" >&2
    exit 2
    ;;
esac
`;
