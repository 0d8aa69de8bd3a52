# shellcheck shell=bash
# Part of scripts/conformance: the integration tests of the Rust client, out of its crate.

rust_rdkafka_tests=(test_admin test_high_consumers test_high_producers test_low_consumers
    test_low_producers test_metadata test_topic_partition_list test_transactions)

# Seconds after which a file of tests is ended and has failed.
rust_rdkafka_limit_seconds=300

# Copies the sources into $base/rust-rdkafka.
rust_rdkafka_sources() {
    local source folder=$base/rust-rdkafka
    source=$(crate_source rdkafka)
    [[ $(cat "$folder/.stamp" 2>/dev/null) != "${source##*/}" ]] || return 0
    rm -rf "$folder"
    cp -r "$source" "$folder"
    rm -f "$folder/.cargo-ok" "$folder/.cargo_vcs_info.json"
    # So that cargo does not take it for a part of the project around it.
    printf '\n[workspace]\n' >>"$folder/Cargo.toml"
    # The suite expects its broker at port 9092 of localhost in places, which may be taken.
    sed -i 's/"bootstrap.servers", "localhost"/"bootstrap.servers", get_bootstrap_server()/' \
        "$folder/tests/test_high_producers.rs"
    sed -i "s/\(broker_metadata\[0\]\.port()\), 9092)/\1.to_string(), get_bootstrap_server()[10..])/" \
        "$folder/tests/test_metadata.rs"
    grep -q 'get_bootstrap_server()\[10' "$folder/tests/test_metadata.rs"
    grep -q 'get_bootstrap_server()' "$folder/tests/test_high_producers.rs"
    echo "${source##*/}" >"$folder/.stamp"
}

suite_rust_rdkafka() {
    local test name
    need cargo Rust
    need_python
    rust_rdkafka_sources
    echo "   building rust-rdkafka's tests ..."
    rust_rdkafka_cargo --no-run --tests >"$logs/build.log" 2>&1 || {
        tail -n 20 "$logs/build.log"
        return 1
    }
    broker_up 3
    for test in "${rust_rdkafka_tests[@]}"; do
        # The names of its tests: "test_metadata: test"
        rust_rdkafka_cargo --test "$test" -- --list 2>/dev/null | sed -n 's/: test$//p' |
            sed "s/^/$test::/"
    done >"$logs/names"
    check_list "$tests/rust-rdkafka.skip" "$logs/names"
    check_list "$tests/rust-rdkafka.again" "$logs/names"
    for test in "${rust_rdkafka_tests[@]}"; do
        rust_rdkafka_file "$test"
    done
}

# rust_rdkafka_cargo WORDS...: cargo test in the suite's folder, with a target folder of its own,
# after the words of rust_rdkafka_within. Without symbols, which nobody looks at, it builds sooner.
rust_rdkafka_within=(env)
rust_rdkafka_cargo() (
    cd "$base/rust-rdkafka"
    # Not for the rest of the suite: a cluster of Kafka is kept under the target folder too.
    export CARGO_TARGET_DIR=$base/rust-rdkafka/target CARGO_PROFILE_DEV_DEBUG=0 CARGO_INCREMENTAL=0
    "${rust_rdkafka_within[@]}" cargo test --locked "$@"
)

# rust_rdkafka_file FILE: the tests in a file of tests.
rust_rdkafka_file() {
    local file=$1 words=() name reason status=0 verdict
    for name in $(sed -n "s/^$file:://p" "$logs/names"); do
        if [[ $with_skipped == no ]] &&
            reason=$(reason_on "$tests/rust-rdkafka.skip" "$file::$name"); then
            result skipped "$file::$name" 0 "$reason"
            words+=(--skip "$name")
        fi
    done
    rust_rdkafka_run "$file" "$file" "${words[@]}" || status=$?
    while IFS= read -r name; do
        [[ " ${words[*]} " != *" $name "* ]] || continue
        # "test test_metadata ... ok"; what a test prints may stand between.
        verdict=$(sed -n "s/^test $name \.\.\. \([a-zA-Z]*\).*$/\1/p" "$logs/$file.log" | tail -n 1)
        case $verdict in
        ok) result passed "$file::$name" 0 ;;
        ignored) left_out_by_itself "$tests/rust-rdkafka.skip" "$file::$name" "#[ignore]" ;;
        *)
            if run_again "$tests/rust-rdkafka.again" "$file::$name" &&
                rust_rdkafka_run "$file" "$file.$name" "$name"; then
                result passed "$file::$name" 0
            else
                result failed "$file::$name" 0 \
                    "status $status: $(rust_rdkafka_panic "$file" "$name")"
            fi
            ;;
        esac
    done < <(sed -n "s/^$file:://p" "$logs/names")
}

# rust_rdkafka_run FILE LOG WORDS...: a file of tests, with words for its program.
rust_rdkafka_run() {
    local rust_rdkafka_within=(timeout --kill-after=10 "$rust_rdkafka_limit_seconds")
    KAFKA_HOST=$address KAFKA_VERSION=4.1.0 RUST_LOG=off \
        rust_rdkafka_cargo --test "$1" -- --exact "${@:3}" >"$logs/$2.log" 2>&1 </dev/null
}

# rust_rdkafka_panic FILE NAME: where and why a test failed.
rust_rdkafka_panic() {
    { grep -aA 2 "^thread '$2'.* panicked at" "$logs/$1.log" || true; } | head -n 3 |
        tr '\n' ' ' | cut -c 1-300
}
