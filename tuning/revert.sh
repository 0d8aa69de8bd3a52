#!/bin/sh
# Takes back what apply changed. Takes root.
# Options: those of 'corelane tune revert --help'.
set -eu
# shellcheck source=tuning/lib.sh
. "${0%/*}/lib.sh"
run_corelane tune revert "$@"
