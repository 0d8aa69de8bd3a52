# shellcheck shell=bash
# Part of scripts/conformance: small programs, one per client, in tests/conformance/clients. Each
# writes the same records with every codec, reads what each of them wrote, and has tests of its own.

client_codecs=(none gzip snappy lz4 zstd)

# Seconds after which a client is ended and has failed.
client_limit_seconds=300

# suite_clients NAME...: these clients on one broker. Their results are suites of their own.
suite_clients() {
    local client topics=() ready=()
    begin_suite "$1"
    if ! need_python; then
        result failed "the suite itself" 0 "no packages for Python; see $logs"
        end_suite
        return
    fi
    broker_up 4 || result failed "the suite itself" 0 "no broker"
    end_suite
    for client in "$@"; do
        begin_suite "$client"
        if client_prepare "$client"; then
            ready+=("$client")
            for codec in "${client_codecs[@]}"; do
                topics+=("cross.$client.$codec")
            done
            client_writes "$client"
        fi
        end_suite
    done
    for client in "${ready[@]}"; do
        begin_suite "$client"
        client_run "$client" read "$address" "$tests/clients/records.tsv" "${topics[@]}"
        client_run "$client" own "$address" "own.$client"
        broker_lives || result failed "the node" 0 "ended by itself; see $base/logs/$1/broker.log"
        end_suite
    done
    broker_down
}

# client_prepare NAME: fetches what it needs and sets client_words[NAME]; says why it cannot run.
declare -A client_words
client_prepare() {
    case $1 in
    kcat)
        command -v kcat >/dev/null || {
            missing "kcat is not installed"
            return 1
        }
        client_words[kcat]="$python $tests/clients/kcat/client.py"
        ;;
    confluent) client_words[confluent]="$python $tests/clients/confluent/client.py" ;;
    kafkajs)
        kafkajs_prepare || {
            missing "kafkajs cannot be installed; see $logs"
            return 1
        }
        client_words[kafkajs]="node $base/kafkajs/client.js"
        ;;
    java39) java_prepare "$1" 3.9.1 ;;
    java41) java_prepare "$1" 4.1.1 ;;
    esac
}

kafkajs_prepare() {
    local source=$tests/clients/kafkajs folder=$base/kafkajs
    need node "Node.js 20" && need npm "npm" || return 1
    mkdir -p "$folder"
    if [[ $(cat "$folder/.stamp" 2>/dev/null) != $(cksum <"$source/package-lock.json") ]]; then
        cp "$source/package.json" "$source/package-lock.json" "$folder"
        # Packages' own scripts would build things that nothing here uses.
        (cd "$folder" && npm ci --ignore-scripts --no-fund --no-audit) >"$logs/npm.log" 2>&1 || return 1
        cksum <"$source/package-lock.json" >"$folder/.stamp"
    fi
    # Beside node_modules, where node looks for packages.
    cp "$source"/*.js "$folder"
}

# java_prepare NAME VERSION
java_prepare() {
    local source=$tests/clients/java folder=$base/$1
    {
        need java "a JDK, version 17 or newer" && need javac "a JDK, version 17 or newer" &&
            need mvn Maven && java_build "$source" "$folder" "$2" >"$logs/build.log" 2>&1
    } || {
        missing "Java's client cannot be built; see $logs"
        return 1
    }
    client_words[$1]="java -XX:+UseSerialGC -XX:TieredStopAtLevel=1 \
        -Dorg.slf4j.simpleLogger.defaultLogLevel=warn -cp $folder/classes:$folder/libs/* Client"
}

# java_build SOURCE FOLDER VERSION
java_build() {
    local stamp
    stamp="$3 $(cksum <"$1/pom.xml")"
    mkdir -p "$2"
    if [[ $(cat "$2/.stamp" 2>/dev/null) != "$stamp" ]]; then
        rm -rf "$2/libs"
        mvn --batch-mode --quiet --file "$1/pom.xml" "-Dkafka.version=$3" \
            dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory="$2/libs" || return 1
        echo "$stamp" >"$2/.stamp"
    fi
    rm -rf "$2/classes"
    javac -cp "$2/libs/*" -d "$2/classes" "$1"/*.java
}

# client_writes NAME: the same records with every codec, each in a topic of two partitions.
client_writes() {
    local codec topic
    for codec in "${client_codecs[@]}"; do
        topic=cross.$1.$codec
        "$python" "$tests/clients/confluent/client.py" topics "$address" "$topic" \
            >>"$logs/topics.log" 2>&1 || result failed "topic $topic" 0 "not made; see $logs/topics.log"
        client_run "$1" produce "$address" "$tests/clients/records.tsv" "$topic" "$codec"
    done
}

# client_run NAME COMMAND WORDS...: its lines are results.
client_run() {
    local client=$1 words status=0
    shift
    # Without an expansion of the * in a class path.
    read -ra words <<<"${client_words[$client]}"
    timeout --kill-after=10 "$client_limit_seconds" "${words[@]}" "$@" \
        >"$logs/$1.out" 2>>"$logs/$1.log" </dev/null || status=$?
    results_of_lines <"$logs/$1.out"
    ((status == 0)) || result failed "$1" 0 "ended with status $status; see $logs/$1.log"
}
