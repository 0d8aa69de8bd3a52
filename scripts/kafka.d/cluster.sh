# shellcheck shell=bash
# Part of scripts/kafka: all brokers of the cluster in $cluster, which has beside their folders:
# options (what `up` was asked for), jvm (the brokers' JVM options), owner, brokers and env.

# For brokers that start often, live shortly and share the machine.
jvm_options='-XX:+UseSerialGC -XX:TieredStopAtLevel=1'

cluster_exists() {
    [[ -f $cluster/options ]]
}

# cluster_numbers: 1 up to the number of brokers.
cluster_numbers() {
    local folder
    for folder in "$cluster"/[1-9]; do
        [[ ! -d $folder ]] || echo "${folder##*/}"
    done
}

# port_of N client|internal|controller
port_of() {
    sed -n "s/^$2=//p" "$cluster/$1/ports"
}

cluster_up() {
    local options n numbers alive=no
    require_java
    require_jars
    remove_orphans
    options="brokers=$brokers tls=$tls sasl=$sasl ${properties[*]}"
    lock_cluster
    mapfile -t numbers < <(cluster_numbers)
    for n in "${numbers[@]}"; do
        [[ $(broker_state "$n") == down ]] || alive=yes
    done
    if [[ $alive == yes ]]; then
        [[ $(cat "$cluster/options") == "$options" ]] ||
            fail "cluster '$name' is up with other options; scripts/kafka down --name $name ends it"
        for n in "${numbers[@]}"; do
            [[ $(broker_state "$n") != paused ]] || broker_resume "$n"
        done
        brokers_start "${numbers[@]}" || exit 1
    else
        trap cluster_interrupted INT TERM HUP
        cluster_make "$options"
        trap - INT TERM HUP
    fi
    cat "$cluster/brokers"
}

cluster_down() {
    local n
    lock_cluster
    for n in $(cluster_numbers); do
        broker_kill "$n"
    done
    rm -rf "$cluster" "$base/.$name.lock"
}

# Keeps other calls from starting or removing this cluster, until this one ends.
lock_cluster() {
    local lock
    while
        exec {lock}>"$base/.$name.lock"
        flock "$lock"
        # A file that another call's `down` has removed meanwhile locks nobody out.
        [[ ! /proc/$$/fd/$lock -ef $base/.$name.lock ]]
    do
        exec {lock}>&-
    done
}

cluster_interrupted() {
    local n
    for n in $(cluster_numbers); do
        broker_kill "$n"
    done
    exit 1
}

# Clusters whose owner is gone, such as a test that was killed, are taken down.
remove_orphans() {
    local file other
    for file in "$base"/*/owner; do
        [[ -f $file ]] || continue
        if ! owner_is_there "$(cat "$file")"; then
            other=${file%/owner}
            "$here/kafka" down --name "${other##*/}"
        fi
    done
}

# owner_line PID: the process and when it was started, since numbers are given out again.
owner_line() {
    echo "$1 $(sed 's/^.*) //' "/proc/$1/stat" 2>/dev/null | cut -d ' ' -f 20)"
}

owner_is_there() {
    [[ $(owner_line "${1%% *}") == "$1" ]]
}

# cluster_make OPTIONS: from nothing to brokers that all answer and know each other.
cluster_make() {
    local attempt n numbers
    mapfile -t numbers < <(seq "$brokers")
    for attempt in 1 2 3; do
        rm -rf "$cluster"
        mkdir "$cluster"
        echo "$1" >"$cluster/options"
        echo "${KAFKA_HEAP_OPTS:--Xms64m -Xmx320m}" \
            "${KAFKA_JVM_PERFORMANCE_OPTS:-$jvm_options}" >"$cluster/jvm"
        [[ -z $owner ]] || owner_line "$owner" >"$cluster/owner"
        choose_ports
        [[ $tls == no ]] || make_certificates
        for n in "${numbers[@]}"; do
            write_properties "$n" >"$cluster/$n/server.properties"
        done
        format_data || exit 1
        if cluster_start "${numbers[@]}"; then
            write_addresses
            return
        fi
        for n in "${numbers[@]}"; do
            broker_kill "$n"
        done
        # Somebody else took a port meanwhile.
        grep -qs 'Address already in use' "$cluster"/*/log || exit 1
        echo "scripts/kafka: a port was taken meanwhile; trying others (attempt $attempt)" >&2
    done
    fail "no free ports"
}

# cluster_start N...: starts all brokers and waits until each knows all.
cluster_start() {
    local n
    for n in "$@"; do
        broker_launch "$n"
    done
    for n in "$@"; do
        broker_await "$n" "$@" || return 1
    done
}

# Writes the files for clients.
write_addresses() {
    local n client='' internal=''
    for n in $(cluster_numbers); do
        client+=",127.0.0.1:$(port_of "$n" client)"
        internal+=",127.0.0.1:$(port_of "$n" internal)"
    done
    {
        echo "export KAFKA_BROKERS=${client#,}"
        echo "export KAFKA_SECURITY_PROTOCOL=$(client_protocol)"
        # The brokers' own listeners, always without TLS and SASL.
        echo "export KAFKA_BROKERS_PLAINTEXT=${internal#,}"
        [[ $tls == no ]] || printf 'export KAFKA_CA_FILE=%q\n' "$cluster/ca.pem"
        [[ $sasl == no ]] || printf 'export %s\n' "KAFKA_USER=$sasl_user" \
            "KAFKA_PASSWORD=$sasl_password" 'KAFKA_SASL_MECHANISMS=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512'
    } >"$cluster/env"
    echo "${client#,}" >"$cluster/brokers"
}

cluster_status() {
    local n pid port state separator=''
    if [[ $json == yes ]]; then
        printf '{"name":"%s","brokers":"%s","nodes":[' "$name" "$(cat "$cluster/brokers")"
    fi
    for n in $(cluster_numbers); do
        pid=$(broker_pid "$n") || pid=
        port=$(port_of "$n" client)
        state=$(broker_state "$n")
        if [[ $json == yes ]]; then
            printf '%s{"number":%s,"state":"%s","port":%s,"pid":%s}' "$separator" "$n" "$state" \
                "$port" "${pid:-null}"
            separator=,
        else
            printf 'broker %s: %-6s port %s, process %s\n' "$n" "$state" "$port" "${pid:--}"
        fi
    done
    [[ $json == no ]] || echo ']}'
}
