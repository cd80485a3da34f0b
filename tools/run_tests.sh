#!/usr/bin/env bash
# Installs what is missing, builds and runs every test.
#   tools/run_tests.sh [--sanitize] [--werror] [--jobs N]
# --sanitize: the tests of kernels also under the simulator's race detector, then everything once more, in a build with the address and
# undefined-behaviour sanitizers. --werror: a warning fails the build.
# --jobs N: how many tests run at once (VIRGIL_JOBS: how many compilers).
# Build logs go to build*/build.log; the last line is "N passed, N failed".
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=tools/common.sh
source tools/common.sh

presets=(release)
definitions=(-DVIRGIL_BUILD_TESTS=ON)
jobs=$(nproc)
races=OFF
while (($# > 0)); do
  case $1 in
    --sanitize)
      presets=(release asan)
      races=ON
      ;;
    --werror) definitions+=(-DVIRGIL_WERROR=ON) ;;
    --jobs)
      [[ ${2:-} =~ ^[1-9][0-9]*$ ]] || die '--jobs: give a number of tests to run at once, such as --jobs 2'
      jobs=$2
      shift
      ;;
    *) die "unknown option $1; the options are --sanitize, --werror and --jobs N" ;;
  esac
  shift
done

passed=0
failed=0
finished=no

# count_results JUNIT_FILE: adds what ctest recorded. A skipped test counts as neither; one that could not be started is failed.
count_results() {
  local total run skipped
  total=$(grep -cE '^[[:space:]]*<testcase ' "$1" || true)
  run=$(grep -cE '^[[:space:]]*<testcase .* status="run">' "$1" || true)
  skipped=$(grep -cE '^[[:space:]]*(<skipped message="SKIP_|<testcase .* status="disabled">)' "$1" || true)
  passed=$((passed + run))
  failed=$((failed + total - run - skipped))
  if ((skipped > 0)); then say "$skipped skipped (listed above)"; fi
}

# Of ctest's output the lines of tests that passed are left out, and most of the dots behind the longest name.
run_preset() {
  local preset=$1 folder=$2 junit status=0
  junit=$PWD/$folder/ctest.xml
  rm -f "$junit"
  ctest --test-dir "$folder" --parallel "$jobs" --output-on-failure --no-tests=error --timeout 300 --output-junit "$junit" |
    { grep -vE '^ *(Start +[0-9]+: |[0-9]+/[0-9]+ Test +#[0-9]+: .* Passed )|^Internal ctest changing into|^Test project|^$' || true; } |
    sed -E 's/ \.{3,}/ .../' ||
    status=$?
  if [[ -s $junit ]]; then
    count_results "$junit"
  else
    failed=$((failed + 1))
    say "$preset: ctest left no results"
  fi
  if ((status != 0)); then outcome=1; fi
}

# shellcheck disable=SC2317 # called by the trap
summary() {
  local status=$?
  # An end that nothing above accounted for (a build that fails, an interrupt, a signal, which leaves status 0) is a failure too.
  if ((status != 0 && failed == 0)) || [[ $finished == no && $failed == 0 ]]; then failed=1; fi
  say "$passed passed, $failed failed"
}
trap summary EXIT

tools/setup.sh --tests
outcome=0
# Tests run side by side: OpenMP threads that wait must sleep instead of taking the cores from the others.
export OMP_WAIT_POLICY=passive
# Sanitizers stop at the first error, with where it came from.
export UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1
for preset in "${presets[@]}"; do
  folder=$(folder_of "$preset")
  say "== $preset: building ($folder/build.log)"
  SECONDS=0
  if [[ $preset == asan ]]; then races=OFF; fi # a build has one sanitizer's calls
  build_preset "$preset" "${definitions[@]}" "-DVIRGIL_RACES=$races"
  say "== $preset: built in $SECONDS s; running the tests"
  SECONDS=0
  run_preset "$preset" "$folder"
  say "== $preset: tests took $SECONDS s"
done
if ((failed > 0)); then outcome=1; fi
finished=yes
exit "$outcome"
