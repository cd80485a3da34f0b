#!/usr/bin/env bash
# Makes one archive for a machine that has a GPU, its driver, the CUDA toolkit, a C++ compiler, CMake and Python, and neither a network nor a
# package manager: the sources as they are here, committed or not, Debian's packages of the libraries unpacked, GPT-2's vocabulary and a text.
# There: tar -xf OUT; cd virgil-gpu; tools/gpu_check.sh --offline. docs/gpu.md
#   tools/pack_gpu.sh OUT.tar.gz [--arch LIST] [--programs]
# --arch: what programs are built for, 90 where nothing is said, such as 80;90. --programs: builds them here already, with the toolkit of this
# machine, which needs no GPU; build-programs/ keeps what was compiled. Fails where the archive is larger than 60 MB.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=tools/common.sh
source tools/common.sh

readonly most_bytes=60000000
readonly folder=build-pack
readonly build=build-programs # beside other builds, so that a compiler cache knows their paths
readonly tree=$folder/archive/virgil-gpu
readonly deps=$tree/deps
# They come with the compiler and the system, or serve nothing here.
readonly left_out='^(libc6|libc-|libgcc-|libstdc\+\+|libgomp|gcc-|linux-libc-dev|libcrypt|libnsl|libtirpc|rpcsvc-proto|libkrb|libgssapi|libk5|libkeyutils|libcom-err|libpcre2-(16|32|posix)|googletest|debconf)'

architectures=90
programs=
[[ ${1:-} == *.tar.gz || ${1:-} == *.tgz || ${1:-} == *.tar.xz ]] || die 'give the archive to write, such as tools/pack_gpu.sh virgil-gpu.tar.gz (or .tar.xz)'
out=$1
shift
while (($# > 0)); do
  case $1 in
    --arch)
      [[ ${2:-} =~ ^[0-9]+a?(;[0-9]+a?)*$ ]] || die '--arch: give compute capabilities without their point, such as --arch 90 or "80;90"'
      architectures=$2
      shift
      ;;
    --programs) programs=1 ;;
    *) die "unknown option $1; there are --arch LIST and --programs" ;;
  esac
  shift
done
git rev-parse --is-inside-work-tree >/dev/null 2>&1 || die 'the sources that belong into the archive are those that git knows: run this in a clone'
command -v dpkg-deb >/dev/null || die "the libraries come from Debian's packages: run this on Debian or Ubuntu"
: 2>/dev/null >>"$out" || die "$out cannot be written; name a file in a folder that is there"

pack_sources() {
  git ls-files --cached --others --exclude-standard -z | while IFS= read -r -d '' file; do
    if [[ -f $file && ! $file -ef $out ]]; then printf '%s\0' "$file"; fi
  done | tar --null --files-from=- -cf - | tar -C "$tree" -xf -
  if [[ ! -s data/gpt2.tiktoken ]]; then data/fetch_gpt2_vocab.sh || say "without GPT-2's vocabulary: the check trains on characters"; fi
  local file
  for file in data/gpt2.tiktoken data/divine_comedy.txt; do
    if [[ -s $file ]]; then cp --no-preserve=mode "$file" "$tree/data/"; fi
  done
}

# The -dev packages that setup.sh names, and what they need at run time.
library_packages() {
  local libraries
  mapfile -t libraries < <(tools/setup.sh --libraries)
  apt-cache depends --recurse --no-recommends --no-suggests --no-conflicts --no-breaks --no-replaces --no-enhances "${libraries[@]}" |
    grep -E '^[a-z0-9]' | sed 's/:.*//' | sort -u | grep -vE "$left_out"
}

merge_folder() {
  if [[ -d $1 ]]; then
    cp -a "$1/." "$2/"
    rm -r "${1:?}"
  fi
}

# In deps/usr, as if it were a system's, with links that hold wherever it lies.
pack_libraries() {
  local packages file target
  mapfile -t packages < <(library_packages)
  mkdir -p "$folder/packages" "$deps/usr/lib"
  say "downloading ${#packages[@]} packages"
  (cd "$folder/packages" && rm -f ./*.deb && run_logged ../packages.log apt-get download "${packages[@]}") ||
    die "apt could not download the packages of the libraries; check the network, and run apt-get update"
  for file in "$folder"/packages/*.deb; do dpkg-deb --extract "$file" "$deps"; done
  # Debian's compilers look into a folder of headers for each kind of processor too, and others do not.
  merge_folder "$deps/lib" "$deps/usr/lib"
  merge_folder "$deps/usr/include/x86_64-linux-gnu" "$deps/usr/include"
  rm -rf "${deps:?}"/etc "${deps:?}"/usr/{bin,lib/ssl,share/doc,share/man,share/bug,share/lintian,share/gdb}
  while read -r file; do
    target=$(readlink "$file")
    ln -sfn --relative "$deps/usr/${target#/usr/}" "$file"
    if [[ $target == /lib/* ]]; then ln -sfn --relative "$deps/usr$target" "$file"; fi
  done < <(find "$deps" -lname '/*')
  find "$deps" -xtype l -delete # to what is left out
  # Static twins of what is there as a shared library too.
  while read -r file; do
    if [[ -e ${file%.a}.so ]]; then rm "$file"; fi
  done < <(find "$deps" -name '*.a')
  (cd "$folder/packages" && printf '%s\n' *.deb | sed 's/_[a-z0-9]*\.deb$//; s/%3a/:/; s/_/ /' >"../packages.txt")
}

# The headers of cuDNN's C++ frontend, from NVIDIA's package for Python: with them, attention is timed against cuDNN's, which a toolkit may have.
pack_cudnn_frontend() {
  local scratch=$folder/cudnn_frontend
  rm -rf "$scratch"
  mkdir -p "$scratch" "$deps/cudnn_frontend"
  if python3 -m pip download --quiet --no-deps --dest "$scratch" nvidia-cudnn-frontend >"$folder/cudnn.log" 2>&1 &&
    python3 -m zipfile -e "$scratch"/*.whl "$scratch" && [[ -d $scratch/include ]]; then
    cp -r "$scratch/include" "$deps/cudnn_frontend/"
  else
    say "without cuDNN's frontend: pip could not download nvidia-cudnn-frontend ($folder/cudnn.log)"
  fi
}

# At a path that stays, so that a second call compiles what has changed.
build_programs() {
  local program definitions=(-DVIRGIL_BUILD_TESTS=ON -DVIRGIL_MPI=OFF "-DVIRGIL_CUDA_ARCHITECTURES=$architectures"
    "-DVIRGIL_CUDNN_PATH=$PWD/$folder/cudnn")
  if [[ ! -e $build/CMakeCache.txt ]]; then definitions+=(-DVIRGIL_UNITY_BUILD=ON); fi
  if ! diff -rq "$deps/cudnn_frontend" "$folder/cudnn" >/dev/null 2>&1; then
    rm -rf "$folder/cudnn"
    cp -r "$deps/cudnn_frontend" "$folder/cudnn"
  fi
  say "building programs for $architectures"
  run_build_step "$build/configure.log" cmake --preset cuda -B "$build" "${definitions[@]}" || exit
  run_build_step "$build/build.log" cmake --build "$build" --parallel "${VIRGIL_JOBS:-$(nproc)}" \
    --target train bench calc_params gpu_conformance_tests || exit
  mkdir "$tree/programs"
  for program in train bench calc_params tests/gpu_conformance_tests; do
    strip --strip-unneeded -o "$tree/programs/${program##*/}" "$build/$program"
  done
}

# What the programs need of the machine's C and C++ libraries.
needed_versions() {
  local library
  for library in GLIBC GLIBCXX; do
    objdump -T "$tree"/programs/* | grep -oE "\(${library}_[0-9.]+\)" | tr -d '()' | sort -uV | tail -n 1
  done | paste -sd ' '
}

describe() {
  say "source: $(git describe --always --dirty), packed $(date -u +%Y-%m-%dT%H:%MZ)"
  say "architectures: $architectures"
  if [[ -n $programs ]]; then say "programs: CUDA $(nvcc --version | sed -n 's/.*release \([0-9.]*\).*/\1/p'); need $(needed_versions)"; fi
  sed 's/^/library: /' "$folder/packages.txt"
}

PATH=$PATH:/usr/local/cuda/bin
rm -rf "$folder/archive"
mkdir -p "$deps"
pack_sources
pack_libraries
pack_cudnn_frontend
if [[ -n $programs ]]; then build_programs; fi
describe >"$tree/packed.txt"
tar --create --auto-compress --sort=name --owner=0 --group=0 --file "$out" -C "$folder/archive" virgil-gpu
for part in deps programs; do
  if [[ -d $tree/$part ]]; then say "$part: $(($(du -sb "$tree/$part" | cut -f 1) / 1000000)) MB unpacked"; fi
done
bytes=$(stat -c %s "$out")
say "$out: $((bytes / 100000 / 10)).$((bytes / 100000 % 10)) MB of at most $((most_bytes / 1000000))"
((bytes <= most_bytes)) || die "$out is too large: pack fewer architectures, no programs, or as .tar.xz" 1
