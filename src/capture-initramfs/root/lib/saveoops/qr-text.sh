# The part of the dead kernel's log that goes into a QR code. docs/capture.md, "The last screen".

# Whether $2 lines of the file qr-log fit into a code of version $code_version; leaves them in qr-text, and packed in qr-gzip.
# $1: tail or head, which lines.
fits() {
  "$1" -n "$2" $state/qr-log >$state/qr-text
  gzip -9 <$state/qr-text >$state/qr-gzip
  draw-qr "$code_version" "$(qr_prefix)" $state/qr-text $state/qr-gzip
}

# The same for as many lines as fit, of which $2 are known to.
as_many_as_fit() {
  low=$2
  high=$(($(wc -l <$state/qr-log) + 1))
  while [ $((high - low)) -gt 1 ]; do
    middle=$(((low + high) / 2))
    if fits "$1" $middle; then low=$middle; else high=$middle; fi
  done
  [ "$low" -gt 0 ] && fits "$1" "$low"
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

registers='|\] (RSP: 00|R[A-Z0-9][A-Z0-9]: [0-9a-f]{16} |FS: |CS: |CR2: |DR[03]: |PKRU: |Code: )'
modules='|\] Modules linked in: '
unsure='|\]  \? '

# As much of the end as fits, in qr-text and qr-gzip. The message and the call trace are worth more than what stands between them,
# so where they would not fit this goes first: registers, then the list of modules, then what the unwinder is not sure of.
qr_text() {
  code_version=$CODE_VERSION
  count=$(lines_of_death)
  without='^$'
  for more in '' "$registers" "$modules" "$unsure"; do
    without=$without$more
    # What has gone from the end of death shortens it; before it nothing is dropped, for it is not reached.
    tail -n "$count" $state/log | grep -v -E "$without" >$state/death
    {
      head -n -"$count" $state/log | tail -n $DEATH_LINES
      cat $state/death
    } >$state/qr-log
    low=$(wc -l <$state/death)
    if fits tail "$low"; then
      break
    fi
    low=0
  done
  as_many_as_fit tail "$low"
}

# For a small code: how the death begins, or the end of a log in which no message tells of one. Left out is what qr_text leaves out
# when room is short, the machine's name, times, and what is beyond column 79: so one line always fits.
qr_start() {
  tail -n "$(lines_of_death)" $state/log | grep -v -E "^\$$registers$modules$unsure|\] (Hardware name: |-+\[ cut here)" |
    sed 's/^\[ *[0-9.]*\] //' | cut -c 1-79 >$state/qr-log
  case $(cat $state/kind) in
    panic) as_many_as_fit head 0 ;;
    *) as_many_as_fit tail 0 ;;
  esac
}
