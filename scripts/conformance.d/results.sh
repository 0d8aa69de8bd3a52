# shellcheck shell=bash
# Part of scripts/conformance: what each test came to. A suite's file of results has a line a test:
# "passed|failed|skipped NAME SECONDS REASON".

results_begin() {
    rm -rf "$base/results" "$base/logs"
    mkdir -p "$base/results" "$base/logs"
    run_started=$SECONDS
    suites_run=()
}

# begin_suite NAME: from here on results are the suite's. Sets logs, the folder for its logs.
begin_suite() {
    suite=$1
    logs=$base/logs/$suite
    mkdir -p "$logs"
    if [[ " ${suites_run[*]} " != *" $suite "* ]]; then
        suites_run+=("$suite")
        : >"$base/results/$suite"
        echo 0 >"$base/results/$suite.seconds"
    fi
    suite_started=$SECONDS
    echo "== $suite"
}

end_suite() {
    local file=$base/results/$suite.seconds
    echo $(($(cat "$file") + SECONDS - suite_started)) >"$file"
}

# run_suite NAME FUNCTION: the suite on a broker of its own. What keeps it from running counts as one
# failed test.
run_suite() {
    begin_suite "$1"
    # In a shell of its own, where -e holds: not as the condition of an "if".
    set +e
    (
        set -e
        "$2"
    )
    local status=$?
    set -e
    ((status == 0)) || result failed "the suite itself" 0 "ended with status $status; see $logs"
    end_broker
    end_suite
}

# A broker that is gone by the end of a suite has failed, whatever the tests say.
end_broker() {
    broker_lives || result failed "the node" 0 "ended by itself; see $logs/broker.log"
    broker_down
}

# result STATE NAME SECONDS [REASON]
result() {
    printf '%s\t%s\t%s\t%s\n' "$1" "$2" "$3" "${4:-}" >>"$base/results/$suite"
    case $1 in
    passed) ;;
    *) printf '   %-7s %s (%s s) %s\n' "$1" "$2" "$3" "${4:-}" ;;
    esac
}

# results_of_lines: takes lines "ok NAME" and "not ok NAME: REASON" from standard input.
results_of_lines() {
    local line count=0
    while IFS= read -r line; do
        case $line in
        'ok '*) result passed "${line#ok }" 0 ;;
        'not ok '*)
            line=${line#not ok }
            result failed "${line%%: *}" 0 "${line#*: }"
            ;;
        *) continue ;;
        esac
        count=$((count + 1))
    done
    ((count > 0)) || result failed "the suite itself" 0 "it printed no result"
}

# reason_on FILE NAME: prints why this test is on the list; fails if it is not. A line of
# a list is "NAME REASON"; what starts with # is a remark.
reason_on() {
    [[ -f $1 ]] && awk -v name="$2" '
        $1 == name { sub(/^[^ \t]+[ \t]+/, ""); print; found = 1; exit }
        END { exit !found }' "$1"
}

# run_again FILE NAME: whether a test that failed is on the list of those that run once more; says so.
run_again() {
    local reason
    reason=$(reason_on "$1" "$2") || return
    echo "   again   $2: $reason"
}

# check_list FILE NAMES: whether each test on the list is one of NAMES, a file with a name a line. A
# list that names what is not there says nothing about what runs.
check_list() {
    local name
    while IFS= read -r name; do
        grep -qxF "$name" "$2" ||
            result failed "$name" 0 "${1#"$root/"} names it, but there is no such test"
    done < <(awk 'NF && !/^#/ { print $1 }' "$1")
}

# seconds_since MICROSECONDS: "12.3"
now_us() {
    echo "${EPOCHREALTIME//[!0-9]/}"
}

seconds_since() {
    local tenths=$((($(now_us) - $1) / 100000))
    echo "$((tenths / 10)).$((tenths % 10))"
}

# Prints the table and ends with the status of the whole run.
results_end() {
    local name passed failed skipped all=(0 0 0) failures=0
    echo
    printf '%-14s %7s %7s %8s %8s\n' suite passed failed skipped seconds
    for name in "${suites_run[@]}"; do
        read -r passed failed skipped < <(awk -F '\t' '
            { count[$1]++ }
            END { print count["passed"] + 0, count["failed"] + 0, count["skipped"] + 0 }' \
            "$base/results/$name")
        printf '%-14s %7d %7d %8d %8d\n' "$name" "$passed" "$failed" "$skipped" \
            "$(cat "$base/results/$name.seconds")"
        all=($((all[0] + passed)) $((all[1] + failed)) $((all[2] + skipped)))
        ((passed > 0)) || failures=$((failures + 1))
    done
    printf '%-14s %7d %7d %8d %8d\n' all "${all[@]}" $((SECONDS - run_started))
    for name in "${suites_run[@]}"; do
        sed -n "s/^failed\t\([^\t]*\)\t[^\t]*\t/failed: $name: \1: /p" "$base/results/$name"
    done
    echo "${all[0]} passed, ${all[1]} failed, ${all[2]} skipped"
    # A suite in which nothing passed is no success either.
    ((all[1] == 0 && failures == 0))
}
