# What the last screen says, in plain words. Of the dead kernel's texts only printable ASCII is shown: a control character could
# draw anything.

printable() {
  tr -c '\40-\176\n' '?'
}

# death-text: the lines of death without what stands before their text.
find_death() {
  tail -n "$(lines_of_death)" $state/log |
    sed -E 's/^(<[0-9]+>)?\[ *[0-9]+\.[0-9]+\](\[ *[TC][0-9]+\])? //' | printable >$state/death-text
}

# "CPU 0, process swapper/0 (PID 1), at function+0x1/0x2", as far as it is known: of what the log tells first.
where_it_died() {
  sed -n -E 's/^CPU: ([0-9]+) (UID: [0-9]+ )?PID: ([0-9]+) Comm: (.*) (Kdump: loaded |Not tainted|Tainted: ).*/CPU \1, process \4 (PID \3)/p' \
    $state/death-text | head -n 1
  sed -n -E 's/^RIP: 0010:([^ ]+\+0x.*)$/at \1/p' $state/death-text | head -n 1
}

plain_words() {
  seconds=$(sed -n -E 's/^(<[0-9]+>)?\[ *([0-9]+\.[0-9]).*/\2/p' $state/log | tail -n 1)
  how=died
  [ "$(cat $state/kind)" != reset ] || how='hung or was reset'
  echo "Linux $(dead_release | printable) $how${seconds:+ $seconds s after its start}."
  {
    head -n 1 $state/death-text
    sed 's/^$/There is no panic message in the log./' $state/message | printable
  } | uniq
  where_it_died | paste -sd ' ' | sed 's/^at /At /'
  echo
  sed 's/^s/S/; s/^n/N/; s/^f/F/' $state/outcome
  case $after in
    reboot) echo "The machine restarts in $hold seconds." ;;
    poweroff) echo "The machine is switched off in $hold seconds." ;;
    *) echo "The machine stops here: switch it off, or press its reset button." ;;
  esac
}

# Beside the code: that it holds $1, and the call trace.
beside_code() {
  echo "The QR code holds $1. Take a"
  echo "photograph; later: saveoops report PHOTO"
  echo
  sed -n '/^Call Trace:/,/^Modules linked in:/p' $state/death-text | grep -E '^Call Trace:|^ *[^ ?]*\+0x[0-9a-f]+/0x'
}
