# shellcheck shell=bash
# Part of scripts/conformance: the broker under test. Its address, once it is up, is in $address
# ("127.0.0.1:PORT") and its process, if it is a node of ours, in $broker_pid.

broker_pid=
# How long the broker may take until it answers.
broker_patience_seconds=90

# What is needed before any broker starts.
broker_prepare() {
    case $target in
    corelane)
        if [[ ${CORELANE_PROGRAM:-} ]]; then
            program=$CORELANE_PROGRAM
            [[ -x $program ]] || fail "CORELANE_PROGRAM is no program: $program"
            return
        fi
        command -v cargo >/dev/null || fail "cargo is missing; install Rust"
        # As the tests are built: dependencies are optimised there too, and most often it is there
        # already.
        echo "building the node ..."
        cargo build --locked --manifest-path "$root/Cargo.toml" --bin corelane >"$base/build.log" 2>&1 || {
            tail -n 40 "$base/build.log"
            fail "the node cannot be built"
        }
        program=${CARGO_TARGET_DIR:-$root/target}/debug/corelane
        ;;
    kafka) "$here/kafka" check ;;
    esac
}

# free_port: below those that the kernel gives to outgoing connections, so that a broker that is
# started again finds its own still free.
free_port() {
    local taken port first=20000 last
    read -r last _ </proc/sys/net/ipv4/ip_local_port_range
    ((last > first + 1000)) || last=32768
    taken=" $(cat /proc/net/tcp /proc/net/tcp6 2>/dev/null |
        sed -n 's/^ *[0-9]*: [0-9A-F]*:\([0-9A-F]*\) .*/0x\1/p' |
        xargs -r printf '%d ' || true)"
    while
        port=$((first + (RANDOM * 32768 + RANDOM) % (last - first)))
        [[ $taken == *" $port "* ]]
    do :; done
    echo "$port"
}

# Milliseconds that the first member of a group waits for others.
rebalance_delay_ms=0

# broker_up PARTITIONS [no-auto-create]: a broker with nothing in it, whose topics have so many
# partitions where nobody says how many, and are made for whoever names them, or not.
broker_up() {
    local auto_create=true
    [[ ${2:-} != no-auto-create ]] || auto_create=false
    broker_down
    case $target in
    corelane)
        address=127.0.0.1:$(free_port)
        mkdir "$base/node"
        cat >"$base/node/config.toml" <<TOML
[gateway]
tcp = ["127.0.0.1:0"]
[broker]
listen = ["$address"]
default_partitions = $1
auto_create_topics = $auto_create
# kafka-python's tests have members that are missed sooner.
group_min_session_timeout_ms = 1000
group_initial_rebalance_delay_ms = $rebalance_delay_ms
[control]
http = ""
[log]
directory = "$base/node/data"
TOML
        broker_start
        ;;
    kafka)
        address=$("$here/kafka" up --name conformance --owner $$ \
            --property "auto.create.topics.enable=$auto_create" --property "num.partitions=$1" \
            --property group.min.session.timeout.ms=1000 \
            --property "group.initial.rebalance.delay.ms=$rebalance_delay_ms")
        ;;
    esac
}

# broker_start: runs the node in the data it has, at the address it had.
broker_start() {
    local deadline=$((SECONDS + broker_patience_seconds))
    # Without the lock of this run, which a node that is left over must not hold.
    "$program" serve --config "$base/node/config.toml" >>"$logs/broker.log" 2>&1 </dev/null \
        {run_lock}>&- &
    broker_pid=$!
    # The shell says nothing of its end.
    disown "$broker_pid"
    echo "$broker_pid" >"$base/node/pid"
    until broker_answers; do
        if ! kill -0 "$broker_pid" 2>/dev/null; then
            tail -n 20 "$logs/broker.log" >&2
            echo "scripts/conformance: the node ended at its start; see $logs/broker.log" >&2
            return 1
        fi
        if ((SECONDS > deadline)); then
            echo "scripts/conformance: the node does not answer; see $logs/broker.log" >&2
            return 1
        fi
        sleep 0.05
    done
}

# Whether the broker answers ApiVersions, version 0, which any of them does.
broker_answers() {
    # shellcheck disable=SC2016 # For the inner shell, which exists to be timed.
    timeout 5 bash -c 'exec 3<>"/dev/tcp/${1%:*}/${1#*:}" &&
        printf "\0\0\0\12\0\22\0\0\0\0\0\1\377\377" >&3 && [[ $(head -c 8 <&3 | wc -c) == 8 ]]' \
        ask "$address" 2>/dev/null
}

# broker_kill: ends the broker as kill -9 does; broker_restart runs it again in its data.
broker_kill() {
    if [[ $target == kafka ]]; then
        "$here/kafka" kill --name conformance 1
    else
        broker_end
    fi
}

broker_restart() {
    if [[ $target == kafka ]]; then
        "$here/kafka" start --name conformance 1
    else
        broker_start
    fi
}

# Fails if our node has ended by itself.
broker_lives() {
    [[ $target == kafka ]] || broker_is_ours "$(cat "$base/node/pid")"
}

# broker_is_ours PID: whether that process is the node; a number may have been given out again.
broker_is_ours() {
    grep -qsF "$base/node/config.toml" "/proc/$1/cmdline"
}

# Ends our node at once and waits until it is gone.
broker_end() {
    local pid
    # A suite runs in a shell of its own, and so the number is known by the file.
    pid=$(cat "$base/node/pid" 2>/dev/null) || pid=0
    ! broker_is_ours "$pid" || kill -KILL "$pid"
    while broker_is_ours "$pid"; do
        sleep 0.02
    done
}

# Ends the broker, if one is there, and removes its data.
broker_down() {
    if [[ $target == kafka ]]; then
        "$here/kafka" down --name conformance
    elif [[ -d $base/node ]]; then
        broker_end
        rm -rf "$base/node"
    fi
}
