#!/usr/bin/env bash
# From a fresh clone to a GPT that has learned from Dante and writes, on the CPU, in 300 steps.
#   tools/quickstart.sh [--input FILE...] [train flags]
# Installs what is missing, builds all programs, fetches the Divine Comedy unless --input names other texts, trains configs/tiny_fast.json
# to its end, and lets the model write a few lines. Every further flag goes to `train` (`build/train --help` lists them).
set -euo pipefail
caller=$PWD
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=tools/common.sh
source tools/common.sh

readonly all_steps=300 # the length of configs/tiny_fast.json; the learning rate is planned for it also where fewer are made

# last_value KEY DEFAULT FLAGS...: the value that `train` will use for --KEY, given as "--key value" or "--key=value".
last_value() {
  local key=$1 value=$2 flag name
  shift 2
  while (($# > 0)); do
    flag=$1
    shift
    name=${flag%%=*}
    if [[ ${name//-/_} != "__$key" ]]; then continue; fi
    if [[ $flag == *=* ]]; then value=${flag#*=}; elif (($# > 0)); then value=$1; fi
  done
  printf '%s' "$value"
}

# absolute FILE: as seen from where the script was called, since it runs in the project's folder.
absolute() { if [[ $1 == /* ]]; then printf '%s' "$1"; else printf '%s' "$caller/$1"; fi; }

# collect_inputs FLAGS...: sets `inputs` to what `train` would read: the words after the last --input up to the next flag.
collect_inputs() {
  local flag name
  inputs=()
  while (($# > 0)); do
    flag=$1
    shift
    name=${flag%%=*}
    if [[ ${name//-/_} != __input && ${name//-/_} != __input_file ]]; then continue; fi
    inputs=()
    if [[ $flag == *=* ]]; then inputs=("$(absolute "${flag#*=}")"); fi
    while [[ $flag != *=* && $# -gt 0 && $1 != --* ]]; do
      inputs+=("$(absolute "$1")")
      shift
    done
  done
}

fetch_text() {
  local status=0
  data/fetch_divine_comedy.sh >&2 || status=$?
  if ((status == 0)); then
    inputs=(data/divine_comedy.txt)
    return
  fi
  if ((status != 3)); then exit "$status"; fi
  say 'Project Gutenberg cannot be reached: training on The Devil'"'"'s Dictionary from the Debian package dict-devil instead'
  data/fetch_devils_dictionary.sh
  inputs=(data/devils_dictionary.txt)
}

# A name that no run has yet, so that quickstarts never meet.
fresh_run_name() {
  local name=quickstart number=1
  while [[ -e $1/$name ]]; do
    number=$((number + 1))
    name=quickstart-$number
  done
  printf '%s' "$name"
}

if [[ ${1:-} == --help || ${1:-} == -h ]]; then
  sed -n '2,5s/^# //p' tools/quickstart.sh
  exit 0
fi
collect_inputs "$@"
for input in "${inputs[@]}"; do
  [[ -r $input ]] || compgen -G "$input" >/dev/null || die "--input $input: no such file, or it may not be read"
done

tools/setup.sh
say 'building (build/build.log)'
build_preset release -DVIRGIL_BUILD_TESTS=OFF
if ((${#inputs[@]} == 0)); then fetch_text; fi

out_dir=$(last_value out_dir runs "$@")
run_name=$(last_value model_name "$(fresh_run_name "$out_dir")" "$@")
max_iters=$(last_value max_steps "$(last_value max_iters "$all_steps" "$@")" "$@")
# Of a number as `train` may be given it, 1k or 1e3, nothing is known here.
is_shorter() { [[ $max_iters =~ ^[0-9]+$ ]] && ((10#$max_iters < all_steps)); }
schedule=()
if is_shorter; then schedule=(--lr_decay_iters "$all_steps"); fi
command=(build/train --config configs/tiny_fast.json --device cpu "${schedule[@]}" "$@" --input "${inputs[@]}" --out_dir "$out_dir"
  --model_name "$run_name")

# Interrupted with Ctrl-C, train saves a checkpoint and exits with 130; it has then said how to resume.
trap : INT
status=0
"${command[@]}" || status=$?
if ((status != 0)); then exit "$status"; fi

prompt=$'\n'
if [[ ${inputs[0]} == data/divine_comedy.txt ]]; then prompt='Nel mezzo del cammin'; fi
sample=(build/generate --checkpoint "$out_dir/$run_name" --prompt "$prompt" --temperature 0.7 --max_new_tokens 240)
say ''
say 'What the model writes now:'
printf '  '
printf '%q ' "${sample[@]}"
say ''
say ''
"${sample[@]}" || exit

say ''
if [[ $caller != "$PWD" ]]; then
  say 'The commands here are for this folder:'
  printf '  cd %q\n' "$PWD"
fi
if is_shorter; then
  say "It has learned for $max_iters of the $all_steps steps of configs/tiny_fast.json. To train it to their end:"
  printf '  build/train --resume --out_dir %q --model_name %q --max_iters %d\n' "$out_dir" "$run_name" "$all_steps"
fi
say 'Its loss, rates and samples as one page to open in a browser:'
printf '  build/report %q\n' "$out_dir/$run_name"
