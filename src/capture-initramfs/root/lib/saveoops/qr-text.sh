# The part of the dead kernel's log that goes into a QR code. docs/capture.md, "The last screen".

# Whether the last $1 lines of the file qr-log fit; leaves them in qr-text, and packed in qr-gzip.
fits() {
  tail -n "$1" $state/qr-log >$state/qr-text
  gzip -9 <$state/qr-text >$state/qr-gzip
  draw-qr "$(qr_prefix)" $state/qr-text $state/qr-gzip
}

# What stands before the digits, as the kernel's drm_panic has it.
qr_prefix() {
  echo "${qr_url-}?a=$(uname -m)&v=$(dead_release | tr -c 'A-Za-z0-9.+_~\n-' _)&z="
}

# Number of lines from the first sign of death to the end of the log. Only near the end: earlier ones were survived.
lines_of_death() {
  tail -n $DEATH_LINES $state/log |
    grep -n -E 'Kernel panic - not syncing|BUG: |Oops: |Oops - |: [0-9a-f]{4} \[#[0-9]+\]|PANIC: |cut here|blocked for more than|rcu: INFO' |
    head -n 1 | {
      IFS=: read -r first _
      total=$(wc -l <$state/log)
      [ "$total" -le $DEATH_LINES ] || total=$DEATH_LINES
      echo $((total - ${first:-1} + 1))
    }
}

# As much of the end as fits, in qr-text and qr-gzip. The message and the call trace are worth more than what stands between them,
# so where they would not fit this goes first: registers, then the list of modules, then what the unwinder is not sure of.
qr_text() {
  count=$(lines_of_death)
  without='^$'
  for more in '' \
    '|\] (RSP: 00|R[A-Z0-9][A-Z0-9]: [0-9a-f]{16} |FS: |CS: |CR2: |DR[03]: |PKRU: |Code: )' \
    '|\] Modules linked in: ' \
    '|\]  \? '; do
    without=$without$more
    # What has gone from the end of death shortens it; before it nothing is dropped, for it is not reached.
    tail -n "$count" $state/log | grep -v -E "$without" >$state/death
    {
      head -n -"$count" $state/log | tail -n $DEATH_LINES
      cat $state/death
    } >$state/qr-log
    low=$(wc -l <$state/death)
    if fits "$low"; then
      break
    fi
    low=0
  done
  # The largest number of lines that fits, of those that are there.
  high=$(($(wc -l <$state/qr-log) + 1))
  while [ $((high - low)) -gt 1 ]; do
    middle=$(((low + high) / 2))
    if fits $middle; then low=$middle; else high=$middle; fi
  done
  [ "$low" -gt 0 ] && fits "$low"
}
