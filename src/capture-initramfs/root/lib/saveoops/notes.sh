# What saving tells of itself, in files of $state: notes becomes capture.log, failures a list in capture.json.

# A line of capture.log, with the seconds since this kernel's start.
note() {
  read -r uptime rest </proc/uptime
  echo "[$uptime] $1" >>$state/notes
}

failure() {
  note "failed: $1"
  echo "$1" >>$state/failures
}

# $1: exit status of a command whose last words are in $state/said.
why() {
  if [ "$1" = 124 ]; then echo "no answer"; else tail -n 1 $state/said | sed 's/^[a-z]*: //'; fi
}
