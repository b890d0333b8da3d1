#!/bin/bash
# Every shell script here, those of the capture initramfs included: formatted (shfmt), and nothing that shellcheck finds. A
# rule that is disabled says why, beside it or in .shellcheckrc. With --write the scripts are formatted.
set -euo pipefail
cd "$(dirname "$0")/.."
capture=src/capture-initramfs/root
mapfile -t all < <(shfmt -f scripts src)
mapfile -t others < <(printf '%s\n' "${all[@]}" | grep -v "^$capture/")

action=-d
[ "${1:-}" != --write ] || action=-w
shfmt $action -i 2 -ci "${all[@]}"
shellcheck -x "${others[@]}"
# Busybox's shell is nearest to dash. Libraries are checked with the programs that read them: variables are shared.
shellcheck -s dash -x -a -P "$capture/lib/saveoops" "$capture/init" "$capture"/bin/*
