#!/bin/sh
# Takes back what apply changed. Takes root.
# Options: those of 'corelane tune revert --help'.
set -eu
d=$(dirname "$0")
# shellcheck source=tuning/lib.sh
. "$d/lib.sh"
run_corelane tune revert "$@"
