# The save target boot, LABEL=, UUID=, PARTLABEL= and PARTUUID=: a file system on a disk of this machine. What each function of a save
# target takes, gives and sets: docs/capture.md, "A save target".
. "$lib/find-file-system.sh"
. "$lib/unsafe-file-systems.sh"
. "$lib/prune-captures.sh"
. "$lib/count-in-a-row.sh"

root=$state/root
# A disk that has not answered once is not waited for again.
stuck=

target_find() {
  where=${save%%:/*}
  into=/saveoops
  [ "$where" = "$save" ] || into=/${save#*:/}
  case $into/ in
    *..* | */./* | *[!A-Za-z0-9.+_/-]*)
      reason="saveoops.save=$save does not name a directory that is allowed"
      return 1
      ;;
  esac
  note "loading drivers for storage"
  limited $MODULES_SECONDS load-modules storage >$state/said 2>&1 || note "load-modules storage: $(why $?)"
  waited=0
  probe_disks
  until find_file_system "$where" "$boot"; do
    # More than one, or none that could come: more time changes nothing.
    [ $waited -lt $APPEAR_SECONDS ] && [ -n "$wanted" ] && [ -z "$found" ] || return 1
    sleep 1
    waited=$((waited + 1))
    probe_disks
  done
  note "$where is $device ($type, $uuid)"
}

target_check() {
  resume=$(of_log ' resume_offset=' | sed 's/^ resume_offset=\([0-9]*\).*/\1/')
  find_hibernated "$resume" || return 1
  case $type in
    vfat) options=,umask=0077 driver=vfat ;;
    ext2 | ext3 | ext4) options=,errors=remount-ro driver=ext4 ;;
    xfs | btrfs) options='' driver=$type ;;
    iso9660 | udf)
      reason="$device is a file system for reading only ($type)"
      return 1
      ;;
    *)
      reason="$device has no file system that can be written here (${type:-none known})"
      return 1
      ;;
  esac
  if [ "$(cat /sys/class/block/"${device#/dev/}"/ro)" != 0 ]; then
    reason="$device is read-only"
    return 1
  fi
  find_damage "$device" "$type" || return 1
  [ -z "$remark" ] || note "$remark"
}

target_open() {
  limited $MODULES_SECONDS load-modules fs "$driver" >$state/said 2>&1 || note "load-modules fs $driver: $(why $?)"
  mkdir -p $root
  limited $MOUNT_SECONDS mount -t "$driver" -o rw,nosuid,nodev,noexec"$options" "$device" $root 2>$state/said || {
    reason="$device ($type) cannot be mounted: $(why $?)"
    return 1
  }
  limited $WRITE_SECONDS mkdir -p "$root$into" 2>$state/said
  # A symbolic link could lead off the disk.
  limited $WRITE_SECONDS readlink -f "$root$into" >$state/real
  case $(cat $state/real) in
    "$root" | "$root"/*) ;;
    *)
      reason="$into is no directory on $device: $(why 1)"
      target_finish
      return 1
      ;;
  esac
}

target_begin() {
  directory=${into%/}/$1
  folder=$root$directory
  limited $WRITE_SECONDS mkdir "$folder" 2>$state/said && return
  reason="no directory $directory on $device: $(why $?)"
  return 1
}

# An empty file is nothing that was saved.
has_bytes() {
  limited $WRITE_SECONDS test -s "$1" || {
    echo "it is empty" >$state/said
    return 1
  }
}

# The shell itself never opens a file on the disk: it would hang with it.
target_put() {
  file=$folder/$1
  item=$1
  shift
  [ -z "$stuck" ] || return 1
  limited $WRITE_SECONDS sh -c 'exec >"$1" && shift && exec "$@"' sh "$file.incomplete" "$@" 2>$state/said &&
    has_bytes "$file.incomplete" &&
    limited $WRITE_SECONDS sync "$file.incomplete" 2>$state/said &&
    limited $WRITE_SECONDS mv "$file.incomplete" "$file" 2>$state/said &&
    limited $WRITE_SECONDS sync "$folder" 2>$state/said
  status=$?
  [ $status != 0 ] || return 0
  failure "$item ($(why $status))"
  [ $status != 124 ] || stuck=yes
  return 1
}

target_describe() {
  watched "$folder/$1" sha256sum "$folder/$1" >$state/sum 2>$state/said || failure "sha256sum of $1 ($(why $?))"
  read -r sha256 rest <$state/sum
  echo "$1 $(stat -c %s "$folder/$1") $sha256"
}

target_count() {
  count_in_a_row "$root$into" "$folder"
}

target_prune() {
  prune_captures "$root$into" "$1" "$2" >$state/said 2>&1
  while read -r line; do note "$line"; done <$state/said
}

# Leaves room for capture.json and capture.log, which come last, on a disk that the dump fills.
target_dump() {
  limited $WRITE_SECONDS dd if=/dev/zero of="$folder/capture.json.incomplete" bs=1k count=$RESERVE_KIB 2>$state/said
  save-dump "$1" "$folder" 2>$state/said
  limited $WRITE_SECONDS rm -f "$folder/capture.json.incomplete"
}

# What was not unmounted is made read-only with all else by the kernel's emergency call.
target_finish() {
  if [ -z "$stuck" ]; then
    limited $WRITE_SECONDS umount $root 2>$state/said && return
    failure "umount ($(why $?))"
  fi
  echo u >/proc/sysrq-trigger
}

target_name() {
  case $where in
    boot | LABEL=*) echo "$device ($type, $where, UUID $uuid)" ;;
    UUID=*) echo "$device ($type, UUID $uuid)" ;;
    *) echo "$device ($type, $where)" ;;
  esac
}
