#!/bin/sh
# Proves by measuring that tuning works; changes nothing. Arguments go to `corelane tune verify`, as
# in: tuning/verify.sh --duration 60s
# CORELANE names the program, if it is not in PATH.
set -eu
exec "${CORELANE:-corelane}" tune verify "$@"
