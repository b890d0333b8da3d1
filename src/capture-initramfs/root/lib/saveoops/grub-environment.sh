# GRUB's environment block: 1024 bytes, a signature, lines NAME=VALUE and comments, then "#" up to the end. GRUB reads it at every boot
# and writes it in place, by the blocks that the file has. Source: GRUB grub-core/lib/envblk.c, include/grub/lib/envblk.h.

# set_grub_environment FILE NAME VALUE [NAME VALUE]: as grub-editenv sets them. In place: GRUB will write to the same blocks, and a full
# disk has no room for a new file. Values have neither backslash nor line break. Prints why not.
set_grub_environment() {
  environment=$1
  shift
  if [ ! -f "$environment" ] || [ -L "$environment" ] || [ "$(stat -c %s "$environment")" != 1024 ]; then
    echo "$environment is no environment block of GRUB's"
    return 1
  fi
  block=$(mktemp) || return 1
  cat "$environment" >"$block"
  while [ $# -ge 2 ]; do
    # A line that ends with an odd number of backslashes goes on in the next one.
    awk -v name="$1" -v value="$2" '
      { line[NR] = $0 }
      END {
        if (line[1] != "# GRUB Environment Block") exit 1
        last = NR
        if (last > 1 && line[last] ~ /^#+$/) last--
        out = ""
        done = 0
        for (i = 1; i <= last; i++) {
          inside = odd
          rest = line[i]
          odd = match(rest, /\\+$/) && RLENGTH % 2 == 1
          if (i > 1 && !inside) {
            dropped = !done && index(rest, name "=") == 1
            if (dropped) {
              out = out name "=" value "\n"
              done = 1
            }
          }
          if (!dropped) out = out rest "\n"
        }
        if (!done) out = out name "=" value "\n"
        if (length(out) > 1024) exit 1
        while (length(out) < 1024) out = out "#"
        printf "%s", out
      }' "$block" >"$block.new" && [ "$(stat -c %s "$block.new")" = 1024 ] || {
      rm -f "$block" "$block.new"
      echo "$environment has no room for $1, or is damaged"
      return 1
    }
    mv "$block.new" "$block"
    shift 2
  done
  dd if="$block" of="$environment" bs=1024 count=1 conv=notrunc,fsync 2>/dev/null && cmp "$block" "$environment" >/dev/null
  status=$?
  rm -f "$block"
  [ $status = 0 ] || echo "$environment cannot be written"
  return $status
}

# grub_path CONFIG ID: how GRUB's next_entry names the entry with this id, which may lie in a submenu.
grub_path() {
  awk -v id="$2" '
    BEGIN { apostrophe = sprintf("%c", 39) }
    /^}/ { above = "" }
    /^(submenu|[ \t]*menuentry) .*[{]$/ {
      n = split($0, part, apostrophe)
      if (/^submenu/) above = part[n - 1] ">"
      else if (part[n - 1] == id) {
        print above id
        exit
      }
    }' "$1"
}
