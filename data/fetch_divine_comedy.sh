#!/usr/bin/env bash
# Fetches Dante's Divina Commedia (Project Gutenberg, etext 1012, public domain) as data/divine_comedy.txt and checks it:
# UTF-8, LF line ends, without Gutenberg's licence text.
#   data/fetch_divine_comedy.sh               download, unless a checked copy is already there
#   data/fetch_divine_comedy.sh --from FILE   take a local copy of the etext instead
# Exit status: 0 there, 2 a file that is not the poem or a bad flag, 3 no mirror could be reached.
# VIRGIL_GUTENBERG_URLS overrides the addresses (separated by spaces).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=tools/common.sh
source tools/common.sh

readonly target=data/divine_comedy.txt
readonly gutenberg='https://www.gutenberg.org/cache/epub/1012/pg1012.txt https://www.gutenberg.org/files/1012/1012-0.txt'
read -ra urls <<<"${VIRGIL_GUTENBERG_URLS:-$gutenberg}"

# SHA-256 of the body as poem_body() cuts it, of the editions seen so far. Gutenberg re-issues its etexts: an edition that is not
# listed but passes check_poem() is accepted with a word.
readonly known_sha256=9e4d25eb1a6b619888a8c4b5818cd6ec0191da8e0b13d40f6834105e2c56b5ed

# poem_body FILE: from the title to the last verse, without byte order mark and carriage returns. Gutenberg's own text stands
# before and after; it names the title in other letters.
poem_body() {
  tr -d '\r' <"$1" | sed $'1s/^\xef\xbb\xbf//' | awk '
    !inside && /^[ ]*LA DIVINA COMMEDIA[ ]*$/ { inside = 1 }
    inside { print }
    /che move il sole e l.*altre stelle\./ { exit }'
}

# check_poem FILE: prints what is wrong and fails unless FILE is the whole poem.
check_poem() {
  local bytes headings verses stelle
  if [[ ! -s $1 ]]; then say "the title 'LA DIVINA COMMEDIA' is not in it"; return 1; fi
  if ! iconv -f UTF-8 -t UTF-8 "$1" >/dev/null 2>&1; then say 'it is not valid UTF-8'; return 1; fi
  bytes=$(wc -c <"$1")
  if ((bytes < 500000 || bytes > 700000)); then say "its text has $bytes bytes, not 500,000 to 700,000"; return 1; fi
  # 34, 33 and 33 cantos, in this order; the mark between part and number differs between editions.
  headings=$(sed -nE 's/^[ ]*(Inferno|Purgatorio|Paradiso)[^A-Za-z]+Canto [IVXL]+[ ]*$/\1/p' "$1" | uniq -c | tr -s ' \n' ' ')
  if [[ $headings != ' 34 Inferno 33 Purgatorio 33 Paradiso ' ]]; then say "its cantos are:${headings:- none}"; return 1; fi
  # The poem has 14,233 verses; what else is not blank is 100 headings and a few title lines.
  verses=$(grep -c '[^ ]' "$1")
  if ((verses < 14333 || verses > 14400)); then say "it has $verses lines with text, not about 14,342"; return 1; fi
  if ! grep -q '^ *Nel mezzo del cammin di nostra vita' "$1"; then say 'its first verse is missing'; return 1; fi
  # Each of the three parts ends on the word "stelle".
  stelle=$(grep -cE "^ *(E quindi uscimmo a riveder le|puro e disposto a salire a.*le|.*che move il sole e l.*altre) stelle\." "$1" || true)
  if ((stelle != 3)); then say "$stelle of its three parts end on 'stelle.'"; return 1; fi
}

# accept FILE: puts the body of FILE in place when it is the poem; otherwise prints why not and fails.
accept() {
  poem_body "$1" >"$scratch/body"
  check_poem "$scratch/body" || return
  local hash
  hash=$(sha256sum <"$scratch/body")
  if [[ ${hash%% *} != "$known_sha256" ]]; then
    say "note: an edition not seen before (SHA-256 ${hash%% *}); its cantos and verses are complete"
  fi
  # Copied beside the target first, so that the rename is atomic.
  cp "$scratch/body" "$target.tmp" && mv "$target.tmp" "$target" || return
  say "$target: $(wc -c <"$target") bytes"
}

scratch=$(mktemp -d)
trap 'rm -rf "$scratch" "$target.tmp"' EXIT
export LC_ALL=C # bytes, whatever the machine's locale

if [[ ${1:-} == --from && $# == 2 ]]; then
  [[ -r $2 ]] || die "$2: cannot be read"
  result=$(accept "$2") || die "$2: not the Divina Commedia of Project Gutenberg (etext 1012): $result"
  say "$result"
  exit 0
elif (($# > 0)); then
  die "usage: data/fetch_divine_comedy.sh [--from FILE]"
fi

if [[ -f $target ]] && check_poem "$target" >/dev/null; then
  say "$target is there and complete"
  exit 0
fi
for url in "${urls[@]}"; do
  say "downloading $url"
  if ! curl --fail --silent --show-error --location --connect-timeout 15 --max-time 120 --output "$scratch/etext" "$url"; then
    continue
  fi
  if result=$(accept "$scratch/etext"); then
    say "$result"
    exit 0
  fi
  say "refused: $result"
done
die "no mirror gave the poem; with a copy of your own: data/fetch_divine_comedy.sh --from FILE" 3
