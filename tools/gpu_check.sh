#!/usr/bin/env bash
# On a machine with an NVIDIA GPU, in under 8 minutes: builds with CUDA, runs the GPU's tests, also under compute-sanitizer, times
# every kernel against its floor, and attention also against cuDNN's where that is found, trains a model of GPT-2's smallest shape for 50 steps, and compares the memory that was planned
# with what the driver reports. docs/gpu.md
#   tools/gpu_check.sh [--output FILE] [--limit SECONDS] [--batch_size N]
# Writes FILE (gpu_check.json) and prints a table. Logs go to build-cuda/gpu_check/.
# Exit status: 0 all well, 1 a stage failed, 2 a bad flag, 77 no GPU or no CUDA toolkit here.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=tools/common.sh
source tools/common.sh

output=gpu_check.json
limit_s=470
batch_size=8 # sequences of 1,024 tokens: a plan of about 4.5 GiB
while (($# > 0)); do
  flag=$1
  value=${2:-}
  case $flag in
    --output) [[ -n $value && $value != --* ]] || die '--output: give a file, such as --output gpu_check.json' ;;
    --limit | --batch_size) [[ $value =~ ^[1-9][0-9]{0,5}$ ]] || die "$flag: give a whole number, such as $flag 8" ;;
    *) die "unknown option $flag; the options are --output FILE, --limit SECONDS and --batch_size N" ;;
  esac
  case $flag in
    --output) output=$value ;;
    --limit) limit_s=$value ;;
    --batch_size) batch_size=$value ;;
  esac
  shift 2
done

# Says what is missing and skips: not a failure, and not a success either.
skip() {
  say "skipped: $1"
  exit 77
}

PATH=$PATH:/usr/local/cuda/bin
command -v nvidia-smi >/dev/null || skip 'there is no nvidia-smi: this machine has no NVIDIA driver'
gpu=$(nvidia-smi --query-gpu=name,compute_cap,driver_version,memory.total --format=csv,noheader 2>/dev/null | head -n 1) || true
[[ $gpu == *,*,*,* ]] || skip 'nvidia-smi shows no GPU: there is none, or its driver does not run'
command -v nvcc >/dev/null || skip 'there is no nvcc on the PATH or in /usr/local/cuda/bin: install the CUDA toolkit, 12.4 or newer'
say "GPU: $gpu"

readonly logs=build-cuda/gpu_check
readonly tests=build-cuda/tests/gpu_conformance_tests
rm -rf "$logs"
mkdir -p "$logs"
printf '%s\n' "$gpu" >"$logs/gpu.txt"
nvcc --version | tail -n 2 | head -n 1 >"$logs/nvcc.txt" || true
SECONDS=0
# `timeout` keeps what it runs from the terminal's Ctrl-C.
running=
trap 'if [[ -n $running ]]; then kill "$running"; fi; exit 130' INT TERM

# stage NAME SECONDS COMMAND...: runs the command with its output in NAME.log, for so long at most and no longer than the whole
# check may take; notes how it ended in stages.txt for tools/gpu_report.py.
stage() {
  local name=$1 most_s=$2 status=0 started=$SECONDS left_s=$((limit_s - SECONDS))
  shift 2
  if ((most_s > left_s)); then most_s=$left_s; fi
  say "== $name"
  if ((most_s <= 0)); then
    status=124
  else
    timeout --kill-after=10 "$most_s" "$@" >"$logs/$name.log" 2>&1 &
    running=$!
    wait "$running" || status=$?
  fi
  printf '%s %d %d\n' "$name" "$status" $((SECONDS - started)) >>"$logs/stages.txt"
  if ((status == 0)); then return; fi
  if ((status == 124)); then say "$name: stopped, no time left"; else say "$name: failed with status $status"; fi
  if [[ -s $logs/$name.log ]]; then tail -n 20 "$logs/$name.log"; fi
  return "$status"
}

# The text to train on: the poem, or what can be had without its mirrors; without any network what Virgil says about itself.
find_text() {
  text=data/divine_comedy.txt
  if timeout 30 data/fetch_divine_comedy.sh >"$logs/text.log" 2>&1; then return; fi
  text=data/devils_dictionary.txt
  if timeout 30 data/fetch_devils_dictionary.sh >>"$logs/text.log" 2>&1; then return; fi
  text=$logs/sources.txt
  cat docs/*.md src/*/*.cpp include/virgil/*/*.h >"$text"
}

# sanitize TOOL FILTER: the tests that match, under one of compute-sanitizer's tools.
sanitize() {
  stage "$1" 75 compute-sanitizer --tool "$1" --error-exitcode 9 "$tests" --gtest_filter="$2" \
    --gtest_output="json:$logs/$1.json"
}

# What follows a build that failed would only repeat its error.
check() {
  build build || return
  stage conformance 120 "$tests" --gtest_brief=1 --gtest_output="json:$logs/conformance.json" || true
  if command -v compute-sanitizer >/dev/null; then
    # Our kernels in the type that uses tensor cores; cuBLASLt's are NVIDIA's to check.
    local type=bfloat16
    if [[ $(cut -d, -f2 <<<"$gpu") =~ ^\ *[0-7]\. ]]; then type=float16; fi
    sanitize memcheck "*/cuda_$type-Backends/Matmul*" || true
    sanitize racecheck "Backends/Attention*/cuda_$type:Backends/Layernorm*/cuda_$type:Backends/CrossEntropy*/cuda_$type" || true
  else
    say 'compute-sanitizer is not installed: memcheck and racecheck are left out'
  fi
  local shape=(--n_layer 12 --n_embd 768 --n_head 12 --block_size 1024 --vocab_size 50257 --dropout 0 --device cuda
    --batch_size "$batch_size")
  stage ops 75 build-cuda/bench "${shape[@]}" --steps 10 --ops --compare_cudnn --json || true
  find_text
  # shellcheck disable=SC2016 # expanded by the inner shell
  stage graph 60 bash -c 'for graph in true false; do "$@" --cuda_graph "$graph" --model_name "graph_$graph" || exit; done' graph \
    build-cuda/train --input "$text" --tokenizer byte --n_layer 6 --n_embd 384 --n_head 6 --block_size 256 --batch_size 12 \
    --dropout 0.1 --grad_accum_steps 2 --max_iters 20 --warmup_iters 5 --eval_interval 8 --eval_iters 2 --sample_interval 0 \
    --save_interval 0 --device cuda --out_dir "$logs/runs" --overwrite || true
  local tokenizer=gpt2
  if [[ ! -s data/gpt2.tiktoken ]]; then tokenizer=char; fi
  stage train 100 build-cuda/train "${shape[@]}" --input "$text" --tokenizer "$tokenizer" --grad_accum_steps 4 --max_iters 50 \
    --warmup_iters 10 --eval_interval 0 --sample_interval 0 --save_interval 0 --out_dir "$logs/runs" --model_name check \
    --overwrite || true
}

build() {
  # shellcheck disable=SC2016 # expanded by the inner shell
  stage "$1" 300 bash -c 'source tools/common.sh
    build_preset cuda -DVIRGIL_BUILD_TESTS=ON -DVIRGIL_CUDA_ARCHITECTURES=native train bench gpu_conformance_tests'
}

tools/setup.sh --tests
check || true
status=0
python3 -B tools/gpu_report.py "$logs" "$output" || status=$?
rm -rf "$logs/runs"
exit "$status"
