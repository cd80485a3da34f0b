#!/usr/bin/env bash
# Takes Ambrose Bierce's Devil's Dictionary (public domain) out of the Debian package dict-devil, as data/devils_dictionary.txt:
# a text for machines that reach a Debian mirror but not Project Gutenberg. The package is unpacked, not installed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=tools/common.sh
source tools/common.sh

readonly target=data/devils_dictionary.txt
readonly dictionary=usr/share/dictd/devil.dict.dz # dictzip: gzip with an index that gzip ignores

if [[ -s $target ]]; then
  say "$target is there"
  exit 0
fi
scratch=$(mktemp -d)
trap 'rm -rf "$scratch" "$target.tmp"' EXIT
export LC_ALL=C

source_file=/$dictionary
if [[ ! -r $source_file ]]; then
  command -v apt-get >/dev/null || die 'the package dict-devil needs apt; train on a text of your own with --input FILE'
  say 'downloading the Debian package dict-devil'
  # apt warns that it downloads as the calling user: that is meant.
  (cd "$scratch" && run_logged "$scratch/log" apt-get download dict-devil) ||
    die 'dict-devil could not be downloaded; train on a text of your own with --input FILE'
  dpkg-deb --extract "$scratch"/dict-devil_*.deb "$scratch"
  source_file=$scratch/$dictionary
fi

# The book begins at its preface; the dictionary server's alphabet table is the last line that begins with " abc".
gzip --decompress --stdout "$source_file" |
  awk '/^ *PREFACE *$/ { inside = 1 } /^ abcdefgh/ { exit } inside { sub(/[ \r]+$/, ""); print }' >"$target.tmp"
if ! grep -q '^ZOOLOGY' "$target.tmp" || (($(wc -c <"$target.tmp") < 350000)); then
  die "$source_file: not The Devil's Dictionary that was expected; train on a text of your own with --input FILE"
fi
mv "$target.tmp" "$target"
say "$target: $(wc -c <"$target") bytes"
