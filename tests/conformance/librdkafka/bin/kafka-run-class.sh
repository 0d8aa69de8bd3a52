#!/usr/bin/env bash
# Stands in for the script of this name in Kafka's distribution: runs a class of the suite's own with
# the jars of Kafka's client. CLASSPATH is the folder of the suite's classes.
exec java -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -cp "$CLASSPATH:$CONFORMANCE_JARS/*" "$@"
