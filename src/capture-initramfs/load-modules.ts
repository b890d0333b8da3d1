/**
 * /bin/load-modules of the capture initramfs, a script for busybox sh: loads drivers for the devices that are there.
 * docs/capture.md, "Kernel modules", describes it for users.
 *
 * Busybox's modprobe only plans (-D): which modules, in which order. They are loaded here, one by one, each with a
 * limit, because the dead kernel left the hardware in any state, and a driver that hangs on it must not keep those
 * of other disks from being loaded.
 */
import { watchdogModules } from './module-set.js';

/** The busybox tools that load-modules calls beside those of init. */
export const loadModulesApplets: readonly string[] = [
  'gunzip',
  'insmod',
  'mkfifo',
  'modprobe',
  'rm',
  'sed',
  'sort',
];

/** Times in seconds. */
const limits = {
  /** After that the next driver is tried, and this one goes on beside it. */
  module: 15,
  /** No new device for that long: all are there. usb-storage waits 1 s before it looks at a new disk. */
  quiet: 3,
  /** The same while a SCSI disk has not said its size. Not for ever: parts of a RAID never do. */
  silent: 20,
  /** Some RAID controllers take a minute to reset. */
  all: 90,
} as const;

/** The script's text. Its exit status: 0 disk, file system or watchdog is there, 1 it is not, 2 wrong arguments. */
export const loadModulesScript = String.raw`#!/bin/sh
# load-modules storage: drivers of the disks that are there. Ends when no more appear and says their names.
# load-modules fs TYPE: a file system.
# load-modules watchdog: drivers of hardware watchdogs.

# Each module has a loader of its own, which says here how it ended.
reports=/run/load-modules.$$
mkfifo $reports
exec 4<>$reports
rm $reports
running=0

# Unpacked only now, and gone once it is loaded: memory is short.
insert() {
  gunzip -c $1 >$2 && insmod $2 2>&1
  status=$?
  rm -f $2
  return $status
}

# Hears of one loader, or of none within $1 seconds; sets $ended.
hear() {
  read -r -t $1 ended status why <&4 || return
  running=$((running - 1))
  # A driver without its device is nothing to tell.
  case "$status $why" in
    0* | *"No such device") ;;
    *) echo "saveoops: $ended: $why" ;;
  esac
}

# load NAME...: modules by name or alias, and what they need. A name without a module is no error.
load() {
  for path in $(modprobe -qaD "$@" 2>/dev/null); do
    module=${'${path##*/}'}
    module=${'${module%.ko.gz}'}
    # -D prints "insmod PATH", and what is needed twice, twice.
    [ $module != $path ] && [ ! -d /sys/module/$module ] || continue
    (
      why=$(insert $path /run/$module.ko)
      echo $module $? "${'${why##*: }'}" >&4
    ) &
    running=$((running + 1))
    ended=
    until [ "$ended" = $module ]; do
      hear ${limits.module} && continue
      echo "saveoops: $module takes more than ${limits.module} seconds"
      break
    done
  done
}

# A disk whose driver has not come to know it, as while it spins up.
silent_disk() {
  for type in /sys/bus/scsi/devices/*/type; do
    [ -e $type ] && [ "$(cat $type)" = 0 ] && [ ! -d ${'${type%/type}'}/block ] && return
  done
  return 1
}

uptime() {
  read -r now rest </proc/uptime
  now=${'${now%.*}'}
}

storage() {
  known=" "
  before=
  uptime
  end=$((now + ${limits.all}))
  since=$now
  while [ $now -lt $end ]; do
    # Drivers bring devices, those bring modaliases, and so on.
    new=
    for alias in $(sed -n 's/^MODALIAS=//p' /sys/bus/*/devices/*/uevent 2>/dev/null | sort -u); do
      case $known in
        *" $alias "*) ;;
        *)
          known="$known$alias "
          new="$new $alias"
          ;;
      esac
    done
    [ -z "$new" ] || load $new
    state=$(echo $running /sys/bus/*/devices/* /sys/class/block/*)
    uptime
    [ "$state" = "$before" ] || since=$now
    before=$state
    quiet=${limits.quiet}
    ! silent_disk || quiet=${limits.silent}
    [ $running != 0 ] || [ $((now - since)) -lt $quiet ] || break
    hear 1
  done
  disks=
  for disk in /sys/class/block/*; do
    case $disk in
      */ram* | */loop* | */\*) ;;
      *) disks="$disks ${'${disk##*/}'}" ;;
    esac
  done
  echo "saveoops: disks:${'${disks:- none}'}"
  [ -n "$disks" ]
}

case "$1 $#" in
  "storage 1") storage ;;
  "fs 2")
    grep -qw "$2" /proc/filesystems || load "fs-$2"
    grep -qw "$2" /proc/filesystems
    ;;
  "watchdog 1")
    load ${watchdogModules.join(' ')}
    [ -c /dev/watchdog ]
    ;;
  *)
    echo "usage: load-modules storage | fs TYPE | watchdog" >&2
    exit 2
    ;;
esac
`;
