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

# mbr_start NAME: the disk's signature and the partition's first block, SIGNATURE@BLOCK, of a partition in an MBR. blkid counts in
# 512 bytes, firmware in the disk's own blocks.
mbr_start() {
  [ "$(of "$1" ID_PART_ENTRY_SCHEME)" = dos ] || return
  entry=$(of "$1" ID_PART_ENTRY_UUID)
  bytes=$(cat /sys/class/block/"$1"/../queue/logical_block_size 2>/dev/null)
  echo "${entry%-*}@$(($(of "$1" ID_PART_ENTRY_OFFSET) * 512 / ${bytes:-512}))"
}

# find_file_system WHERE BOOT: sets $device, $uuid and $type when WHERE names exactly one file system of those, or $reason.
# BOOT, which WHERE boot stands for: a file system's UUID, as Syslinux tells it; PARTUUID=... or MBR=SIGNATURE@BLOCK, as the
# entry stub has it from UEFI. Values are compared as blkid encodes them, a space being \x20; UUIDs without regard to case.
find_file_system() {
  device=
  by=$1
  case $1/$2 in
    boot/)
      reason="neither boot loader nor firmware said what was booted from (no saveoops.boot=)"
      return 1
      ;;
    boot/PARTUUID=* | boot/MBR=*) by=$2 ;;
    boot/*) by=UUID=$2 ;;
  esac
  wanted=${by#*=}
  case $by in
    UUID=*) key=ID_FS_UUID_ENC wanted=$(lower "$wanted") ;;
    PARTUUID=*) key=ID_PART_ENTRY_UUID wanted=$(lower "$wanted") ;;
    LABEL=*) key=ID_FS_LABEL_ENC ;;
    PARTLABEL=*) key=ID_PART_ENTRY_NAME ;;
    MBR=*) key=MBR ;;
  esac
  found=
  for disk in "$state"/disks/*; do
    [ -e "$disk" ] || continue
    name=$(basename "$disk")
    case $key in
      MBR) value=$(mbr_start "$name") ;;
      *UUID*) value=$(lower "$(of "$name" "$key")") ;;
      *) value=$(of "$name" "$key") ;;
    esac
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

# is_booted_from NAME BOOT: whether BOOT, as above, is the file system on that disk.
is_booted_from() {
  case $2 in
    PARTUUID=*) [ "$(lower "${2#*=}")" = "$(lower "$(of "$1" ID_PART_ENTRY_UUID)")" ] ;;
    MBR=*) [ "${2#*=}" = "$(mbr_start "$1")" ] ;;
    *) [ -n "$2" ] && [ "$(lower "$2")" = "$(lower "$(of "$1" ID_FS_UUID_ENC)")" ] ;;
  esac
}
