/** A shell function that removes old captures, for `saveoops build --keep N`. */

/** The busybox tools that the function calls. */
export const pruneCapturesApplets: readonly string[] = ['basename', 'grep', 'ls', 'rm', 'rmdir', 'wc'];

/** Digits 8, 'T', 6, 'Z', the release, six hexadecimal digits: docs/capture.md, "The capture directory". */
export const captureNamePattern = '^[0-9]{8}T[0-9]{6}Z-[A-Za-z0-9.+_-]+-[0-9a-f]{6}$';

const ourFiles = ['dmesg.txt', 'vmcore', 'vmcore.age', 'capture.log', 'capture.json'];

/**
 * `prune_captures DIRECTORY KEEP NEW` removes the oldest whole captures until KEEP are left, NEW, which is never old
 * whatever its name says, among them. It says what it removed. Whole is what has a capture.json; what holds other
 * files than we write, unfinished ones included, is left alone, and so is a symbolic link.
 */
export const pruneCapturesFunction = String.raw`
is_prunable() {
  [ -d "$1" ] && [ ! -L "$1" ] && [ -e "$1/capture.json" ] &&
    ! ls -A "$1" | grep -qvE '^(${ourFiles.map((name) => name.replace('.', '\\.')).join('|')})$'
}

prune_captures() {
  old=
  count=1
  for capture in $(ls "$1" | grep -E '${captureNamePattern}'); do
    [ $capture != $3 ] && is_prunable "$1/$capture" || continue
    old="$old $capture"
    count=$((count + 1))
  done
  for capture in $old; do
    [ $count -gt $2 ] || break
    for file in ${ourFiles.join(' ')}; do rm -f "$1/$capture/$file"; done
    rmdir "$1/$capture" && echo "removed $capture"
    count=$((count - 1))
  done
}
`;
