# A row of panics that nobody stops: counting, and another entry for the next boot. docs/capture.md, "No endless row of panics".

# count_in_a_row DIRECTORY CAPTURE, both on the file system that is mounted in $root: sets $in_a_row, and $fallback to the
# entry that boots next when that is too many.
count_in_a_row() {
  fallback=
  if ! limited $WRITE_SECONDS boot-once count "$1" >$state/in-a-row 2>$state/said; then
    failure "$IN_A_ROW_FILE ($(why 1))"
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
  [ "$max_in_a_row" != 0 ] && [ "$in_a_row" -ge "$max_in_a_row" ] || return 0
  note "$in_a_row captures in a row"
  case $loader in
    syslinux) action='set' ;;
    grub | systemd-boot) action="set-$loader" ;;
    *)
      failure "saveoops.loader=$loader (none of syslinux, grub, systemd-boot)"
      return
      ;;
  esac
  # What a loader boots is written beside its files, and only what was named is written to.
  if ! is_booted_from "$(basename "$device")" "$boot"; then
    failure "boot-once (the boot loader was started from another file system: ${boot:-unknown})"
  elif limited $WRITE_SECONDS boot-once "$action" $root "$entry" "$2" >$state/said 2>&1; then
    fallback=$entry
  else
    failure "boot-once ($(why $?))"
  fi
}
