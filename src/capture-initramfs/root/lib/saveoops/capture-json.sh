# capture.json. docs/capture.md, "capture.json", describes the format, version 1. Every string is reduced to printable ASCII:
# what the dead kernel left is no text that one may trust.

# The first line of standard input as a JSON string; null for none.
quoted() {
  text=$(head -n 1 | tr -d '\n' | tr -c '\40-\176' '?' | sed 's/[\\"]/\\&/g')
  if [ -n "$text" ]; then echo "\"$text\""; else echo null; fi
}

number_or_null() {
  echo "${1:-null}"
}

# Lines of standard input as the elements of a JSON array of strings.
quoted_lines() {
  separator=
  while read -r line; do
    echo "$separator    $(echo "$line" | quoted)"
    separator=,
  done
}

files_json() {
  separator=
  while read -r name size sha256; do
    echo "$separator    { \"name\": \"$name\", \"size\": $size, \"sha256\": \"$sha256\" }"
    separator=,
  done
}

# What is known of a death that was captured after a reset.
reset_json() {
  if [ -n "$reset" ]; then
    cat <<END
{
    "lostKiB": $reset,
    "image": { "checked": $image_checked, "lost": $image_lost },
    "tables": { "checked": $tables_checked, "lost": $tables_lost },
    "uptime": $(number_or_null "$uptime"),
    "by": $(reset_reason | quoted)
  }
END
  else
    echo null
  fi
}

# of_log PATTERN: what follows its first match in a line of the dead kernel's log, that included.
of_log() {
  grep -m 1 -o "$1.*" $state/log
}

# Prints it, from save-capture's variables and the files in $state.
capture_json() {
  cat <<END
{
  "version": 1,
  "id": "$id",
  "time": "$time",
  "generator": $(cat $GENERATOR_FILE | quoted),
  "kind": "$(cat $state/kind)",
  "message": $(quoted <$state/message),
  "reset": $(reset_json),
  "primary": {
    "release": $(echo "$release" | quoted),
    "banner": $(of_log 'Linux version ' | quoted),
    "commandLine": $(of_log 'ommand line: ' | sed 's/^ommand line: //' | quoted)
  },
  "crash": {
    "release": $(uname -r | quoted),
    "commandLine": $(quoted </proc/cmdline)
  },
  "cpu": $(number_or_null "$(grep -o 'CPU: [0-9]*' $state/log | tail -n 1 | cut -c 6-)"),
  "memoryKiB": $(number_or_null "$(sed -n 's/^MemTotal: *\([0-9]*\) kB/\1/p' /proc/meminfo)"),
  "inARow": $(number_or_null "$in_a_row"),
  "save": {
    "asked": $(echo "$save" | quoted),
    "device": $(echo "$device" | quoted),
    "uuid": $(echo "$uuid" | quoted),
    "type": $(echo "$type" | quoted),
    "directory": $(echo "$directory" | quoted)
  },
  "dump": {
    "asked": "$dump",
    "how": $(sed -n 's/^saved [^ ]* ([0-9]* bytes, \(.*\))$/\1/p' $state/dump | quoted),
    "encrypted": $([ -e $DUMP_KEY ] && grep -q "^saved" $state/dump && echo true || echo false)
  },
  "files": [
$(files_json <$state/files)
  ],
  "failures": [
$(quoted_lines <$state/failures)
  ]
}
END
}
