#!/usr/bin/env bash
# Tries an archive of tools/pack_gpu.sh as on the bare machine that it is for: unpacks it, and runs tools/gpu_check.sh --offline in a namespace
# without a network, in which what Virgil needs of this machine and a bare one lacks is hidden, and nvidia-smi is a played one. To be run by
# hand on Debian, as root; with a build it takes as long as that.
#   tools/check_offline.sh ARCHIVE [--without_programs] [flags of tools/gpu_check.sh...]
# --without_programs: removes the archive's programs, so that they are built there. --folder DIR: unpacks there and leaves it, so that another
# call with --resume continues. The report goes to gpu_check.json.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=tools/common.sh
source tools/common.sh

readonly tools='apt-get apt dpkg dpkg-query ninja ccache pkg-config mpicxx mpirun mpiexec clang-format clang-format-14 clang++ git curl wget pip pip3'
readonly at_run_time='libdnnl2 libhwy1 libfmt9 ocl-icd-libopencl1' # of the libraries, what no program of the system needs

[[ -r ${1:-} ]] || die 'give an archive that tools/pack_gpu.sh has made'
archive=$(readlink -f "$1")
shift
scratch=
without_programs=
while (($# > 0)); do
  case $1 in
    --without_programs) without_programs=1 ;;
    --folder)
      scratch=${2:?}
      shift
      ;;
    *) break ;;
  esac
  shift
done
((EUID == 0)) || die 'hiding files takes a mount of its own: run this as root'
for tool in unshare mount dpkg; do command -v "$tool" >/dev/null || die "there is no $tool here"; done
if [[ -z $scratch ]]; then
  scratch=$(mktemp -d)
  trap 'rm -rf "$scratch"' EXIT
fi
scratch=$(mkdir -p "$scratch" && readlink -f "$scratch")
[[ -d $scratch/virgil-gpu ]] || tar -C "$scratch" -xf "$archive"
if [[ -n $without_programs ]]; then rm -rf "$scratch/virgil-gpu/programs"; fi

# Every file of the libraries' packages that are installed here, and tools, all below /usr. Links stay: they lead to what the system's own
# programs load, and without headers they serve no build.
mapfile -t libraries < <(tools/setup.sh --libraries)
for package in "${libraries[@]}" $at_run_time opencl-c-headers opencl-clhpp-headers; do dpkg -L "$package" 2>/dev/null || true; done |
  grep -v '^/usr/share/\(doc\|man\)' | while read -r file; do if [[ -f $file && ! -L $file ]]; then printf '%s\n' "$file"; fi; done >"$scratch/hidden.txt"
for tool in $tools; do type -ap "$tool" | while read -r file; do readlink -f "${file%/*}" | sed "s|\$|/$tool|"; done || true; done >>"$scratch/hidden.txt"
# An overlay in which they do not exist: 0/0 is its mark for that.
rm -rf "$scratch/overlay"
mkdir -p "$scratch/overlay/upper" "$scratch/overlay/work"
grep '^/usr/' "$scratch/hidden.txt" | sort -u | while read -r file; do
  mkdir -p "$scratch/overlay/upper${file%/*}"
  mknod "$scratch/overlay/upper$file" c 0 0
done

mkdir -p "$scratch/bin"
printf '#!/bin/sh\n%s\n' "case \$* in *compute_cap,driver*) echo 'Played H200, 9.0, 580.00, 143771 MiB' ;; *compute_cap*) echo 9.0 ;; *) exit 6 ;; esac" \
  >"$scratch/bin/nvidia-smi"
chmod +x "$scratch/bin/nvidia-smi"

status=0
# shellcheck disable=SC2016 # expanded inside
unshare --mount --net bash -euc '
  scratch=$1
  shift
  mount --make-rprivate /
  mount -t overlay overlay -o "lowerdir=/usr,upperdir=$scratch/overlay/upper/usr,workdir=$scratch/overlay/work" /usr
  PATH=$scratch/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
  for tool in apt-get ninja curl; do if command -v "$tool" >/dev/null; then echo "$tool is not hidden" >&2; exit 1; fi; done
  cd "$scratch/virgil-gpu"
  env -i PATH="$PATH" HOME=/nonexistent LANG=C.UTF-8 tools/gpu_check.sh --offline "$@"
' offline "$scratch" "$@" || status=$?
cp "$scratch/virgil-gpu/gpu_check.json" gpu_check.json
say "exit status $status; the report is gpu_check.json"
exit "$status"
