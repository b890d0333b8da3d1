/**
 * /bin/save-dump of the capture initramfs, a script for busybox sh: writes the dead kernel's memory to a folder, in the
 * order that saves something whenever it can. docs/capture.md, "Dumps", describes it for users.
 *
 * makedumpfile needs the dead kernel's memory map, which an early panic has not made yet, and knows the kernels of
 * its own time only; then /proc/vmcore is copied as it is, which needs nothing of the dead kernel at all.
 */
import { limitedApplets, limitedFunctions } from './limited.js';

/** Where the initramfs has the public keys that dumps are encrypted to. */
export const dumpKeyPath = 'etc/saveoops/dump-key';

/** The busybox tools that save-dump calls. */
export const saveDumpApplets: readonly string[] = [
  ...limitedApplets,
  ...['dd', 'echo', 'grep', 'mkdir', 'mv', 'rm', 'setsid', 'sh', 'sync', 'tail', 'tr'],
];

/** The script's text. Its exit status: 0 saved, 1 not, 2 wrong arguments. */
export const saveDumpScript = String.raw`#!/bin/sh
# save-dump filtered|full DIRECTORY: saves a dump of the dead kernel's memory in DIRECTORY.
# Says one line for each attempt: "saved NAME (SIZE bytes, HOW)" or "failed HOW (REASON)".
level=$1
folder=$2
case $level in
  filtered | full) ;;
  *) folder= ;;
esac
if [ -z "$folder" ]; then
  echo "usage: save-dump filtered|full DIRECTORY" >&2
  exit 2
fi
umask 077

core=/proc/vmcore
key=/${dumpKeyPath}
messages=/tmp/save-dump.$$
# $1 of the shell that runs an attempt is the file to write.
if [ -e $key ]; then
  file=vmcore.age
  # The flattened format, because a pipe cannot be written out of order.
  makedumpfile="makedumpfile -F"
  suffix=" | age"
  to_file=" | age -R $key >\"\$1\""
  into=$to_file
else
  file=vmcore
  makedumpfile=makedumpfile
  suffix=
  to_file=' "$1"'
  into=' >"$1"'
fi
out=$folder/$file.incomplete
${limitedFunctions}
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

# save HOW COMMAND: one attempt. The file bears its name only when it is whole and on the disk.
save() {
  watched "$out" sh -c "set -o pipefail; $2" sh "$out" >$messages 2>&1
  status=$?
  if [ $status = 0 ] && limited 120 sync "$out" 2>$messages && mv "$out" "$folder/$file" 2>$messages; then
    echo "saved $file ($(stat -c %s "$folder/$file") bytes, $1$suffix)"
    exit 0
  fi
  echo "failed $1$suffix ($(reason $status))"
  # A larger file has no room either. What there is then is the best that fits: makedumpfile marks it so that crash(8)
  # opens it.
  ! disk_full || exit 1
  rm -f "$out"
}

# $1: pages to leave out, as in makedumpfile(8). Only errors are told.
filter() {
  save "$makedumpfile -l -d $1" "$makedumpfile --message-level 4 -l -d $1 $core$to_file"
}

: >$messages
mkdir -p "$folder"
[ $level = full ] || filter 31
filter 1
save "copy of $core" "dd if=$core bs=1M$into"
exit 1
`;
