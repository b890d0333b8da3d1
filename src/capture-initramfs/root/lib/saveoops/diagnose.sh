# The kind of death, from the dead kernel's log.

# Sets $kind and $message from the log in the file $log. The last panic line counts; one that "end Kernel panic" closes is
# older than what brought us here.
diagnose() {
  # 5.10 with PREEMPT_RT prints the reason as a record of its own.
  message=$(sed '/Kernel panic - not syncing: *$/{N;/\] CPU: /!s/ *\n\[ *[0-9.]*\]//;}' $log |
    grep "Kernel panic - not syncing" | grep -v "end Kernel panic" | tail -n 1)
  if [ -n "$message" ]; then
    kind=panic
    message="Kernel panic - not syncing${message#*Kernel panic - not syncing}"
    return
  fi
  # An exception before the kernel had handlers of its own: it prints registers and halts, without panic().
  message=$(grep -o "RIP: .*" $log | tail -n 1)
  kind=unknown
  [ -z "$message" ] || kind=exception
}

# plain_lines: standard input without what stands before each line's text.
plain_lines() {
  sed -E 's/^(<[0-9]+>)?\[ *[0-9]+\.[0-9]+\](\[ *[TC][0-9]+\])? //'
}

# After a reset (saveoops.reset=). A panic in the log that nobody captured is told as one. Else kind is "reset", the message the
# last line of the log; or "orderly": the system had ended as it should, only the mark that tells so was not taken back, and
# nothing is to be kept. Sets $uptime, seconds, empty when the log has none.
diagnose_reset() {
  uptime=$(sed -n -E 's/^(<[0-9]+>)?\[ *([0-9]+\.[0-9]+)\].*/\2/p' $log | tail -n 1)
  [ "$kind" != panic ] || return 0
  kind=reset
  message=$(grep . $log | tail -n 1 | plain_lines)
  last=$(tail -n $ORDERLY_LINES $log | plain_lines | grep -E "$ORDERLY_END" | tail -n 1)
  [ -n "$last" ] || return 0
  kind=orderly
  message=$last
}
