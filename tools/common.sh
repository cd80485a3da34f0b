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
    tail -n 20 "$log"
    say "-------------------"
  fi
  return "$status"
}

# first_error LOG: the first line of a build's log that says what went wrong, as NUMBER:LINE. What the linker, the system and CMake say
# counts as well; where nothing does, the command that failed.
first_error() {
  local pattern
  for pattern in '^CMake Error|(^|[: ])(fatal )?error: |undefined reference to|cannot find -l|No space left on device|annot allocate memory' \
    '^FAILED: |^ninja: error'; do
    if grep -nEm 1 "$pattern" "$1"; then return; fi
  done
}

# remedy_for LOG ERROR: what to do about it.
remedy_for() {
  local system='an unknown system'
  # What memory or a full disk broke says so anywhere in the log, often behind errors that follow from it.
  if grep -qE 'Killed signal|annot allocate memory|virtual memory exhausted' "$1"; then
    say "memory ran out while compiling: run the command again with VIRGIL_JOBS=1 before it, to compile one file at a time"
    return
  fi
  if grep -q '^ninja: build stopped: interrupted' "$1"; then
    say "the build was interrupted: run the command again, and it continues"
    return
  fi
  if grep -q 'No space left on device' "$1"; then
    say "the disk is full (df -h .): make room, and run the command again"
    return
  fi
  case $2 in
    *'No such file or directory'* | *'cannot find -l'* | *'CMake Error'* | *'Could NOT find'*)
      say 'a library or its headers are missing or too old: tools/setup.sh installs them; if they have changed since the last build, delete' \
        "the folder ${1%/*} and run the command again"
      ;;
    *)
      # shellcheck source=/dev/null
      if [[ -r /etc/os-release ]]; then system=$(. /etc/os-release && printf '%s' "${PRETTY_NAME:-$system}"); fi
      say "Virgil is tested on Debian 12 and 13; this is $system with $(c++ --version 2>/dev/null | sed -n 1p). If you have changed" \
        "nothing in the sources, delete the folder ${1%/*} and run the command again; if that fails too, please report it with $1"
      ;;
  esac
}

# run_build_step LOG COMMAND...: as run_logged, for a step of a build: when it fails, the last lines are the first error and the remedy.
run_build_step() {
  local log=$1 status=0 found number
  shift
  mkdir -p "$(dirname "$log")"
  "$@" >"$log" 2>&1 || status=$?
  if ((status == 0)); then return; fi
  found=$(first_error "$log")
  number=${found%%:*}
  say "failed with status $status: $*"
  if [[ -n $found ]]; then
    say "the first error ($log, line $number):"
    # A compiler shows the source and the place below; CMake's messages are paragraphs.
    if [[ $found == *'CMake Error'* ]]; then sed -n "$number,$((number + 11))p" "$log"; else sed -n "$number,$((number + 2))p" "$log"; fi |
      cut -c 1-300 | sed 's/^/  /'
  else
    say "the end of $log:"
    tail -n 5 "$log" | cut -c 1-300 | sed 's/^/  /'
  fi
  say "what to do: $(remedy_for "$log" "$found")"
  return "$status"
}

# folder_of PRESET: where CMakePresets.json builds it.
folder_of() { if [[ $1 == release ]]; then printf build; else printf 'build-%s' "$1"; fi; }

# build_preset PRESET [-DNAME=VALUE...] [-GGENERATOR] [TARGET...]: configures and builds the targets, everything when none is named. A folder that is
# new compiles the sources of a layer together, half the work from nothing; one that is there keeps what it was configured with.
build_preset() {
  local preset=$1 folder argument
  folder=$(folder_of "$preset")
  shift
  local definitions=() targets=()
  if [[ ! -e $folder/CMakeCache.txt ]]; then definitions+=(-DVIRGIL_UNITY_BUILD=ON); fi
  for argument in "$@"; do
    if [[ $argument == -[DG]* ]]; then definitions+=("$argument"); else targets+=(--target "$argument"); fi
  done
  run_build_step "$folder/configure.log" cmake --preset "$preset" "${definitions[@]}" || return
  run_build_step "$folder/build.log" cmake --build --preset "$preset" --parallel "${VIRGIL_JOBS:-$(nproc)}" "${targets[@]}"
}
