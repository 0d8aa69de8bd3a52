#!/bin/sh
# Measures what a group of knobs brings: runs a command without and with them in turn, A B A B, so that
# a machine that drifts does not decide, and compares the jitter of each pair.
#
#     tuning/bench-ab.sh ID,GROUP RUNS FOLDER COMMAND...
#     tuning/bench-ab.sh mm.thp 5 results cargo bench --bench log_append -- latency
#
# FOLDER gets a-N.txt and b-N.txt (the command's output), a-N.json and b-N.json (the jitter after it),
# diff-N.txt, and before.txt: which of the knobs were applied before. In the end, also after an
# interrupt, those are applied again and the others are reverted. Knobs that need a boot cannot be
# compared like this. CORELANE names the program, if it is not in PATH.
set -eu
d=$(dirname "$0")
# shellcheck source=tuning/lib.sh
. "$d/lib.sh"

if [ "$#" -lt 4 ]; then
    echo "usage: $0 ID,GROUP RUNS FOLDER COMMAND..." >&2
    exit 64
fi
knobs=$1
runs=$2
folder=$3
shift 3
case $runs in
'' | *[!0-9]* | 0)
    echo "error: RUNS is '$runs'; allowed: a number from 1 on, 5 and more to be of use" >&2
    exit 64
    ;;
esac
find_corelane
mkdir -p "$folder"
before=$folder/before.txt

revert() {
    "$program" tune revert --only "$knobs" --quiet
}
# As the host was: what was applied before the first revert is applied again.
restore() {
    revert || return
    applied=$(awk '$1 == "reverted" { print $2 }' "$before" | sort -u | paste -s -d , -)
    [ -z "$applied" ] || "$program" tune apply --only "$applied" --quiet
}
: >"$before"
# The host is left as it was, however this ends.
trap 'restore || echo "error: the knobs are not as they were, see $before: corelane tune check" >&2' EXIT
trap 'exit 130' INT TERM
"$program" tune revert --only "$knobs" >"$before"

# one NAME COMMAND...: a run of the command, then the jitter.
one() {
    name=$1
    shift
    "$@" >"$folder/$name.txt" 2>&1
    "$program" jitter --seconds 10 --json >"$folder/$name.json"
}

run=1
while [ "$run" -le "$runs" ]; do
    revert
    one "a-$run" "$@"
    "$program" tune apply --only "$knobs" --quiet
    one "b-$run" "$@"
    # 2 says that something got worse, which is a result.
    "$program" jitter diff "$folder/a-$run.json" "$folder/b-$run.json" >"$folder/diff-$run.txt" ||
        [ "$?" -eq 2 ]
    echo "pair $run of $runs: $(tail -n 1 "$folder/diff-$run.txt")"
    run=$((run + 1))
done
