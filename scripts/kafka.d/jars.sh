# shellcheck shell=bash
# Part of scripts/kafka: Java, and Kafka's jars in $base/libs.

# Says what is missing, if anything.
require_java() {
    command -v java >/dev/null ||
        fail "java is missing; install a Java runtime, version 17 or newer"
    local major
    # openjdk version "17.0.15" 2025-04-15
    major=$(java -version 2>&1 | sed -n 's/^.* version "\([0-9]*\).*$/\1/p' | head -n 1)
    ((${major:-0} >= 17)) || fail "Kafka 4 needs Java 17 or newer; 'java' is version ${major:-unknown}"
}

require_maven() {
    command -v mvn >/dev/null || fail "mvn is missing; install Maven, which fetches Kafka's jars"
}

# Whether the jars of this pom.xml are there.
have_jars() {
    [[ -d $base/libs && $(cat "$base/.jars.stamp" 2>/dev/null) == $(cksum <"$files/pom.xml") ]]
}

# Fetches the jars if they are not there. Two calls at once fetch them once.
require_jars() {
    local lock
    exec {lock}>"$base/.jars.lock"
    flock "$lock"
    if ! have_jars; then
        require_maven
        echo "fetching Kafka's jars (once) ..." >&2
        rm -rf "$base/libs" "$base/.libs"
        if ! mvn --batch-mode --quiet --file "$files/pom.xml" dependency:copy-dependencies \
            -DincludeScope=runtime -DoutputDirectory="$base/.libs" >"$base/.jars.log" 2>&1; then
            cat "$base/.jars.log" >&2
            fail "Maven could not fetch the jars"
        fi
        mv "$base/.libs" "$base/libs"
        make_archive ||
            echo "scripts/kafka: no class archive could be made; brokers start more slowly" >&2
        cksum <"$files/pom.xml" >"$base/.jars.stamp"
    fi
    exec {lock}>&-
}

# Keeps the classes that a broker loads, as the JVM has them in memory. With this archive, brokers
# start sooner and share that memory. It is made from a broker's first life.
make_archive() (
    cluster=$base/warm-up
    brokers=1 tls=no sasl=no properties=() owner=
    KAFKA_JVM_PERFORMANCE_OPTS="$jvm_options -XX:ArchiveClassesAtExit=$base/.classes.jsa"
    rm -f "$base/classes.jsa"
    cluster_make warm-up && brokers_stop 1 && mv "$base/.classes.jsa" "$base/classes.jsa"
    done=$?
    rm -rf "$cluster"
    return "$done"
)
