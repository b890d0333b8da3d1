/**
 * Shell functions that every script of the capture initramfs runs slow things with. A command that hangs in a
 * device driver cannot be killed, and busybox's timeout becomes that command: whoever waits for it hangs, too.
 * These leave it behind.
 */

/** The busybox tools that the functions call. */
export const limitedApplets: readonly string[] = ['cat', 'kill', 'setsid', 'sleep', 'stat'];

/** Seconds without progress after which a command counts as stuck. A sound disk writes something in this time. */
const stall = 120;

/**
 * `limited SECONDS COMMAND...` and `watched FILE COMMAND...`: the status of the command, 124 when it was left behind.
 * `limited` is for commands of a known time. `watched` is for those whose time depends on the machine: they may run on as
 * as FILE grows or they read and write. Programs only, each in a session of its own, so that what it started ends with it.
 */
export const limitedFunctions = String.raw`
limited() {
  left=$(($1 * 10))
  shift
  setsid "$@" &
  worker=$!
  while kill -0 $worker 2>/dev/null; do
    [ $left -gt 0 ] || { kill -9 -$worker; return 124; }
    left=$((left - 1))
    sleep 0.1
  done
  wait $worker
}

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
    [ $idle -lt ${stall} ] || { kill -9 -$worker; return 124; }
    sleep 1
  done
  wait $worker
}
`;
