# dead_release: uname -r of the dead kernel: VMCOREINFO's, else what its log says; nothing when neither is known.
dead_release() {
  release=$(dd if=/proc/vmcore bs=64k count=1 2>/dev/null | strings | sed -n 's/^OSRELEASE=//p' | head -n 1)
  [ -n "$release" ] || release=$(sed -n 's/.*Linux version \([^ ]*\) .*/\1/p' $state/log | head -n 1)
  echo "$release"
}
