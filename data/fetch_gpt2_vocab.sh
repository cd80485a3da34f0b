#!/usr/bin/env bash
# Fetches GPT-2's vocabulary (50,256 byte-pair ranks, MIT licence, OpenAI) as data/gpt2.tiktoken and verifies its SHA-256.
#   data/fetch_gpt2_vocab.sh               from OpenAI's public address, else from the source package of openai-whisper (the same
#                                          bytes), unless a verified copy is already there
#   data/fetch_gpt2_vocab.sh --from FILE   take a local copy instead
# Exit status: 0 there, 2 a file that is not the vocabulary or a bad flag, 3 no source could be reached.
# VIRGIL_GPT2_VOCAB_URLS overrides the addresses (separated by spaces).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=tools/common.sh
source tools/common.sh

readonly target=data/gpt2.tiktoken
readonly sha256=306cd27f03c1a714eca7108e03d66b7dc042abe8c258b44c199a7ed9838dd930
readonly openai='https://openaipublic.blob.core.windows.net/encodings/r50k_base.tiktoken'
read -ra urls <<<"${VIRGIL_GPT2_VOCAB_URLS:-$openai}"

# is_vocabulary FILE
is_vocabulary() {
  local hash
  [[ -s $1 ]] || return
  hash=$(sha256sum <"$1")
  [[ ${hash%% *} == "$sha256" ]]
}

# accept FILE SOURCE: puts FILE in place when it is the vocabulary; otherwise says so and fails.
accept() {
  if ! is_vocabulary "$1"; then
    say "refused: $2 gave a file with another SHA-256 than $sha256"
    return 1
  fi
  # Copied beside the target first, so that the rename is atomic.
  cp "$1" "$target.tmp" && mv "$target.tmp" "$target" || return
  say "$target: from $2, SHA-256 verified"
}

# from_whisper: the vocabulary inside the source package of openai-whisper.
from_whisper() {
  local package=$scratch/whisper
  if ! python3 -m pip --version >/dev/null 2>&1; then
    say 'python3 -m pip is not there (package python3-pip), so openai-whisper cannot be asked'
    return 1
  fi
  say 'downloading the source package of openai-whisper with pip'
  run_logged "$scratch/pip.log" python3 -m pip download --quiet --disable-pip-version-check --no-deps \
    --no-binary openai-whisper --dest "$package" openai-whisper || return
  tar -xzf "$package"/openai*whisper*.tar.gz -O --wildcards '*/whisper/assets/gpt2.tiktoken' >"$scratch/ranks" || return
  accept "$scratch/ranks" 'the source package of openai-whisper'
}

scratch=$(mktemp -d)
trap 'rm -rf "$scratch" "$target.tmp"' EXIT

if [[ ${1:-} == --from && $# == 2 ]]; then
  [[ -r $2 ]] || die "$2: cannot be read"
  result=$(accept "$2" "$2") || die "$2: not GPT-2's vocabulary: $result"
  say "$result"
  exit 0
elif (($# > 0)); then
  die "usage: data/fetch_gpt2_vocab.sh [--from FILE]"
fi

if is_vocabulary "$target"; then
  say "$target is there and verified"
  exit 0
fi
for url in "${urls[@]}"; do
  say "downloading $url"
  if curl --fail --silent --show-error --location --connect-timeout 15 --max-time 120 --output "$scratch/ranks" "$url" &&
    accept "$scratch/ranks" "$url"; then
    exit 0
  fi
done
if from_whisper; then exit 0; fi
die "no source gave GPT-2's vocabulary; with a copy of your own: data/fetch_gpt2_vocab.sh --from FILE" 3
