# What is known of a death that was captured after a reset: words of the crash stub (saveoops.reset=, saveoops.reset-by=), and hardware.

# Takes $reset apart, KIB,L/C,L/C: the KiB from 0 on that are missing stay in it; of pages of the image that never change, and of page
# tables, how many are lost of how many that were checked. Empties all when it is anything else.
split_reset() {
  image_lost='' image_checked='' tables_lost='' tables_checked=''
  if ! echo "$reset" | grep -q -E '^[0-9]+(,[0-9]+/[0-9]+){2}$'; then
    reset=
    return
  fi
  # shellcheck disable=SC2046 # words are meant
  set -- $(echo "$reset" | tr ',/' '  ')
  reset=$1 image_lost=$2 image_checked=$3 tables_lost=$4 tables_checked=$5
}

# For a person, in a line or two.
lost_memory() {
  echo "the first $reset KiB of its memory are missing: the boot loader has used them"
  [ "$image_lost$tables_lost" = 00 ] ||
    echo "memory was lost: $image_lost of $image_checked checked pages of its image, $tables_lost of $tables_checked page tables"
}

# What hardware says of the last reset, after one (saveoops.reset=); nothing when nothing of it says anything: the crash stub's word,
# drivers of watchdogs that feed-watchdog has loaded by then, and the chipset, where this kernel knows how to ask it (AMD, Linux 6.16 on).
reset_reason() {
  [ -n "$reset" ] || return 0
  if [ "$reset_by" = watchdog ]; then
    echo "the chipset's watchdog (TCO)"
    return
  fi
  for device in /sys/class/watchdog/watchdog[0-9]*; do
    status=$(cat "$device/bootstatus" 2>/dev/null)
    # WDIOF_CARDRESET: Documentation/watchdog/watchdog-api.rst.
    case $status in
      '' | *[!0-9]*) continue ;;
    esac
    [ $((status & 0x20)) != 0 ] || continue
    echo "the watchdog $(cat "$device/identity")"
    return
  done
  dmesg | sed -n 's/.*Previous system reset reason \[[^]]*\]: \(.*\)/\1/p' | tail -n 1
}
