# shellcheck shell=bash
# Part of scripts/conformance: kafka-python's integration tests, out of its source distribution.

# Seconds for all of them.
kafka_python_limit_seconds=900

# Fetches the sources into $base/kafka-python.
kafka_python_sources() {
    local folder=$base/kafka-python pin
    pin=$(grep '^kafka-python==' "$tests/requirements.txt")
    [[ $(cat "$folder/.stamp" 2>/dev/null) != "$pin" ]] || return 0
    rm -rf "$folder"
    mkdir -p "$folder"
    "$python" -m pip download --disable-pip-version-check --no-deps --no-binary :all: \
        --dest "$folder" "$pin" >"$logs/pip.log" 2>&1 || {
        tail -n 20 "$logs/pip.log"
        return 1
    }
    tar -xzf "$folder"/*.tar.gz -C "$folder" --strip-components 1
    # The installed package is what is tested.
    rm -r "$folder/kafka"
    touch "$folder/test/__init__.py"
    echo "$pin" >"$folder/.stamp"
}

suite_kafka_python() {
    local words=() list=$tests/kafka-python.skip name state seconds reason
    need_python
    kafka_python_sources
    cp "$tests/kafka-python/service.py" "$base/kafka-python/test/service.py"
    broker_up 4
    # "test/integration/test_group.py::test_x[1]"
    kafka_python_pytest --collect-only --quiet >"$logs/collected" 2>&1 || true
    sed -n 's|^test/integration/\([a-z_]*\)\.py::\(.*::\)\{0,1\}|\1::|p' "$logs/collected" |
        sort -u >"$logs/names"
    check_list "$list" "$logs/names"
    if [[ $with_skipped == no ]]; then
        while read -r name reason; do
            result skipped "$name" 0 "$reason"
            # Deselects by the place, which may have a class in the middle.
            words+=(--deselect "$(grep -F "/${name%%::*}.py::" "$logs/collected" |
                grep -E "::$(sed 's/[][]/\\&/g' <<<"${name#*::}")\$")")
        done < <(grep -v '^\(#\|$\)' "$list")
    fi
    # Fails where a test fails; the report says which.
    kafka_python_pytest "${words[@]}" --timeout 60 --timeout-method=signal \
        --junitxml="$logs/report.xml" >"$logs/output.log" 2>&1 </dev/null || true
    "$python" "$tests/kafka-python/results.py" "$logs/report.xml" >"$logs/results"
    while IFS=$'\t' read -r state name seconds reason; do
        if [[ $state == skipped ]]; then
            left_out_by_itself "$list" "$name" "$reason"
        else
            result "$state" "$name" "$seconds" "$reason"
        fi
    done <"$logs/results"
}

kafka_python_pytest() (
    cd "$base/kafka-python"
    export KAFKA_URI=kafka://$address KAFKA_VERSION=4.1.0 KAFKA_ROOT=$base/kafka-python
    # As which it is taken by the versions that it offers.
    [[ $target == kafka ]] || KAFKA_VERSION=4.0.0
    exec timeout --kill-after=10 "$kafka_python_limit_seconds" \
        "$python" -m pytest test/integration -p no:asyncio -p no:cacheprovider "$@"
)
