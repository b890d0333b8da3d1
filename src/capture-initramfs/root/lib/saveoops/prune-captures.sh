# Removes old captures, for saveoops.keep=N.

# Whole is what has a capture.json. What holds other files than we write, unfinished ones included, is left alone, and so is
# a symbolic link.
is_prunable() {
  [ -d "$1" ] && [ ! -L "$1" ] && [ -e "$1/capture.json" ] || return
  for file in "$1"/* "$1"/.[!.]* "$1"/..?*; do
    [ -e "$file" ] || [ -L "$file" ] || continue
    case " $CAPTURE_FILES " in
      *" ${file##*/} "*) ;;
      *) return 1 ;;
    esac
  done
}

# prune_captures DIRECTORY KEEP NEW: removes the oldest whole captures until KEEP are left, NEW, which is never old whatever
# its name says, among them. Says what it removed.
prune_captures() {
  old=
  count=1
  # shellcheck disable=SC2010 # names that match hold no blanks
  for capture in $(ls "$1" | grep -E "$CAPTURE_NAME"); do
    [ "$capture" != "$3" ] && is_prunable "$1/$capture" || continue
    old="$old $capture"
    count=$((count + 1))
  done
  for capture in $old; do
    [ $count -gt "$2" ] || break
    for file in $CAPTURE_FILES; do rm -f "$1/$capture/$file"; done
    rmdir "$1/$capture" && echo "removed $capture"
    count=$((count - 1))
  done
}
