# shellcheck shell=bash
# Part of scripts/kafka: what a new cluster needs before its brokers start: ports, settings,
# certificates and formatted data folders.

# For tests; a broker listens on this machine only.
sasl_user=corelane
sasl_password=corelane-secret
store_password=corelane

# Ports below those that the kernel gives to outgoing connections, so that a broker that is started
# again finds its own still free.
choose_ports() {
    local lock taken n kind port first=20000 last
    read -r last _ </proc/sys/net/ipv4/ip_local_port_range
    ((last > first + 1000)) || last=32768
    exec {lock}>"$base/.ports.lock"
    flock "$lock"
    # Those in use, and those of clusters whose brokers are down at the moment. Either may have none.
    taken=" $(cat /proc/net/tcp /proc/net/tcp6 2>/dev/null |
        sed -n 's/^ *[0-9]*: [0-9A-F]*:\([0-9A-F]*\) .*/0x\1/p' |
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
            show_log "$((n + 1))"
            return 1
        }
    done
}

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
