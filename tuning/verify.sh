#!/bin/sh
# Proves by measuring that tuning works; changes nothing.
# Options: those of 'corelane tune verify --help', as in: tuning/verify.sh --duration 60s
set -eu
d=$(dirname "$0")
# shellcheck source=tuning/lib.sh
. "$d/lib.sh"
run_corelane tune verify "$@"
