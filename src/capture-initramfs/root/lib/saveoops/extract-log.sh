# The dead kernel's log out of /proc/vmcore.

memory_kib() {
  while read -r name value _; do
    [ "$name" != "$1:" ] || echo "$value"
  done </proc/meminfo
}

# read_by NAME COMMAND...: the last part of the log that a reader finds becomes $log when it is more than what is there. Adds
# to $errors what the reader says; sets $status, and $end to how it ended.
read_by() {
  reader=$1
  shift
  read -r began _ </proc/uptime
  {
    # Who wants more memory than there is fails by that, and is not killed, or another in its place.
    ulimit -v $((available * 3 / 4))
    timeout -k 5 $EXTRACT_SECONDS "$@" 2>$state/said
    echo $? >$state/status
  } | tail -c $((room * 1024)) >$log.part
  read -r ended _ </proc/uptime
  took=$((${ended%.*} - ${began%.*}))
  status=$(cat $state/status)
  while read -r line; do echo "$reader: $line"; done <$state/said >>$errors
  case $status in
    137 | 143)
      end="$reader was killed after $took seconds"
      [ $took -lt $EXTRACT_SECONDS ] || end="$reader stopped after $EXTRACT_SECONDS seconds"
      ;;
    *) end="$reader exit status $status" ;;
  esac
  [ "$(wc -c <$log.part)" -le "$(wc -c <$log)" ] || mv $log.part $log
  rm -f $log.part
}

# Sets $verdict. The end of a log is its worth, so when it does not fit in a part of the memory that is left, the beginning
# is dropped. A quarter, because the log is there twice: in the file, and in tail or the report. vmcore-dmesg copies the
# whole log first, and a large one does not fit; read-log needs no memory for it. What is not whole then is told in
# $state/log-failure.
extract() {
  available=$(memory_kib MemAvailable)
  available=${available:-16384}
  room=$((available / 4))
  read_by vmcore-dmesg vmcore-dmesg /proc/vmcore
  if [ "$status" != 0 ] || [ ! -s $log ]; then
    echo "$end" >$state/log-failure
    read_by read-log read-log /proc/vmcore $((room * 1024))
    if [ "$status" = 0 ] && [ -s $log ]; then
      rm $state/log-failure
    else
      echo "$end" >>$state/log-failure
    fi
  fi
  size=$(wc -c <$log)
  # A log that was cut off need not end with a line; the end marker must stand on its own.
  [ -z "$(tail -c 1 $log)" ] || echo >>$log
  verdict="saveoops: $end, $size bytes of log"
  # read-log takes whole records, until it has so many bytes.
  [ "$size" -ge $((room * 1024)) ] || return 0
  verdict="$verdict (the last part of a larger log)"
  [ "$status" != 0 ] || : >$state/log-is-cut
}
