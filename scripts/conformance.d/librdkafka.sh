# shellcheck shell=bash
# Part of scripts/conformance: librdkafka's own suite in C and C++, out of the sources that its Rust
# crate carries. One process per test, since a test that fails ends its process.

# Seconds after which a test is ended and has failed.
librdkafka_limit_seconds=400

# So many run side by side: they wait more than they work.
librdkafka_at_once=3

# Those that take longest go first, so that as many run side by side to the end.
librdkafka_first=(0113 0098 0089 0091 0102 0103 0081 0137 0122 0056 0045 0044 0026 0018 0093 0118 0123
    0132 0033 0061 0050)
# Those that measure time, or fill the machine by themselves, run alone, at the end.
librdkafka_alone=(0038 0055)
# Those whose parts run one by one, each in a process: 0081 ends at the first part that fails, and
# 0113 is by far the longest.
librdkafka_in_parts=(0081 0113)

# Topics with three copies get one, since there is one broker. What goes: the parts of 0109 that set
# access lists by a script of Kafka's, and those of 0011 that need a topic with compaction. 0055 allows
# the broker 5 ms, in which ours has to write to a disk that may be slow.
librdkafka_adapt() {
    sed -i -E 's/(create_topic.*), 3, 5000\);/\1, 1, 5000);/; s/(create_topic.*, 1), 3\);/\1, 1);/' \
        0098-consumer-txn.cpp 0103-transactions.c 0107-topic_recreate.c 0111-delay_create_topics.cpp
    sed -i '/^  do_test_consumer(.*, true);$/d' 0109-auto_create_topics.cpp
    sed -i '/^        test_message_single_partition_record_fail([01]);$/d' 0011-produce_batch.c
    sed -i 's/ + 5.0 \(.* ProduceRequest handling\)/ + 50.0 \1/' 0055-producer_latency.c
}

# Builds the suite in $base/librdkafka.
librdkafka_build() {
    local source stamp
    source=$(crate_source rdkafka-sys)
    # A change of what is adapted makes it built anew.
    stamp="${source##*/} $(declare -f librdkafka_adapt | cksum)"
    [[ $(cat "$base/librdkafka/.stamp" 2>/dev/null) != "$stamp" ]] || return 0
    echo "   building librdkafka and its tests (once) ..."
    rm -rf "$base/librdkafka"
    cp -r "$source/librdkafka" "$base/librdkafka"
    (
        cd "$base/librdkafka"
        chmod +x configure tests/*.sh
        (cd tests && librdkafka_adapt)
        ./configure --disable-gssapi --disable-curl
        make -j"$(nproc)" libs
        make -j"$(nproc)" -C tests build
    ) >"$logs/build.log" 2>&1 || {
        tail -n 20 "$logs/build.log"
        return 1
    }
    echo "$stamp" >"$base/librdkafka/.stamp"
}

# librdkafka_names SCENARIO: the tests that -L and -E leave (those that need a broker, and no emulated
# sockets) for brokers of that kind: "default", or "noautocreate". A name a line.
librdkafka_names() {
    # "_TEST(0107_topic_recreate, 0, TEST_BRKVER_X(...), .scenario = "noautocreate")", over several
    # lines, with remarks.
    tr '\n' ' ' <"$base/librdkafka/tests/test.c" | sed 's/_TEST(/\n&/g' |
        sed -n 's/^_TEST(\([0-9][0-9a-zA-Z_]*\),\(.*\)$/\1 \2/p' |
        awk -v wanted="$1" '
            /TEST_F_(LOCAL|SOCKEM|KNOWN_ISSUE[^_]|MANUAL)/ { next }
            { scenario = "default" }
            /scenario = "noautocreate"/ { scenario = "noautocreate" }
            scenario == wanted { print $1 }'
}

# librdkafka_parts NUMBER: the parts of a test, one a line; nothing if it runs as a whole.
librdkafka_parts() {
    local sources=$base/librdkafka/tests
    case $1 in
    0081)
        sed -n 's/^ *\(do_test_[A-Za-z_]*\)(.*$/\1/p' "$sources/0081-admin.c" | sort -u |
            grep -vxE 'do_test_(apis|acls_count)'
        ;;
    0113)
        # Backwards, as the longest come last there.
        sed -n '/^int main_0113_cooperative_rebalance(/,/^}/s/^ *\([a-z]_[a-z0-9_]*\)(.*$/\1/p' \
            "$sources/0113-cooperative_rebalance.cpp" | sort -ru
        ;;
    esac
}

# librdkafka_name NUMBER [PART]: what results and lists call it.
librdkafka_name() {
    local name
    name=$(librdkafka_names "$scenario" | grep "^$1_" | head -n 1)
    echo "$name${2:+:$2}"
}

suite_librdkafka() {
    # Some tests (0113) count on members that start together being assigned together, as they are with
    # Kafka's default of 3000.
    local rebalance_delay_ms=500
    need_python
    librdkafka_build
    # 0098 has a producer in Java.
    java_build "$tests/clients/java" "$base/java41" 4.1.1 >"$logs/java.log" 2>&1
    javac -cp "$base/java41/libs/*" "$base/librdkafka/tests/java"/*.java >>"$logs/java.log" 2>&1
    local number scenario=default
    {
        librdkafka_names default
        librdkafka_names noautocreate
        for number in "${librdkafka_in_parts[@]}"; do
            librdkafka_parts "$number" | sed "s/^/$(librdkafka_name "$number"):/"
        done
    } >"$logs/names"
    check_list "$tests/librdkafka.skip" "$logs/names"
    check_list "$tests/librdkafka.again" "$logs/names"
    broker_up 4
    librdkafka_scenario default
    broker_lives
    broker_up 4 no-auto-create
    librdkafka_scenario noautocreate
}

# librdkafka_scenario SCENARIO: all its tests, on the broker that is up.
librdkafka_scenario() {
    local number numbers
    scenario=$1
    echo "metadata.broker.list=$address" >"$base/librdkafka.conf"
    mapfile -t numbers < <(librdkafka_names "$scenario" | cut -c 1-4 | sort -u)
    for number in "${librdkafka_first[@]}"; do
        [[ " ${numbers[*]} " != *" $number "* ]] || librdkafka_side_by_side "$number"
    done
    for number in "${numbers[@]}"; do
        [[ " ${librdkafka_first[*]} ${librdkafka_alone[*]} " == *" $number "* ]] ||
            librdkafka_side_by_side "$number"
    done
    wait_for_rest
    for number in "${librdkafka_alone[@]}"; do
        [[ " ${numbers[*]} " != *" $number "* ]] || librdkafka_number "$number"
    done
}

# librdkafka_side_by_side NUMBER: its tests in the background, each once there is room for it.
under_way=()
librdkafka_side_by_side() {
    local part
    if [[ " ${librdkafka_in_parts[*]} " != *" $1 "* ]]; then
        side_by_side librdkafka_number "$1"
        return
    fi
    for part in $(librdkafka_parts "$1"); do
        side_by_side librdkafka_part "$1" "$part"
    done
}

# side_by_side COMMAND...
side_by_side() {
    local pid left
    while ((${#under_way[@]} >= librdkafka_at_once)); do
        wait -n "${under_way[@]}" || true
        left=()
        for pid in "${under_way[@]}"; do
            ! kill -0 "$pid" 2>/dev/null || left+=("$pid")
        done
        under_way=("${left[@]}")
    done
    "$@" &
    under_way+=("$!")
}

wait_for_rest() {
    ((${#under_way[@]} == 0)) || wait "${under_way[@]}" || true
    under_way=()
}

# librdkafka_number NUMBER: the tests of that number, which are one but for a few.
librdkafka_number() {
    local number=$1 name reason left_out=no
    # All of a number's tests are left out, or none: they run in one process.
    for name in $(librdkafka_names "$scenario" | grep "^${number}_"); do
        if [[ $with_skipped == no ]] && reason=$(reason_on "$tests/librdkafka.skip" "$name"); then
            result skipped "$name" 0 "$reason"
            left_out=yes
        fi
    done
    [[ $left_out == yes ]] || librdkafka_run "$number" "$number"
}

# librdkafka_part NUMBER PART
librdkafka_part() {
    local name reason
    name=$(librdkafka_name "$1" "$2")
    if [[ $with_skipped == no ]] && reason=$(reason_on "$tests/librdkafka.skip" "$name"); then
        result skipped "$name" 0 "$reason"
        return
    fi
    librdkafka_run "$1" "$name" "$2"
}

# librdkafka_run NUMBER LOG [PART]: a test that is on the list of those runs once more if it fails.
librdkafka_run() {
    local number=$1 log=$logs/$scenario/$2.log part=${3:-} started status=0
    started=$(now_us)
    mkdir -p "$logs/$scenario"
    librdkafka_process "$number" "$part" >"$log" 2>&1 || status=$?
    if ((status != 0)) && run_again "$tests/librdkafka.again" "$(librdkafka_name "$number" "$part")"
    then
        mv "$log" "${log%.log}.first.log"
        status=0
        librdkafka_process "$number" "$part" >"$log" 2>&1 || status=$?
    fi
    # Rows of its summary: "| 0012_produce_consume | PASSED | 12.345s |", with colours. A failed test
    # ends without a summary.
    sed 's/\x1b\[[0-9;]*m//g' "$log" | librdkafka_verdicts "$number" "$part" "$status" "$started"
}

# librdkafka_process NUMBER [PART]: runs it, and ends with its status.
librdkafka_process() {
    local number=$1 part=${2:-} kafka_path=''
    # From 4.0 on it also tests settings of groups, which only the groups of KIP-848 have.
    local version=3.9.0
    [[ $target == corelane ]] || version=4.1.0
    # Others take its being there as a sign that there are access lists to set.
    [[ $number != 00@(45|52|77|98) ]] || kafka_path=$tests/librdkafka
    (
        cd "$base/librdkafka/tests"
        # A core dump of a crash may be big.
        ulimit -c 0
        export LD_LIBRARY_PATH=../src:../src-cpp RDKAFKA_TEST_CONF=$base/librdkafka.conf
        export TEST_KAFKA_VERSION=$version TESTS=$number TEST_SCENARIO=$scenario
        export SUBTESTS=$part: BROKERS=$address
        export CONFORMANCE_PYTHON=$python CONFORMANCE_JARS=$base/java41/libs
        # By the clock, two that start together may come to the same random names of topics.
        export TEST_SEED=$BASHPID
        [[ $part ]] || unset SUBTESTS
        [[ ! $kafka_path ]] || export KAFKA_PATH=$kafka_path
        # With CI the suite would leave some out and be more patient.
        unset CI
        # Not in place of this shell, which says on its standard error that it was aborted.
        timeout --signal=INT --kill-after=10 "$librdkafka_limit_seconds" ./test-runner -L -E
        exit
    ) </dev/null
}

# librdkafka_verdicts NUMBER PART STATUS STARTED: results out of the output of a run.
librdkafka_verdicts() {
    local number=$1 part=$2 status=$3 started=$4 _ name state seconds why any=no
    while IFS='|' read -r _ name state seconds why; do
        read -r name _ <<<"$name"
        read -r state _ <<<"$state"
        read -r seconds _ <<<"$seconds"
        [[ $name == "${number}_"* ]] || continue
        [[ ! $part ]] || name=$name:$part
        # The row of a part whose every case left itself out says that it passed.
        if [[ $part && $state == PASSED ]] &&
            ! grep -qa ': PASS (' "$logs/.$scenario$number$part"; then
            state=SKIPPED
            why=$(sed -n 's/^.*: SKIP: //p' "$logs/.$scenario$number$part" | head -n 1)
        fi
        case $state in
        PASSED) result passed "$name" "${seconds%s}" ;;
        SKIPPED)
            # Not those that need no broker, or another one.
            librdkafka_names "$scenario" | grep -qxF "${name%%:*}" || continue
            left_out_by_itself "$tests/librdkafka.skip" "$name" "$why"
            ;;
        *) result failed "$name" "${seconds%s}" "$why" ;;
        esac
        any=yes
    done < <(tee "$logs/.$scenario$number$part" | grep '^| ' || true)
    if [[ $any == no && $status != 0 ]]; then
        name=$(librdkafka_name "$number" "$part")
        # "### Test "NAME" failed at FILE:LINE ... ###" and, below it, why.
        why=$(grep -aA 1 -m 1 '^### Test ' "$logs/.$scenario$number$part" | sed 's/^.* failed at //' |
            tr '\n' ' ' | cut -c 1-300)
        result failed "$name" "$(seconds_since "$started")" "${why:-it ended with status $status}"
    fi
    rm -f "$logs/.$scenario$number$part"
}
