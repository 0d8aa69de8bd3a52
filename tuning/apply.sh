#!/bin/sh
# Changes this host to what is wanted and notes what was there before. Takes root.
# Options: those of 'corelane tune apply --help'.
set -eu
# shellcheck source=tuning/lib.sh
. "${0%/*}/lib.sh"
run_corelane tune apply "$@"
