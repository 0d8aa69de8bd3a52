#!/bin/sh
# Says what apply would do; with --script as a shell script to read first. Changes nothing.
# Options: those of 'corelane tune plan --help'.
set -eu
# shellcheck source=tuning/lib.sh
. "${0%/*}/lib.sh"
run_corelane tune plan "$@"
