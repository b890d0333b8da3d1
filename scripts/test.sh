#!/bin/bash
# npm test: every lane, or those named: check (formatters, linters, compiler), unit, qemu.
# All lanes run even when one fails. Jest's results are left in .cache/test-results for .ci/run.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
lanes=("$@")
[ ${#lanes[@]} -gt 0 ] || lanes=(check unit qemu)
results=.cache/test-results
failed=()

run() { # lane, command...
  local lane=$1 started=$SECONDS
  shift
  printf '\n== %s: %s\n' "$lane" "$*"
  if "$@"; then
    printf '== %s passed, %d s\n' "$lane" $((SECONDS - started))
  else
    printf '== %s FAILED, %d s\n' "$lane" $((SECONDS - started))
    failed+=("$lane")
    # What is no jest run counts as one failed test.
    [[ $lane == unit || $lane == qemu ]] || echo '{"numFailedTests":1}' >"$results/$lane.json"
  fi
}

jest() { # lane, workers, arguments...
  local lane=$1 workers=$2
  shift 2
  node --experimental-vm-modules --no-warnings node_modules/jest/bin/jest.js \
    --json --outputFile="$results/$lane.json" --maxWorkers="$workers" "$@"
}

rm -rf "$results" .cache/runs
mkdir -p "$results"
bash scripts/setup.sh || exit 1
run build node scripts/build.mjs
[ ${#failed[@]} -eq 0 ] || exit 1

for lane in "${lanes[@]}"; do
  case $lane in
    check)
      run format node node_modules/prettier/bin/prettier.cjs --check --log-level warn .
      run lint node node_modules/eslint/bin/eslint.js .
      run scripts bash scripts/check-shell.sh
      run links node scripts/check-links.mjs
      run api node scripts/api-docs.mjs --check
      run outputs node scripts/output-schema.mjs --check
      ;;
    unit) run unit jest unit 2 dist/src ;;
    # One more than there are processors to count on: machines wait, too, for watchdogs and reboots.
    qemu) run qemu jest qemu 3 dist/qemu-tests ;;
    *)
      echo "test.sh: no lane $lane (check, unit, qemu)" >&2
      exit 2
      ;;
  esac
done

if [ ${#failed[@]} -gt 0 ]; then
  printf '\nFailed: %s\n' "${failed[*]}"
  exit 1
fi
printf '\nAll passed: %s\n' "${lanes[*]}"
