#!/usr/bin/env bash
# Does what README promises, in bare systems: makes each suite with debootstrap, copies this working tree into it and runs README's
# commands there, to their end.
#   sudo tools/check_distributions.sh [--only COMMAND] [--steps N] [--folder DIRECTORY] [--mirror URL] [SUITE...]
# SUITE: bookworm and trixie (Debian 12 and 13) unless others are named, such as testing, sid or noble (Ubuntu 24.04).
# --only quickstart, tests (tools/run_tests.sh) or build (the programs alone, with warnings as errors); without it: quickstart, tests.
# --steps N: how many steps the quickstart trains. --folder keeps systems and logs there and uses those that are there again; without
# it they are made in a temporary folder and removed. --mirror: where packages come from.
# Needs root, debootstrap and 5 GB a suite. The last lines say what passed, and in which time.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=tools/common.sh
source tools/common.sh

suites=()
commands=(quickstart tests)
steps=
folder=
mirror=
while (($# > 0)); do
  case $1 in
    --help | -h)
      sed -n '2,10s/^# //p' tools/check_distributions.sh
      exit 0
      ;;
    --only | --steps | --folder | --mirror)
      (($# > 1)) || die "$1 needs a value"
      case $1 in
        --only) commands=("$2") ;;
        --steps) steps=$2 ;;
        --folder) folder=$2 ;;
        --mirror) mirror=$2 ;;
      esac
      shift
      ;;
    -*) die "unknown option $1; the options are --only, --steps, --folder and --mirror" ;;
    *[!a-z]*) die "$1 is no name of a suite; bookworm, trixie, testing and noble are" ;;
    *) suites+=("$1") ;;
  esac
  shift
done
if ((${#suites[@]} == 0)); then suites=(bookworm trixie); fi
[[ ${commands[0]} =~ ^(quickstart|tests|build)$ ]] || die "--only ${commands[0]}: there are quickstart, tests and build"
[[ -z $steps || $steps =~ ^[1-9][0-9]*$ ]] || die "--steps $steps: give a number of steps, such as --steps 30"
command -v debootstrap >/dev/null || die 'debootstrap is not installed: apt-get install debootstrap'
((EUID == 0)) || die 'debootstrap and chroot need root: sudo tools/check_distributions.sh'

is_temporary=no
if [[ -z $folder ]]; then
  folder=$(mktemp -d)
  is_temporary=yes
fi
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)

unmount() {
  local root=$1 place
  for place in "$root/dev" "$root/proc"; do
    if mountpoint -q "$place"; then umount --recursive --lazy "$place"; fi
  done
}

# shellcheck disable=SC2317 # called by the trap
clean_up() {
  local suite
  for suite in "${suites[@]}"; do unmount "$folder/$suite"; done
  # --one-file-system: what could not be unmounted is the host's.
  if [[ $is_temporary == yes ]]; then rm -rf --one-file-system "$folder"; fi
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# make_system SUITE: a minimal one with git, as README takes it to be, and the working tree in /virgil.
make_system() {
  local suite=$1 root=$folder/$1 from=$mirror options=(--variant=minbase)
  case $suite in
    noble | oracular | plucky | questing | resolute)
      options+=('--components=main,universe')
      from=${from:-http://archive.ubuntu.com/ubuntu}
      ;;
  esac
  local mark=$root/.virgil-system
  if [[ -e $root && ! -e $mark ]]; then
    say "$root is there and was not made by this script: name another --folder"
    return 1
  fi
  if [[ ! -s $mark ]]; then
    unmount "$root"
    rm -rf --one-file-system "$root"
    mkdir "$root"
    touch "$mark"
    run_logged "$folder/$suite-debootstrap.log" debootstrap "${options[@]}" "$suite" "$root" "${from:-http://deb.debian.org/debian}" || return
    say complete >"$mark"
  fi
  cp /etc/resolv.conf "$root/etc/resolv.conf"
  mountpoint -q "$root/proc" || mount -t proc proc "$root/proc"
  mountpoint -q "$root/dev" || mount --rbind --make-rslave /dev "$root/dev"
  run_logged "$folder/$suite-git.log" in_system "$suite" \
    'cd / && apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends git' || return
  rm -rf "$root/virgil"
  mkdir "$root/virgil"
  # A deleted file is still listed; the index's copy of a repository is not needed.
  git ls-files -z --cached --others --exclude-standard |
    tar --create --null --files-from=- --ignore-failed-read --file=- 2>/dev/null | tar --extract --no-same-owner --directory="$root/virgil" --file=-
  run_logged "$folder/$suite-git.log" in_system "$suite" \
    'git init --quiet . && git add . && git -c user.name=check -c user.email=check@localhost commit --quiet --message=copy'
}

# in_system SUITE COMMAND: nothing of this machine's environment goes along but the way to the network.
in_system() {
  local name environment=(PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8)
  for name in http_proxy https_proxy no_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY VIRGIL_JOBS; do
    if [[ -n ${!name:-} ]]; then environment+=("$name=${!name}"); fi
  done
  env --ignore-environment "${environment[@]}" chroot "$folder/$1" bash -c "mkdir -p /virgil && cd /virgil && $2"
}

command_line() {
  case $1 in
    quickstart) printf 'tools/quickstart.sh%s' "${steps:+ --max_iters $steps}" ;;
    tests) printf 'tools/run_tests.sh' ;;
    build) printf 'tools/setup.sh && source tools/common.sh && build_preset release -DVIRGIL_BUILD_TESTS=OFF -DVIRGIL_WERROR=ON' ;;
  esac
}

results=()
failed=0
record() {
  results+=("$1")
  say "$1"
}

# run_command SUITE COMMAND: records how it ended and what it took.
run_command() {
  local suite=$1 command=$2 log=$folder/$1-$2.log outcome=passed took
  say "$suite: $(command_line "$command") ($log)"
  local TIMEFORMAT='%R s (%U + %S s of processors)'
  took=$({ time in_system "$suite" "$(command_line "$command")" >"$log" 2>&1; } 2>&1) || outcome=FAILED
  if [[ $outcome == FAILED ]]; then
    failed=1
    tail -n 20 "$log"
  elif [[ $command == tests ]]; then
    outcome+=", $(tail -n 1 "$log"),"
  fi
  record "$suite: $command $outcome in $took; $(system_of "$suite")"
}

system_of() {
  in_system "$1" ". /etc/os-release && printf '%s, ' \"\$PRETTY_NAME\" && c++ --version 2>/dev/null | sed -n 1p" || say 'no compiler'
}

for suite in "${suites[@]}"; do
  say "$suite: making the system"
  if ! make_system "$suite"; then
    failed=1
    record "$suite: the system could not be made"
    continue
  fi
  for command in "${commands[@]}"; do run_command "$suite" "$command"; done
  unmount "$folder/$suite"
done
say ''
printf '%s\n' "${results[@]}"
exit "$failed"
