#!/usr/bin/env bash
# On a machine with an NVIDIA GPU, in commands of at most ten minutes: builds with CUDA, runs the GPU's tests, times every kernel against its
# floor and its prediction and attention against cuDNN's, trains, and compares what was planned, predicted and computed on the CPU with what
# the GPU does. docs/gpu.md
#   tools/gpu_check.sh [--output FILE] [--limit SECONDS] [--batch_size N] [--stages NAME,NAME... | --resume] [--offline [--deps FOLDER]]
# --offline installs and downloads nothing: libraries come from FOLDER (deps), as tools/pack_gpu.sh packs them, and programs from programs/
# where that has them for this GPU. --resume keeps what an earlier call has done and runs the rest; --stages runs these.
# Writes FILE (gpu_check.json), after each stage and however the check ends, and prints a table. Logs go to build-cuda/gpu_check/.
# Exit status: 0 all well; 1 a stage failed; 2 a bad flag; 3 nothing failed, and a stage is not done for want of time; 77 nothing failed, and
# there is no GPU; 129, 130, 143 stopped by a signal.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=tools/common.sh
source tools/common.sh

# In their order: what cannot go wrong without a GPU first, what takes long and finds little last.
readonly all_stages=(setup build conformance ops determinism presets train loss memcheck racecheck)
declare -rA most_seconds=([setup]=300 [build]=3600 [conformance]=300 [ops]=120 [determinism]=90 [presets]=300 [train]=120 [loss]=120
  [memcheck]=200 [racecheck]=200)

output=gpu_check.json
limit_s=560
stages=("${all_stages[@]}")
resume=
again=(tools/gpu_check.sh) # with what another call needs, to do the rest
export GPU_CHECK_BATCH_SIZE=8 # sequences of 1,024 tokens: a plan of about 4.5 GiB
export GPU_CHECK_OFFLINE=
export GPU_CHECK_DEPS=
export GPU_CHECK_LOGS=build-cuda/gpu_check

read_stages() {
  local name
  IFS=, read -ra stages <<<"$1"
  for name in "${stages[@]}"; do
    [[ " ${all_stages[*]} " == *" $name "* ]] || die "--stages: there is no stage $name; there are: ${all_stages[*]}"
  done
}

while (($# > 0)); do
  flag=$1
  value=${2:-}
  case $flag in
    --output | --deps | --stages) [[ -n $value && $value != --* ]] || die "$flag: a value is missing, such as --output gpu_check.json" ;;
    --limit | --batch_size) [[ $value =~ ^[1-9][0-9]{0,5}$ ]] || die "$flag: give a whole number, such as $flag 8" ;;
    --offline | --resume) value= ;;
    *) die "unknown option $flag; the options are --output FILE, --limit SECONDS, --batch_size N, --stages NAMES, --resume, --offline and --deps FOLDER" ;;
  esac
  case $flag in
    --output) output=$value ;;
    --deps) GPU_CHECK_DEPS=$value ;;
    --stages) read_stages "$value" ;;
    --limit) limit_s=$value ;;
    --batch_size) GPU_CHECK_BATCH_SIZE=$value ;;
    --offline) GPU_CHECK_OFFLINE=1 ;;
    --resume) resume=1 ;;
  esac
  case $flag in --output | --deps | --batch_size | --offline) again+=("$flag" ${value:+"$value"}) ;; esac
  shift
  if [[ -n $value ]]; then shift; fi
done
if [[ -n $resume && ${#stages[@]} -ne ${#all_stages[@]} ]]; then die '--resume runs what is not done, --stages what it names; give one of the two'; fi
if [[ -n $GPU_CHECK_DEPS && -z $GPU_CHECK_OFFLINE ]]; then die '--deps belongs to --offline; give both'; fi
if [[ -n $GPU_CHECK_OFFLINE ]]; then
  GPU_CHECK_DEPS=${GPU_CHECK_DEPS:-deps}
  [[ -d $GPU_CHECK_DEPS/usr ]] || die "--offline: $GPU_CHECK_DEPS is no folder with libraries (usr/include, usr/lib); unpack what tools/pack_gpu.sh made, or name one with --deps FOLDER"
  GPU_CHECK_DEPS=$(cd "$GPU_CHECK_DEPS" && pwd)
fi
: 2>/dev/null >>"$output" || die "--output: $output cannot be written; name a file in a folder that is there"

SECONDS=0
readonly logs=$GPU_CHECK_LOGS
readonly done_stages=$logs/stages.tsv
if [[ -z $resume && ${#stages[@]} -eq ${#all_stages[@]} ]]; then rm -rf "$logs"; fi
mkdir -p "$logs"
rm -f "$logs/asked.txt" "$logs/finished"
PATH=$PATH:/usr/local/cuda/bin

# outcome_of NAME: how the stage ended last; nothing when it has not been run.
outcome_of() {
  if [[ -r $done_stages ]]; then awk -F '\t' -v name="$1" '$1 == name { outcome = $2 } END { print outcome }' "$done_stages"; fi
}

# note NAME OUTCOME STATUS SECONDS WHY
note() {
  local why=${5//[$'\t\n\r']/ }
  printf '%s\t%s\t%d\t%d\t%s\n' "$1" "$2" "$3" "$4" "${why:0:300}" >>"$done_stages"
  if [[ $2 != ok ]]; then say "$1: $2${why:+: ${why:0:300}}"; fi
}

# write_report [--quiet]
write_report() {
  if command -v python3 >/dev/null; then
    python3 -B tools/gpu_report.py "$@" "$logs" "$output"
  else
    printf '{"failures": ["setup: there is no python3, which runs parts of the check and makes this report"]}\n' >"$output"
    say "$output: there is no python3, which runs parts of the check and makes its report: install it"
    return 1
  fi
}

# `timeout` keeps what it runs from the terminal's Ctrl-C, and hands a signal on to all of it.
running=
current=
# shellcheck disable=SC2317 # traps call it
finish() {
  local status=$1
  trap '' INT TERM HUP
  trap - EXIT
  if [[ -n $running ]]; then
    kill "$running" 2>/dev/null || true
    wait "$running" 2>/dev/null || true
    note "$current" 'not done' "$status" 0 'the check was stopped'
    write_report || true
  elif [[ ! -e $logs/finished ]]; then
    write_report || true
  fi
  exit "$status"
}
trap 'finish 130' INT
trap 'finish 143' TERM
trap 'finish 129' HUP
trap 'finish $?' EXIT

# run_stage NAME: tools/gpu_stages.sh NAME, with its output in NAME.log, for so long at most and no longer than the whole check may take.
run_stage() {
  local name=$1 status=0 started=$SECONDS most_s=${most_seconds[$1]} left_s=$((limit_s - SECONDS)) outcome=failed why=''
  if ((most_s > left_s)); then most_s=$left_s; fi
  if ((most_s <= 0)); then
    note "$name" 'not done' 0 0 "no time left of $limit_s s"
    return
  fi
  say "== $name"
  rm -f "$logs/$name.why"
  if [[ -z $resume ]]; then rm -rf "${logs:?}/$name"; fi # of what a stage keeps for another call
  current=$name
  timeout --kill-after=10 "$most_s" bash tools/gpu_stages.sh "$name" >"$logs/$name.log" 2>&1 &
  running=$!
  wait "$running" || status=$?
  running=
  if [[ -s $logs/$name.why ]]; then why=$(<"$logs/$name.why"); fi
  case $status in
    0) outcome=ok ;;
    75) outcome=skipped ;;
    124 | 137)
      outcome='not done'
      why="stopped after $((SECONDS - started)) s"
      ;;
    *)
      why=${why:-exit status $status}
      tail -n 20 "$logs/$name.log" | cut -c 1-400
      ;;
  esac
  if [[ $outcome != failed ]]; then grep '^note: ' "$logs/$name.log" || true; fi
  note "$name" "$outcome" "$status" $((SECONDS - started)) "$why"
}

# Why a stage cannot run now, as OUTCOME:REASON; nothing when it can.
obstacle() {
  case $1 in setup | build) return ;; esac
  if [[ -n $no_gpu ]]; then
    printf 'no GPU:%s' "$no_gpu"
  elif [[ $(outcome_of build) != ok ]]; then
    printf 'not done:there is no build to run it with'
  fi
}

# Set-up and build come before everything else, and cost little when they are done.
wanted() {
  if [[ -n $resume ]]; then
    case $1 in setup | build) return 0 ;; esac
    case $(outcome_of "$1") in ok | failed | skipped) return 1 ;; *) return 0 ;; esac
  fi
  [[ " setup build ${stages[*]} " == *" $1 "* ]]
}

# The driver says whether there is a GPU; nvidia-smi knows the driver's version.
no_gpu=
gpu=$(python3 -B tools/gpu_probe.py 2>&1) || {
  no_gpu=${gpu:-there is no python3 to ask the driver}
  gpu=
}
smi=$(nvidia-smi --query-gpu=name,compute_cap,driver_version,memory.total --format=csv,noheader 2>/dev/null | head -n 1) || true
if [[ $smi == *,*,*,* && (-n $no_gpu || ${smi%,*,*} == "${gpu%,*,*}") ]]; then gpu=$smi; fi
printf '%s\n' "$gpu" >"$logs/gpu.txt"
printf '%s\n' "$no_gpu" >"$logs/no_gpu.txt"
printf '%q ' "${again[@]}" --resume >"$logs/again.txt"
if [[ -r packed.txt ]]; then sed -n 1p packed.txt; else git describe --always --dirty; fi >"$logs/source.txt" 2>/dev/null || true
GPU_CHECK_ARCHITECTURE=$(cut -d, -f2 <<<"$gpu" | tr -d ' .')
export GPU_CHECK_ARCHITECTURE
if [[ -n $no_gpu ]]; then say "no GPU: $no_gpu"; else say "GPU: $gpu"; fi

for name in "${all_stages[@]}"; do
  if wanted "$name"; then printf '%s\n' "$name" >>"$logs/asked.txt"; fi
done
reported_at=0
mapfile -t asked <"$logs/asked.txt"
for name in "${asked[@]}"; do
  found=$(obstacle "$name")
  if [[ -n $found ]]; then note "$name" "${found%%:*}" 0 0 "${found#*:}"; else run_stage "$name"; fi
  # Nothing may end the check without a report; what took no time is no loss.
  if ((SECONDS > reported_at)); then write_report --quiet || true; fi
  reported_at=$SECONDS
done
touch "$logs/finished"
status=0
write_report || status=$?
exit "$status"
