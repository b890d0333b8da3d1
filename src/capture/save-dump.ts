/**
 * /bin/save-dump of the capture initramfs, a script for busybox sh: writes what /proc/vmcore holds to a folder, in
 * the order that always saves something. docs/capture.md, "Dumps", describes it for users.
 *
 * The log comes first: it is small, it is what most readers want, and vmcore-dmesg works at every point of the boot.
 * makedumpfile needs the dead kernel's memory map, which an early panic has not made yet, and knows the kernels of
 * its own time only; then /proc/vmcore is copied as it is, which needs nothing of the dead kernel at all.
 */

/** The busybox tools that save-dump calls beside those of init. */
export const saveDumpApplets: readonly string[] = ['kill', 'mkdir', 'mv', 'rm', 'stat', 'tr'];

/** Times in seconds. */
const limits = {
  /** vmcore-dmesg never ends on some broken notes. */
  log: 60,
  /**
   * A dump's size, and so its time, is the machine's; what can be told is whether it still grows. makedumpfile
   * reads the memory map before it writes: seconds for each 100 GiB.
   */
  stall: 120,
} as const;

/** The script's text. Its exit status: 0 saved what was asked for, 1 not all of it, 2 wrong arguments. */
export const saveDumpScript = String.raw`#!/bin/sh
# save-dump none|filtered|full DIRECTORY: saves the dead kernel's log, and a dump of its memory, in DIRECTORY.
level=$1
folder=$2
case $level in
  none | filtered | full) ;;
  *) folder= ;;
esac
if [ -z "$folder" ]; then
  echo "usage: save-dump none|filtered|full DIRECTORY" >&2
  exit 2
fi

core=/proc/vmcore
messages=/tmp/save-dump.$$
saved=
failed=

size_of() {
  stat -c %s "$1" 2>/dev/null || echo 0
}

# Runs a command until it ends, or until $out has not grown for ${limits.stall} seconds: then its status is 124.
watched() {
  "$@" >$messages 2>&1 &
  worker=$!
  seen=
  idle=0
  while kill -0 $worker 2>/dev/null; do
    size=$(size_of "$out")
    idle=$((idle + 1))
    [ "$size" = "$seen" ] || idle=0
    seen=$size
    if [ $idle -ge ${limits.stall} ]; then
      kill -9 $worker
      return 124
    fi
    sleep 1
  done
  wait $worker
}

# Less than 1 MiB is left.
disk_full() {
  set -- $(stat -f -c '%a %S' "$folder")
  [ $(($1 * $2)) -lt 1048576 ]
}

# $1: exit status. Of what a failed command said the last line tells most; of a full disk makedumpfile says nothing.
reason() {
  case $1 in
    124 | 137 | 143) echo "stopped: it made no progress" ;;
    *)
      said=
      disk_full && said="no space left"
      [ -n "$said" ] || said=$(tr '\r' '\n' <$messages | grep . | tail -n 1)
      echo "exit status $1${'${said:+: $said}'}"
      ;;
  esac
}

# save NAME WHAT COMMAND...: one attempt at the file NAME, which bears its name only when it is whole.
save() {
  name=$1
  what=$2
  out=$folder/$name.incomplete
  shift 2
  "$@"
  status=$?
  if [ $status = 0 ] && sync "$out" 2>$messages && mv "$out" "$folder/$name" 2>$messages; then
    saved="$saved${'${saved:+, }'}$name ($(size_of "$folder/$name") bytes, $what)"
    return
  fi
  failed="$failed${'${failed:+, }'}$what ($(reason $status))"
  return 1
}

log() {
  timeout -k 5 ${limits.log} vmcore-dmesg $core >"$out" 2>$messages
}

# $1: pages to leave out, as in makedumpfile(8). Only errors are told.
filter() {
  watched makedumpfile --message-level 4 -l -d $1 $core "$out"
}

raw() {
  watched dd if=$core of="$out" bs=1M
}

# After a failure for lack of space a larger file fails, too; what is there then is the best that fits, and
# makedumpfile marks it so that crash(8) opens it.
next() {
  disk_full && return 1
  rm -f "$out"
}

dump() {
  if [ $level = filtered ]; then
    save vmcore "makedumpfile -l -d 31" filter 31 && return
    next || return
  fi
  save vmcore "makedumpfile -l -d 1" filter 1 && return
  next || return
  save vmcore "copy of $core" raw
}

: >$messages
mkdir -p "$folder" 2>$messages
save vmcore-dmesg.txt vmcore-dmesg log
complete=$?
if [ $level != none ]; then
  dump
  complete=$((complete + $?))
fi
echo "saveoops: saved ${'${saved:-nothing}'}${'${failed:+; failed: $failed}'}"
rm -f $messages
[ $complete = 0 ]
`;
