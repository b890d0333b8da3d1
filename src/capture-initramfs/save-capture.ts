/**
 * /bin/save-capture of the capture initramfs, a script for busybox sh: saves what is known of the dead kernel in a
 * directory of its own on the one file system that was named. docs/capture.md, "Saving", describes it for users.
 *
 * Order is by worth: the log is small and says most, so it is on the disk before anything else is tried; a full disk or
 * a hang takes only what comes later. What touches a disk is a program of its own under a time limit, never the shell itself.
 */
import { countInARowFunction } from './boot-once.js';
import { captureJsonApplets, captureJsonFunction } from './capture-json.js';
import { findFileSystemApplets, findFileSystemFunctions } from './find-file-system.js';
import { limitedApplets, limitedFunctions } from './limited.js';
import { pruneCapturesApplets, pruneCapturesFunction } from './prune-captures.js';
import { unsafeFileSystemsApplets, unsafeFileSystemsFunctions } from './unsafe-file-systems.js';

/** The busybox tools that save-capture calls. */
export const saveCaptureApplets: readonly string[] = [
  ...captureJsonApplets,
  ...findFileSystemApplets,
  ...limitedApplets,
  ...pruneCapturesApplets,
  ...unsafeFileSystemsApplets,
  ...[
    'cut',
    'date',
    'dmesg',
    'grep',
    'mkdir',
    'mount',
    'mv',
    'od',
    'readlink',
    'rm',
    'sha256sum',
    'sh',
    'sleep',
  ],
  ...['strings', 'sync', 'tr', 'umount', 'wc'],
];

/** Times in seconds. */
const limits = {
  /** Drivers, and the disks that they find; load-modules has limits of its own. */
  modules: 90,
  /** A disk on USB may appear late. */
  appear: 15,
  /** A journal's replay included. */
  mount: 120,
  /** Small files, and the cache of a slow stick. */
  write: 120,
} as const;

/**
 * Room that is kept for capture.json and capture.log on a disk that the dump fills: KiB. Debian's crash kernel says
 * about 60.
 */
const reserve = 256;

/** The script's text. Its exit status: 0 saved what was asked for, 1 not all of it, 2 nothing. */
export const saveCaptureScript = String.raw`#!/bin/sh
# save-capture: saves the capture that init describes in /run/capture. Options are variables of the environment: save,
# dump, keep, boot, max_in_a_row, entry, each as on the command line (saveoops.save= and so on), empty for none.
# Says where in a line or two, and creates /run/capture/safe once the log is on the disk or cannot be.
umask 077
state=/run/capture
root=$state/root
: >$state/files
: >$state/failures
: >$state/dump
${limitedFunctions}${findFileSystemFunctions}${unsafeFileSystemsFunctions}${pruneCapturesFunction}${captureJsonFunction}${countInARowFunction}
# A line of capture.log, with the seconds since this kernel's start.
note() {
  read -r uptime rest </proc/uptime
  echo "[$uptime] $1" >>$state/notes
}

failure() {
  note "failed: $1"
  echo "$1" >>$state/failures
}

# The end when nothing was saved.
refuse() {
  note "nothing saved: $1"
  echo "not saved: $1"
  : >$state/safe
  exit 2
}

# put NAME COMMAND...: what the command prints as a file in the capture's directory, which bears its name only when it is
# whole and on the disk. The shell itself never opens a file there: it would hang with the disk.
put() {
  file=$folder/$1
  item=$1
  shift
  # A disk that has not answered once is not waited for again.
  [ -z "$stuck" ] || return 1
  limited ${limits.write} sh -c 'exec >"$1" && shift && exec "$@"' sh "$file.incomplete" "$@" 2>$state/said &&
    limited ${limits.write} sync "$file.incomplete" 2>$state/said &&
    limited ${limits.write} mv "$file.incomplete" "$file" 2>$state/said &&
    limited ${limits.write} sync "$folder" 2>$state/said
  status=$?
  [ $status != 0 ] || return 0
  failure "$item ($(why $status))"
  [ $status != 124 ] || stuck=yes
  return 1
}

# $1: exit status of a command whose last words are in $state/said.
why() {
  if [ $1 = 124 ]; then echo "no answer"; else tail -n 1 $state/said | sed 's/^[a-z]*: //'; fi
}

# --- what is wanted ---
case $save in
  boot | LABEL=?* | UUID=?* | PARTLABEL=?*) ;;
  *) refuse "saveoops.save=$save is none of boot, LABEL=NAME:/DIRECTORY, UUID=..., PARTLABEL=..., none" ;;
esac
where=${'${save%%:/*}'}
into=/saveoops
[ "$where" = "$save" ] || into=/${'${save#*:/}'}
case $into/ in
  *..* | */./* | *[!A-Za-z0-9.+_/-]*) refuse "saveoops.save=$save does not name a directory that is allowed" ;;
esac
case $dump in
  none | filtered | full) ;;
  *)
    failure "saveoops.dump=$dump (none of none, filtered, full)"
    dump=none
    ;;
esac
case $keep in
  0 | [1-9] | [1-9][0-9] | [1-9][0-9][0-9]) ;;
  *)
    failure "saveoops.keep=$keep (no number from 0 to 999)"
    keep=0
    ;;
esac

# --- the file system ---
note "loading drivers for storage"
limited ${limits.modules} load-modules storage >$state/said 2>&1 || note "load-modules storage: $(why $?)"
waited=0
probe_disks
until find_file_system "$where" "$boot"; do
  # More than one, or none that could come: more time changes nothing.
  [ $waited -lt ${limits.appear} ] && [ -n "$wanted" ] && [ -z "$found" ] || refuse "$reason"
  sleep 1
  waited=$((waited + 1))
  probe_disks
done
note "$where is $device ($type, $uuid)"
resume=$(of_log ' resume_offset=' | sed 's/^ resume_offset=\([0-9]*\).*/\1/')
find_hibernated "$resume" || refuse "$reason"
case $type in
  vfat) options=,umask=0077 driver=vfat ;;
  ext2 | ext3 | ext4) options=,errors=remount-ro driver=ext4 ;;
  xfs | btrfs) options= driver=$type ;;
  iso9660 | udf) refuse "$device is a file system for reading only ($type)" ;;
  *) refuse "$device has no file system that can be written here (${'${type:-none known}'})" ;;
esac
[ "$(cat /sys/class/block/${'${device#/dev/}'}/ro)" = 0 ] || refuse "$device is read-only"
find_damage $device $type || refuse "$reason"
[ -z "$remark" ] || note "$remark"
limited ${limits.modules} load-modules fs $driver >$state/said 2>&1 || note "load-modules fs $driver: $(why $?)"
mkdir -p $root
limited ${limits.mount} mount -t $driver -o rw,nosuid,nodev,noexec$options $device $root 2>$state/said ||
  refuse "$device ($type) cannot be mounted: $(why $?)"

# --- the directory ---
# Gives the disk back. What was not unmounted is made read-only with all else by the kernel's emergency call.
release_disk() {
  if [ -z "$stuck" ]; then
    limited ${limits.write} umount $root 2>$state/said && return
    failure "umount ($(why $?))"
  fi
  echo u >/proc/sysrq-trigger
}

limited ${limits.write} mkdir -p "$root$into" 2>$state/said
# A symbolic link could lead off the disk.
limited ${limits.write} readlink -f "$root$into" >$state/real
case $(cat $state/real) in
  $root | $root/*) ;;
  *)
    release_disk
    refuse "$into is no directory on $device: $(why 1)"
    ;;
esac
release=$(dd if=/proc/vmcore bs=64k count=1 2>/dev/null | strings | sed -n 's/^OSRELEASE=//p' | head -n 1)
[ -n "$release" ] || release=$(of_log 'Linux version ' | cut -d ' ' -f 3)
time=$(date -u +%Y-%m-%dT%H:%M:%SZ)
tries=3
while :; do
  id=$(od -An -N3 -tx1 /dev/urandom | tr -d ' \n')
  capture=$(echo "$time" | tr -d :-)-$(echo "${'${release:-unknown}'}" | tr -c 'A-Za-z0-9.+_\n-' _)-$id
  directory=${'${into%/}'}/$capture
  folder=$root$directory
  limited ${limits.write} mkdir "$folder" 2>$state/said && break
  status=$?
  tries=$((tries - 1))
  # A name that is taken is not taken three times: it is the disk.
  if [ $tries = 0 ]; then
    release_disk
    refuse "no directory $directory on $device: $(why $status)"
  fi
done
note "saving in $directory"

stuck=
saved=
# kept NAME: a file that is whole and on the disk.
kept() {
  saved="$saved${'${saved:+, }'}$1"
  watched "$folder/$1" sha256sum "$folder/$1" >$state/sum 2>$state/said || failure "sha256sum of $1 ($(why $?))"
  read -r sha256 rest <$state/sum
  echo "$1 $(stat -c %s "$folder/$1") $sha256" >>$state/files
}

# --- the log ---
source="cat $state/log"
# There was no room for all of it in memory.
[ ! -e $state/log-is-cut ] || source="vmcore-dmesg /proc/vmcore"
safe=
put dmesg.txt $source && safe=yes
: >$state/safe
[ -z "$safe" ] || kept dmesg.txt
# Before the dump, which may take the disk's last room, or the machine's patience.
count_in_a_row "$root$into" "$folder"

# --- what is worth less ---
if [ -n "$safe" ] && [ $keep != 0 ]; then
  prune_captures "$root$into" $keep $capture >$state/said 2>&1
  while read -r line; do note "$line"; done <$state/said
fi
if [ -n "$safe" ] && [ $dump != none ]; then
  # Room for capture.json and capture.log, which come last, on a disk that the dump fills.
  limited ${limits.write} dd if=/dev/zero of="$folder/capture.json.incomplete" bs=1k count=${reserve} 2>$state/said
  note "dump: $dump"
  save-dump $dump "$folder" >$state/dump 2>$state/said
  while read -r word text; do
    case $word in
      saved) kept ${'${text%% *}'} ;;
      failed) failure "$text" ;;
    esac
  done <$state/dump
  limited ${limits.write} rm -f "$folder/capture.json.incomplete"
fi
capture_log() {
  cat $state/notes
  echo "---- log of the crash kernel ----"
  dmesg
}
capture_log >$state/capture.log
put capture.log cat $state/capture.log
capture_json >$state/capture.json
put capture.json cat $state/capture.json
release_disk

case $where in
  boot | LABEL=*) what="$type, $where, UUID $uuid" ;;
  UUID=*) what="$type, UUID $uuid" ;;
  *) what="$type, $where" ;;
esac
if [ -n "$saved" ]; then
  echo "saved on $device ($what)"
  echo "in $directory: $saved"
else
  echo "not saved on $device ($what)"
fi
while read -r line; do echo "failed: $line"; done <$state/failures
[ -z "$fallback" ] || echo "$in_a_row captures in a row: the next boot is \"$fallback\", once"
[ -n "$saved" ] || exit 2
[ ! -s $state/failures ]
`;
