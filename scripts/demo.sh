#!/bin/bash
# npm run demo: a stock Debian kernel panics in QEMU, and its log comes back.
set -euo pipefail
cd "$(dirname "$0")/.."
out=demo-output
started=$SECONDS
step() { printf '\n== %s\n' "$*"; }

step '1/5 Set-up: Debian packages, npm packages, stock Debian kernels (downloaded once)'
bash scripts/setup.sh
# shellcheck disable=SC2010 # names of kernel packages hold no blanks
kernel=$(ls "${SAVEOOPS_KERNEL_DIR:-.cache/kernels}"/linux-image-*-amd64/boot/vmlinuz-* | grep -v -- -cloud- | sort -V | tail -n 1)
echo "Kernel, as Debian ships it: $kernel"

step '2/5 Build: TypeScript and the bare-metal stubs'
node scripts/build.mjs
echo 'done'

step '3/5 saveoops build: that kernel, armed, with itself as crash kernel, in one Syslinux payload'
node dist/src/cli.js build --no-config --kernel "$kernel" --out "$out/payload"

step '4/5 saveoops test: boot it with Syslinux in QEMU; without a root file system the kernel must panic'
node dist/src/cli.js test "$out/payload" --keep "$out/run"

step '5/5 The log of the dead kernel, as the crash kernel read it from its memory and printed it'
echo "$(wc -l <"$out/run/recovered.log") lines in $out/run/recovered.log; the first and the last:"
head -n 3 "$out/run/recovered.log"
echo '...'
tail -n 18 "$out/run/recovered.log"
printf '\nRecovered in %d seconds of demo:\n' $((SECONDS - started))
grep -m 1 -F 'Kernel panic - not syncing: VFS: Unable to mount root fs' "$out/run/recovered.log"
