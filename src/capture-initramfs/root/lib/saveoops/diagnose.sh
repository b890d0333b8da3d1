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
