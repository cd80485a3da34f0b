# shellcheck shell=bash
# What the scripts in tools/ and data/ share. Sourced, never run; the sourcing script sets the shell's options.

# A compiler cache may serve any clone of the project. What the tests precompile is cached too.
export CCACHE_BASEDIR=$PWD CCACHE_NOHASHDIR=1 CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime

say() { printf '%s\n' "$*"; }

# die MESSAGE [STATUS]: the message says what is wrong and how to mend it; 2 is the status of everything a user can mend.
die() {
  printf '%s: error: %s\n' "${0##*/}" "$1" >&2
  exit "${2:-2}"
}

# run_logged LOG COMMAND...: runs the command with its output in LOG; when it fails, shows the end of the log and returns its
# status.
run_logged() {
  local log=$1 status=0
  shift
  mkdir -p "$(dirname "$log")"
  "$@" >"$log" 2>&1 || status=$?
  if ((status != 0)); then
    say "failed with status $status: $*"
    say "--- end of $log ---"
    tail -n 60 "$log"
    say "-------------------"
  fi
  return "$status"
}

# folder_of PRESET: where CMakePresets.json builds it.
folder_of() { if [[ $1 == release ]]; then printf build; else printf 'build-%s' "$1"; fi; }

# build_preset PRESET [-DNAME=VALUE...] [TARGET...]: configures and builds the targets, everything when none is named.
build_preset() {
  local preset=$1 folder argument
  folder=$(folder_of "$preset")
  shift
  local definitions=() targets=()
  for argument in "$@"; do
    if [[ $argument == -D* ]]; then definitions+=("$argument"); else targets+=(--target "$argument"); fi
  done
  run_logged "$folder/configure.log" cmake --preset "$preset" "${definitions[@]}" || return
  run_logged "$folder/build.log" cmake --build --preset "$preset" --parallel "$(nproc)" "${targets[@]}"
}
