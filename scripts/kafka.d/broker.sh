# shellcheck shell=bash
# Part of scripts/kafka: one broker, which is the process in $cluster/N/pid. Its folder also has
# server.properties, ports, the log and the data.

# How long a broker may take to answer, and to end.
patience_seconds=90

# Words before the main class: JVM options and Kafka's classes, which the JVM finds by itself.
java_words() {
    local options
    read -ra options <"$cluster/jvm"
    [[ ! -f $base/classes.jsa ]] || options+=("-XX:SharedArchiveFile=$base/classes.jsa")
    words=(java "${options[@]}" "-Dlog4j2.configurationFile=$files/log4j2.properties"
        -cp "$base/libs/*")
}

# broker_pid N: its process, if it is there. A number that now belongs to another process is not
# taken for the broker's.
broker_pid() {
    local pid
    pid=$(cat "$cluster/$1/pid" 2>/dev/null) || return 1
    tr '\0' '\n' 2>/dev/null <"/proc/$pid/cmdline" | grep -qxF "$cluster/$1/server.properties" ||
        return 1
    echo "$pid"
}

# broker_state N: up, down or paused.
broker_state() {
    local pid
    pid=$(broker_pid "$1") || {
        echo down
        return
    }
    case $(sed -n 's/^State:[[:space:]]*//p' "/proc/$pid/status" 2>/dev/null) in
    T*) echo paused ;;
    '' | [ZX]*) echo down ;;
    *) echo up ;;
    esac
}

# broker_launch N: starts the process and does not wait until it answers.
broker_launch() {
    local words pid fd
    java_words
    # In a session of its own, so that an interrupt at the terminal spares it, and without this
    # script's open files, among which are locks.
    (
        for fd in /proc/self/fd/*; do
            fd=${fd##*/}
            ((fd <= 2)) || eval "exec $fd>&-"
        done
        exec setsid "${words[@]}" kafka.Kafka "$cluster/$1/server.properties"
    ) </dev/null >>"$cluster/$1/log" 2>&1 &
    pid=$!
    echo "$pid" >"$cluster/$1/pid"
    # Until then it is this script's copy and would not be recognised.
    until broker_pid "$1" >/dev/null || ! kill -0 "$pid" 2>/dev/null; do
        sleep 0.01
    done
}

# broker_answers N IDS...: whether broker N answers and knows brokers IDS as running. Asks as a
# client does: Metadata version 1 without topics.
broker_answers() {
    local port answer id
    port=$(port_of "$1" internal)
    shift
    # Length 14, key 3, version 1, correlation 1, no client id, 0 topics. The answer is its length,
    # correlation, and an array of: id, host with length, port, rack (none).
    # shellcheck disable=SC2016 # For the inner shell, which exists to be timed.
    answer=$(timeout 5 bash -c '
        hex() { head -c "$1" <&3 | od -An -v -tx1 | tr -d " \n"; }
        exec 3<>"/dev/tcp/127.0.0.1/$1" &&
            printf "\0\0\0\16\0\3\0\1\0\0\0\1\377\377\0\0\0\0" >&3 &&
            length=$(hex 4) && [[ $length ]] && hex "$((16#$length))"' \
        ask "$port" 2>/dev/null) || return 1
    for id in "$@"; do
        [[ $answer == *0000000${id}00093132372e302e302e31* ]] || return 1
    done
}

# show_log N: the end of a broker's log, without the places in Kafka's code.
show_log() {
    grep -v '^[[:space:]]*\(at \|\.\.\. \)' "$cluster/$1/log" | tail -n 20 >&2
}

# broker_await N IDS...: waits until broker N answers and knows brokers IDS.
broker_await() {
    local n=$1 deadline=$((SECONDS + patience_seconds))
    until broker_answers "$@"; do
        if ! broker_pid "$n" >/dev/null; then
            show_log "$n"
            echo "scripts/kafka: broker $n ended at its start; $cluster/$n/log has the rest" >&2
            return 1
        fi
        if ((SECONDS > deadline)); then
            echo "scripts/kafka: broker $n does not answer; see $cluster/$n/log" >&2
            return 1
        fi
        sleep 0.1
    done
}

# broker_await_end N PID: waits until no thread of the process is left.
broker_await_end() {
    local deadline=$((SECONDS + patience_seconds))
    # What nobody has waited for stays as a zombie, which has closed its files and ports.
    while [[ $(grep -hs '^State:' "/proc/$2/task"/*/status | grep -v '[ZX] (') ]]; do
        ((SECONDS <= deadline)) || fail "broker $1 (process $2) does not end"
        sleep 0.02
    done
    rm -f "$cluster/$1/pid"
}

# broker_kill N: ends the process, if there is one, as kill -9 does.
broker_kill() {
    local pid
    pid=$(broker_pid "$1") || return 0
    kill -KILL "$pid" 2>/dev/null || true
    broker_await_end "$1" "$pid"
}

# brokers_stop N...: asks the processes to end, which hand their leaderships to other brokers first.
# All are asked before waiting for any: a broker only ends while there is a controller to hand to.
brokers_stop() {
    local n pid
    local -A pids=()
    for n in "$@"; do
        pid=$(broker_pid "$n") || continue
        pids[$n]=$pid
        # In this order a paused broker also takes the request.
        kill -TERM "$pid" 2>/dev/null || true
        kill -CONT "$pid" 2>/dev/null || true
    done
    for n in "${!pids[@]}"; do
        broker_await_end "$n" "${pids[$n]}"
    done
}

broker_pause() {
    local pid
    pid=$(broker_pid "$1") || fail "broker $1 is down"
    kill -STOP "$pid"
    # The signal is delivered a moment later.
    until [[ $(broker_state "$1") != up ]]; do
        sleep 0.02
    done
}

broker_resume() {
    local pid
    pid=$(broker_pid "$1") || fail "broker $1 is down"
    kill -CONT "$pid"
}

# brokers_start N...: starts the brokers that are down, all before waiting for any: a controller
# needs a majority to answer.
brokers_start() {
    local n
    for n in "$@"; do
        broker_pid "$n" >/dev/null || broker_launch "$n"
    done
    for n in "$@"; do
        broker_await "$n" "$n" || return 1
    done
}
