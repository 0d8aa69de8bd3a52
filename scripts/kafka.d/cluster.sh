# shellcheck shell=bash
# Part of scripts/kafka: all brokers of the cluster in $cluster, which has beside their folders:
# options (what `up` was asked for), jvm (the brokers' JVM options), owner, brokers and env.

# For tests; a broker listens on this machine only.
sasl_user=corelane
sasl_password=corelane-secret

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

# Ports below those that the kernel gives to outgoing connections, so that a broker that is started
# again finds its own still free.
choose_ports() {
    local lock taken n kind port first=20000 last
    read -r last _ </proc/sys/net/ipv4/ip_local_port_range
    ((last > first + 1000)) || last=32768
    exec {lock}>"$base/.ports.lock"
    flock "$lock"
    # Those in use, and those of clusters whose brokers are down at the moment. Either may have none.
    taken=" $(sed -n 's/^ *[0-9]*: [0-9A-F]*:\([0-9A-F]*\) .*/0x\1/p' /proc/net/tcp /proc/net/tcp6 |
        xargs -r printf '%d ' || true)"
    taken+=" $(sed 's/^.*=//' "$base"/*/*/ports 2>/dev/null | tr '\n' ' ' || true)"
    for ((n = 1; n <= brokers; n++)); do
        mkdir "$cluster/$n"
        for kind in client internal controller; do
            while
                port=$((first + (RANDOM * 32768 + RANDOM) % (last - first)))
                [[ $taken == *" $port "* ]]
            do :; done
            taken+=" $port "
            echo "$kind=$port" >>"$cluster/$n/ports"
        done
    done
    exec {lock}>&-
}

# The protocol that clients speak; brokers among each other always use PLAINTEXT.
client_protocol() {
    case $tls:$sasl in
    no:no) echo PLAINTEXT ;;
    yes:no) echo SSL ;;
    no:yes) echo SASL_PLAINTEXT ;;
    yes:yes) echo SASL_SSL ;;
    esac
}

# write_properties N: server.properties of a broker.
write_properties() {
    local n=$1 other voters='' copies=$brokers in_sync=$(((brokers + 1) / 2))
    local listeners
    for ((other = 1; other <= brokers; other++)); do
        voters+=",$other@127.0.0.1:$(port_of "$other" controller)"
    done
    listeners="CLIENT://127.0.0.1:$(port_of "$n" client),INTERNAL://127.0.0.1:$(port_of "$n" internal)"
    cat <<PROPERTIES
process.roles=broker,controller
node.id=$n
log.dirs=$cluster/$n/data
controller.quorum.voters=${voters#,}
controller.listener.names=CONTROLLER
inter.broker.listener.name=INTERNAL
listeners=$listeners,CONTROLLER://127.0.0.1:$(port_of "$n" controller)
advertised.listeners=$listeners
listener.security.protocol.map=CONTROLLER:PLAINTEXT,INTERNAL:PLAINTEXT,CLIENT:$(client_protocol)

auto.create.topics.enable=false
default.replication.factor=$copies
min.insync.replicas=$in_sync
offsets.topic.replication.factor=$copies
transaction.state.log.replication.factor=$copies
transaction.state.log.min.isr=$in_sync
share.coordinator.state.topic.replication.factor=$copies
share.coordinator.state.topic.min.isr=$in_sync

# Few, so that they are made and moved quickly.
offsets.topic.num.partitions=4
transaction.state.log.num.partitions=4
share.coordinator.state.topic.num.partitions=4
group.initial.rebalance.delay.ms=0

# A broker that is gone is noticed within about 3 s instead of 9 s.
broker.heartbeat.interval.ms=500
broker.session.timeout.ms=3000
controller.quorum.election.timeout.ms=500
controller.quorum.election.backoff.max.ms=300
controller.quorum.fetch.timeout.ms=1000
controller.quorum.request.timeout.ms=1000

# Small: several brokers share the machine with what is tested.
num.network.threads=2
num.io.threads=4
group.coordinator.threads=1
background.threads=2
log.cleaner.dedupe.buffer.size=4194304
PROPERTIES
    if [[ $tls == yes ]]; then
        cat <<PROPERTIES

listener.name.client.ssl.keystore.type=PKCS12
listener.name.client.ssl.keystore.location=$cluster/broker.p12
listener.name.client.ssl.keystore.password=$store_password
PROPERTIES
    fi
    if [[ $sasl == yes ]]; then
        cat <<PROPERTIES

listener.name.client.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512
listener.name.client.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_$sasl_user="$sasl_password";
listener.name.client.scram-sha-256.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.client.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
PROPERTIES
    fi
    ((${#properties[@]} == 0)) || printf '%s\n' '' "${properties[@]}"
}

# Prepares the brokers' data folders for the same new cluster.
format_data() {
    local words id n jobs=() scram=() mechanism
    java_words
    # Letters and digits only: an id that starts with - would be taken for an option.
    id=$(head -c 16 /dev/urandom | base64 | tr '+/' 'xy' | head -c 22)
    if [[ $sasl == yes ]]; then
        for mechanism in SCRAM-SHA-256 SCRAM-SHA-512; do
            scram+=(--add-scram "$mechanism=[name=$sasl_user,password=$sasl_password]")
        done
    fi
    for n in $(cluster_numbers); do
        "${words[@]}" kafka.tools.StorageTool format --cluster-id "$id" \
            --config "$cluster/$n/server.properties" "${scram[@]}" >"$cluster/$n/log" 2>&1 &
        jobs+=("$!")
    done
    for n in "${!jobs[@]}"; do
        wait "${jobs[n]}" || {
            cat "$cluster/$((n + 1))/log" >&2
            return 1
        }
    done
}

store_password=corelane

# A certificate authority of this cluster and the brokers' certificate; the authority's key is not
# kept.
make_certificates() {
    local store=(-storetype PKCS12 -keystore "$cluster/broker.p12" -storepass "$store_password")
    local key=(-genkeypair -keyalg EC -groupname secp256r1 -validity 3650)
    {
        keytool "${store[@]}" "${key[@]}" -alias ca -dname 'CN=corelane tests' -ext bc:c &&
            keytool "${store[@]}" "${key[@]}" -alias broker -dname 'CN=localhost' -signer ca \
                -ext san=ip:127.0.0.1,dns:localhost &&
            keytool "${store[@]}" -exportcert -rfc -alias ca -file "$cluster/ca.pem" &&
            keytool "${store[@]}" -delete -alias ca
    } >"$cluster/certificates.log" 2>&1 || {
        cat "$cluster/certificates.log" >&2
        fail "no certificates could be made"
    }
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
