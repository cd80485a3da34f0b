#!/usr/bin/env bash
# What the stages of tools/gpu_check.sh do, each in a process of its own, which may be stopped.
#   tools/gpu_stages.sh STAGE
# Exit status: 0 done, 75 skipped, anything else failed. What a report should say of how it ended goes to STAGE.why, and tools/gpu_check.sh
# says aloud the lines that begin with "note: ".
# From tools/gpu_check.sh: GPU_CHECK_LOGS, GPU_CHECK_OFFLINE (empty or not), GPU_CHECK_DEPS, GPU_CHECK_BATCH_SIZE, GPU_CHECK_ARCHITECTURE.
set -euo pipefail
# shellcheck source=tools/common.sh
source tools/common.sh

readonly stage=$1
readonly logs=$GPU_CHECK_LOGS
readonly packed=programs # of an archive

because() { printf '%s\n' "$*" >"$logs/$stage.why"; }

# --- Where things are ---

# Folders in which CUDA's libraries may lie: the toolkit's, and those of NVIDIA's packages for Python.
cuda_library_folders() {
  local nvcc folder
  nvcc=$(command -v nvcc) || nvcc=/usr/local/cuda/bin/nvcc
  nvcc=$(readlink -f "$nvcc")
  for folder in "${nvcc%/bin/*}"/{lib64,lib,targets/*/lib} /usr/local/cuda/lib64 /opt/cuda/lib64 \
    "$(python3 -c 'import sysconfig; print(sysconfig.get_path("purelib"))')"/nvidia/*/lib; do
    if compgen -G "$folder/libcu*.so*" >/dev/null; then printf '%s\n' "$folder"; fi
  done
}

# For our programs alone: what the system's compiler or CMake would load of these libraries may not be theirs.
use_libraries() {
  local folders
  if [[ ! -e $logs/libraries.txt ]]; then cuda_library_folders >"$logs/libraries.txt"; fi
  folders=$(paste -sd : "$logs/libraries.txt")
  if [[ -n $GPU_CHECK_DEPS ]]; then folders=$GPU_CHECK_DEPS/usr/lib/x86_64-linux-gnu:$GPU_CHECK_DEPS/usr/lib${folders:+:$folders}; fi
  export LD_LIBRARY_PATH=${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}$folders
}

# What ran in `build`: the archive's programs, or those built here.
program() {
  local name=$1 folder
  folder=$(<"$logs/programs.txt")
  if [[ $name == gpu_conformance_tests && $folder != "$packed" ]]; then folder+=/tests; fi
  printf '%s/%s' "$folder" "$name"
}

# Says why those of the archive do not serve; nothing when they do.
why_not_packed() {
  local name architectures
  [[ -n $GPU_CHECK_OFFLINE && -d $packed ]] || { say 'there are none'; return; }
  architectures=$(sed -n 's/^architectures: //p' packed.txt)
  if [[ -n $GPU_CHECK_ARCHITECTURE && ";$architectures;" != *";$GPU_CHECK_ARCHITECTURE;"* ]]; then
    say "they are for $architectures, and the GPU is $GPU_CHECK_ARCHITECTURE"
    return
  fi
  for name in train bench; do
    "$packed/$name" --version >"$logs/$name.version" 2>&1 || { say "$name does not run here: $(head -n 1 "$logs/$name.version")"; return; }
  done
  "$packed/gpu_conformance_tests" --gtest_list_tests >"$logs/tests.txt" 2>&1 ||
    say "gpu_conformance_tests does not run here: $(head -n 1 "$logs/tests.txt")"
}

# --- setup ---

# at_least VERSION OLDEST
at_least() { [[ $(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n 1) == "$2" ]]; }

version_of() { "$@" --version 2>/dev/null | grep -oE '[0-9]+\.[0-9]+(\.[0-9]+)?' | head -n 1; }

describe_machine() {
  (. /etc/os-release && say "system: ${PRETTY_NAME:-unknown}, kernel $(uname -r), $(nproc) processors") 2>/dev/null || uname -a
  say "C library: $(getconf GNU_LIBC_VERSION 2>/dev/null || true)"
  local tool
  for tool in c++ cmake ninja make nvcc python3; do say "$tool: $(command -v "$tool" || printf 'not there') $(version_of "$tool" || true)"; done
}

# What a build needs and this machine lacks, one a line.
missing_tools() {
  local version
  printf 'int main() {}\n' | c++ -std=c++20 -fopenmp -x c++ -o "$logs/empty" - 2>/dev/null ||
    say 'a C++20 compiler with OpenMP (c++ -std=c++20 -fopenmp does not build an empty program)'
  version=$(version_of cmake) || true
  if [[ -z $version ]]; then say 'cmake, 3.22 or newer'; elif ! at_least "$version" 3.22; then say "cmake 3.22 or newer: this is $version"; fi
  version=$(nvcc --version 2>/dev/null | sed -n 's/.*release \([0-9.]*\).*/\1/p') || true
  if [[ -z $version ]]; then say 'nvcc of the CUDA toolkit, 12.4 or newer, on the PATH or in /usr/local/cuda/bin'
  elif ! at_least "$version" 12.4; then say "a CUDA toolkit of 12.4 or newer: this is $version"; fi
  command -v ninja >/dev/null || command -v make >/dev/null || say 'ninja or make'
}

setup_offline() {
  local problems why
  why=$(use_libraries && why_not_packed)
  if [[ -z $why ]]; then
    say "the archive's programs run here"
    return
  fi
  say "programs of an archive: $why"
  problems=$(missing_tools)
  if [[ -z $(cuda_library_folders | while read -r folder; do compgen -G "$folder/libcublasLt.so*" || true; done) ]]; then
    problems+="${problems:+$'\n'}cuBLASLt: there is no libcublasLt.so in the toolkit's folders"
  fi
  [[ -z $problems ]] || { say "missing: $problems"; because "missing: ${problems//$'\n'/; }"; return 1; }
}

# The text to train on: the poem, or what can be had without its mirrors; without any network what Virgil says about itself.
find_text() {
  local name
  for name in divine_comedy devils_dictionary; do
    if [[ -s data/$name.txt ]] || { [[ -z $GPU_CHECK_OFFLINE ]] && timeout 30 "data/fetch_$name.sh"; }; then
      printf 'data/%s.txt' "$name" >"$logs/text.txt"
      return
    fi
  done
  cat docs/*.md src/*/*.cpp include/virgil/*/*.h >"$logs/sources.txt"
  printf '%s' "$logs/sources.txt" >"$logs/text.txt"
}

run_setup() {
  local status=0
  describe_machine
  rm -f "$logs/libraries.txt"
  nvcc --version 2>/dev/null | tail -n 2 | head -n 1 >"$logs/nvcc.txt" || true
  find_text
  if [[ -n $GPU_CHECK_OFFLINE ]]; then setup_offline || status=$?; else tools/setup.sh --tests || status=$?; fi
  if ((status != 0)) && [[ ! -s $logs/setup.why ]]; then because "$(tail -n 1 "$logs/setup.log")"; fi
  return "$status"
}

# --- build ---

# For the GPU that the driver or nvidia-smi shows, else for that of the archive, else as the build chooses.
build_programs() {
  local architectures=$GPU_CHECK_ARCHITECTURE
  if [[ -z $architectures && -r packed.txt ]]; then architectures=$(sed -n 's/^architectures: //p' packed.txt); fi
  local arguments=(-DVIRGIL_BUILD_TESTS=ON "-DVIRGIL_CUDA_ARCHITECTURES=${architectures:-auto}")
  if [[ -n $GPU_CHECK_OFFLINE ]]; then
    # Not every system looks into lib/x86_64-linux-gnu; and the linker looks for what a library needs where we say.
    local lib=$GPU_CHECK_DEPS/usr/lib/x86_64-linux-gnu
    arguments+=("-DCMAKE_PREFIX_PATH=$GPU_CHECK_DEPS/usr;$lib/cmake" "-DCMAKE_LIBRARY_PATH=$lib" "-DCMAKE_EXE_LINKER_FLAGS=-Wl,-rpath-link,$lib"
      "-DVIRGIL_CUDNN_PATH=$GPU_CHECK_DEPS/cudnn_frontend" -DVIRGIL_MPI=OFF)
    if ! command -v ninja >/dev/null; then
      say 'note: there is no ninja: building with make'
      arguments+=('-GUnix Makefiles')
    fi
  fi
  build_preset cuda "${arguments[@]}" train bench calc_params gpu_conformance_tests
}

run_build() {
  local why
  if [[ -n $GPU_CHECK_OFFLINE ]]; then
    why=$(use_libraries && why_not_packed)
    if [[ -z $why ]]; then
      because "the archive's programs"
      printf '%s' "$packed" >"$logs/programs.txt"
      return
    fi
    if [[ -d $packed ]]; then say "note: the archive's programs do not serve: $why; building"; fi
  fi
  build_programs || { because "$(sed -n '/the first error/{n;p}' "$logs/build.log" | head -n 1)"; return 1; }
  printf 'build-cuda' >"$logs/programs.txt"
}

# --- On the GPU ---

run_conformance() { "$(program gpu_conformance_tests)" --gtest_brief=1 --gtest_output="json:$logs/conformance.json"; }

# GPT-2's smallest shape.
readonly shape=(--n_layer 12 --n_embd 768 --n_head 12 --block_size 1024 --vocab_size 50257 --dropout 0 --device cuda
  --batch_size "$GPU_CHECK_BATCH_SIZE")
# One that is quick on a CPU too.
readonly small=(--tokenizer byte --n_layer 6 --n_embd 384 --n_head 6 --block_size 256 --dropout 0.1)
readonly tiny=(--tokenizer byte --n_layer 2 --n_embd 128 --n_head 4 --block_size 64 --dropout 0.1)

# train NAME flags...: nothing but steps.
train() {
  local name=$1
  shift
  "$(program train)" --input "$(<"$logs/text.txt")" "$@" --sample_interval 0 --save_interval 0 --out_dir "$logs/runs" --model_name "$name" \
    --overwrite
}

# Predictions are of our kernels, which attention auto may pass over; cuDNN's are raced against them. Fifty steps: an op that a step has
# once is timed fifty times.
run_ops() { "$(program bench)" "${shape[@]}" --attention virgil --steps 50 --ops --compare_cudnn --json; }

run_determinism() {
  local run
  for run in graphs graphs_again no_graphs; do
    train "$run" "${small[@]}" --device cuda --batch_size 12 --grad_accum_steps 2 --max_iters 20 --warmup_iters 5 --eval_interval 8 \
      --eval_iters 2 --cuda_graph "$([[ $run == no_graphs ]] && printf false || printf true)"
  done
}

# Each preset that fits; those of an earlier call are kept.
run_presets() {
  local config name status failed=''
  mkdir -p "$logs/presets"
  while read -r config; do
    name=$(basename "$config" .json)
    if [[ -e $logs/presets/$name.json || -e $logs/presets/$name.no ]]; then continue; fi
    say "$name"
    status=0
    "$(program bench)" --config "$config" --device cuda --attention virgil --steps 5 --json >"$logs/presets/$name.part" 2>"$logs/presets/$name.log" || status=$?
    if ((status == 0)); then
      mv "$logs/presets/$name.part" "$logs/presets/$name.json"
    elif ((status == 2)); then
      tail -n 1 "$logs/presets/$name.log" >"$logs/presets/$name.no"
    else
      tail -n 5 "$logs/presets/$name.log"
      failed+=" $name"
    fi
  done < <(printf '%s\n' configs/*.json | sort -V)
  [[ -z $failed ]] || { because "bench failed on$failed"; return 1; }
  compgen -G "$logs/presets/*.json" >/dev/null || { because "none runs here: $(<"$logs/presets/$name.no")"; return 1; }
}

run_train() {
  local tokenizer=gpt2
  if [[ ! -s data/gpt2.tiktoken ]]; then tokenizer=char; fi
  train check "${shape[@]}" --tokenizer "$tokenizer" --grad_accum_steps 4 --max_iters 50 --warmup_iters 10 --eval_interval 0
}

# The same steps on the CPU and on the GPU.
run_loss() {
  local steps=(--batch_size 8 --max_iters 50 --warmup_iters 10 --eval_interval 0) type=bfloat16
  if ((GPU_CHECK_ARCHITECTURE < 80)); then type=float16; fi
  train loss_cpu "${tiny[@]}" "${steps[@]}" --device cpu --dtype float32
  train loss_float32 "${tiny[@]}" "${steps[@]}" --device cuda --dtype float32
  train "loss_$type" "${tiny[@]}" "${steps[@]}" --device cuda --dtype "$type"
}

# sanitize FILTER: the tests that match, under the stage's tool of compute-sanitizer.
sanitize() {
  command -v compute-sanitizer >/dev/null || { because 'compute-sanitizer is not installed'; return 75; }
  compute-sanitizer --tool "$stage" --error-exitcode 9 "$(program gpu_conformance_tests)" --gtest_filter="$1" \
    --gtest_output="json:$logs/$stage.json"
}

# Our kernels in the type that uses tensor cores; cuBLASLt's are NVIDIA's to check.
sanitizer_type() { if ((GPU_CHECK_ARCHITECTURE < 80)); then printf 'cuda_float16'; else printf 'cuda_bfloat16'; fi; }
run_memcheck() { sanitize "*/$(sanitizer_type)-Backends/Matmul*"; }
run_racecheck() {
  local type
  type=$(sanitizer_type)
  sanitize "Backends/Attention*/$type:Backends/Layernorm*/$type:Backends/CrossEntropy*/$type"
}

case $stage in
  setup | build) ;;
  *) use_libraries ;;
esac
"run_$stage"
