# Finds the file system that a capture is saved on. What a disk holds is util-linux's blkid to say, by low-level probing: it
# tells when it cannot decide, and it reads only.

# Writes what blkid says of each block device to $state/disks/NAME.
probe_disks() {
  rm -rf $state/disks
  mkdir $state/disks
  for disk in /sys/class/block/*; do
    [ -e "$disk" ] || continue
    name=$(basename "$disk")
    case $name in
      # An empty floppy drive is awaited for long, the others hold memory.
      fd* | loop* | ram* | zram*) continue ;;
    esac
    [ "$(cat "$disk"/size)" != 0 ] || continue
    limited $PROBE_SECONDS blkid -p -o udev /dev/"$name" >$state/disks/"$name" 2>/dev/null
  done
}

# of NAME KEY: what blkid says of a disk.
of() {
  sed -n "s/^$2=//p" $state/disks/"$1"
}

lower() {
  echo "$1" | tr "[:upper:]" "[:lower:]"
}

# find_file_system WHERE BOOT: sets $device, $uuid and $type when WHERE names exactly one file system of those, or $reason.
# Values are compared as blkid encodes them, a space being \x20; a UUID without regard to case.
find_file_system() {
  device=
  case $1 in
    boot)
      key=ID_FS_UUID_ENC
      wanted=$2
      if [ -z "$wanted" ]; then
        reason="the boot loader did not say where it started from (no saveoops.boot=)"
        return 1
      fi
      ;;
    UUID=*) key=ID_FS_UUID_ENC wanted=${1#*=} ;;
    LABEL=*) key=ID_FS_LABEL_ENC wanted=${1#*=} ;;
    PARTLABEL=*) key=ID_PART_ENTRY_NAME wanted=${1#*=} ;;
  esac
  [ "$key" != ID_FS_UUID_ENC ] || wanted=$(lower "$wanted")
  found=
  for disk in "$state"/disks/*; do
    [ -e "$disk" ] || continue
    name=$(basename "$disk")
    value=$(of "$name" "$key")
    [ "$key" != ID_FS_UUID_ENC ] || value=$(lower "$value")
    [ "$value" != "$wanted" ] || found="$found${found:+ }/dev/$name"
  done
  case $found in
    "") reason="no file system $1 ($key=$wanted) on this machine's disks" ;;
    *" "*) reason="$1 is not unique: $found" ;;
    *)
      device=$found
      name=$(basename "$device")
      uuid=$(of "$name" ID_FS_UUID_ENC)
      type=$(of "$name" ID_FS_TYPE)
      return 0
      ;;
  esac
  return 1
}
