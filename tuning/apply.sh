#!/bin/sh
# Changes this host to what is wanted and notes what was there before. Takes root.
# Options: those of 'corelane tune apply --help'.
set -eu
d=$(dirname "$0")
# shellcheck source=tuning/lib.sh
. "$d/lib.sh"
run_corelane tune apply "$@"
