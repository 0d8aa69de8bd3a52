#!/bin/sh
# Says what apply would do; with --script as a shell script to read first. Changes nothing.
# Options: those of 'corelane tune plan --help'.
set -eu
d=$(dirname "$0")
# shellcheck source=tuning/lib.sh
. "$d/lib.sh"
run_corelane tune plan "$@"
