# Tells of which file systems the capture keeps its hands off. Needs probe_disks.
#
# Hibernation: the sleeping system has its file systems mounted and goes on with what it remembers of them, so a write by
# anyone else destroys them. A journal's replay is such a write.
#
# Damage: what the file system itself says of it, as a boot would ask before it mounts. That the dead kernel did not
# unmount is no damage: the journal is there for that, and FAT copes, with lost clusters at worst.
#
# Sources: kernel/power/swap.c (the signature in the last ten bytes of the page) and blkid's names for those of other
# programs; Documentation/filesystems/ext4/super.rst; the FAT specification (BPB, FAT[0], backup boot sector).

# bytes DEVICE OFFSET COUNT: as text.
bytes() {
  dd if="$1" bs=1 skip="$2" count="$3" 2>/dev/null
}

# number DEVICE OFFSET SIZE: an unsigned little-endian number of 1, 2 or 4 bytes.
number() {
  od -An -v -tu"$3" -j "$2" -N "$3" "$1" | tr -d ' '
}

# find_hibernated RESUME_OFFSET: sets $reason when a disk holds a hibernation image: in a swap partition, or in a swap file
# whose first block is the number RESUME_OFFSET (kernel-parameters.txt, resume_offset=), in pages.
find_hibernated() {
  reason=
  for disk in "$state"/disks/*; do
    [ -e "$disk" ] || continue
    name=$(basename "$disk")
    image=
    [ "$(of "$name" ID_FS_TYPE)" != swsuspend ] || image=/dev/$name
    if [ -n "$1" ]; then
      case $(bytes /dev/"$name" $(($1 * 4096 + 4086)) 10 | tr -c A-Z0-9 _) in
        S1SUSPEND* | S2SUSPEND* | ULSUSPEND* | LINHIB0001*) image="/dev/$name, page $1" ;;
      esac
    fi
    [ -z "$image" ] || reason="$image holds a hibernation image: nothing is written on this machine"
  done
  [ -z "$reason" ]
}

# find_damage DEVICE TYPE: sets $reason when the file system is damaged, $remark when it is worth a line.
find_damage() {
  reason=
  remark=
  case $2 in
    vfat) fat_damage "$1" ;;
    ext2 | ext3 | ext4) ext_damage "$1" ;;
  esac
  [ -z "$reason" ]
}

ext_damage() {
  flags=$(number "$1" 1082 2)
  journal=$(($(number "$1" 1116 4) & 4))
  if [ $((flags & 2)) != 0 ]; then
    reason="$1 has errors by its own account (superblock): e2fsck must repair it first"
  elif [ $((flags & 1)) = 0 ] && [ $journal = 0 ]; then
    reason="$1 was not unmounted and has no journal: e2fsck must look at it first"
  elif [ $(($(number "$1" 1120 4) & 4)) != 0 ]; then
    remark="$1 was not unmounted: its journal is replayed, as at any boot"
  fi
}

fat_damage() {
  sector=$(number "$1" 11 2)
  first=$(($(number "$1" 14 2) * sector))
  copies=$(number "$1" 16 1)
  sectors=$(number "$1" 22 2)
  dirty=37
  if [ "$sectors" = 0 ]; then
    sectors=$(number "$1" 36 4)
    dirty=65
    # With mirroring off only one of the tables is kept.
    [ $(($(number "$1" 40 2) & 128)) = 0 ] || copies=1
    backup=$(($(number "$1" 50 2) * sector))
    # The parameters of the file system; before and behind them boot loaders put their own.
    if [ $backup != 0 ] && [ "$(number "$1" $((backup + 510)) 2)" = 43605 ] &&
      ! cmp -s -n 25 "$1" "$1" 11 $((backup + 11)); then
      reason="$1 and the backup of its boot sector do not agree: fsck.fat must repair it first"
      return
    fi
  fi
  if [ "$(number "$1" $first 1)" != "$(number "$1" 21 1)" ]; then
    reason="$1 has a file allocation table that does not begin with its media byte: fsck.fat must repair it first"
  elif [ "$copies" = 2 ] && ! cmp -s -n $((sectors * sector)) "$1" "$1" $first $((first + sectors * sector)); then
    reason="the two file allocation tables of $1 do not agree: fsck.fat must repair it first"
  elif [ $(($(number "$1" $dirty 1) & 1)) != 0 ]; then
    remark="$1 was not unmounted: clusters may be lost, which fsck.fat finds"
  fi
}
