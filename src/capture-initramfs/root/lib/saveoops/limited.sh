# Slow things. A command that hangs in a device driver cannot be killed, and busybox's timeout becomes that command: whoever
# waits for it hangs, too. These leave it behind. Each command is a program, in a session of its own, so that what it
# started ends with it.

# limited SECONDS COMMAND...: the status of the command, 124 when it was left behind.
limited() {
  left=$(($1 * 10))
  shift
  setsid "$@" &
  worker=$!
  while kill -0 $worker 2>/dev/null; do
    [ $left -gt 0 ] || {
      kill -9 -$worker
      return 124
    }
    left=$((left - 1))
    sleep 0.1
  done
  wait $worker
}

# watched FILE COMMAND...: the same for a command whose time depends on the machine: it may run on as long as FILE grows or
# it reads and writes.
watched() {
  growing=$1
  shift
  setsid "$@" &
  worker=$!
  seen=
  idle=0
  while kill -0 $worker 2>/dev/null; do
    pulse="$(stat -c %s "$growing" 2>/dev/null) $(cat /proc/$worker/io 2>/dev/null)"
    idle=$((idle + 1))
    [ "$pulse" = "$seen" ] || idle=0
    seen=$pulse
    [ ! -d /run/capture ] || echo "$pulse" >/run/capture/pulse
    [ $idle -lt $STALL_SECONDS ] || {
      kill -9 -$worker
      return 124
    }
    sleep 1
  done
  wait $worker
}
