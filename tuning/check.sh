#!/bin/sh
# Says how this host stands: exit 0 fine, 2 a must is not met, 3 a should is not met. Changes nothing.
# Options: those of 'corelane tune check --help'.
set -eu
d=$(dirname "$0")
# shellcheck source=tuning/lib.sh
. "$d/lib.sh"
run_corelane tune check "$@"
