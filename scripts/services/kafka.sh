# shellcheck shell=bash disable=SC2034,SC2154 # sourced by scripts/services.sh, which sets and reads the shared variables
# Apache Kafka: its jars from Maven, one broker.

java_works() {
    command -v java >/dev/null || return 1
    local version
    version=$(java -version 2>&1 | sed -n 's/.*version "\([0-9]*\).*/\1/p' | head -n 1)
    [ "${version:-0}" -ge 17 ]
}

# Kafka's own jars, with Maven; once.
fetch_kafka() {
    say "fetching Apache Kafka $KAFKA_VERSION"
    local home=$DIR/kafka-$KAFKA_VERSION
    mkdir -p "$home"
    cat >"$home/pom.xml" <<END
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>flashsale</groupId><artifactId>kafka-jars</artifactId><version>1</version>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>$KAFKA_VERSION</version></dependency>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka-tools</artifactId><version>$KAFKA_VERSION</version></dependency>
    <dependency><groupId>org.slf4j</groupId><artifactId>slf4j-simple</artifactId><version>$SLF4J_VERSION</version></dependency>
  </dependencies>
</project>
END
    rm -rf "$LIBS"
    if ! (cd "$home" && mvn -q -B dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory="$LIBS") >"$home/mvn.log" 2>&1; then
        tail -n 5 "$home/mvn.log" >&2
        fail "Kafka's jars could not be fetched with Maven (log: $home/mvn.log)"
    fi
    touch "$LIBS/.complete"
}

start_kafka() {
    pid_of kafka "$DIR/kafka/server.properties" >/dev/null && return
    claim_port Kafka "$KAFKA_PORT"
    mkdir -p "$DIR/kafka"
    local properties=$DIR/kafka/server.properties controller=$((KAFKA_PORT + 1))
    cat >"$properties" <<END
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$controller
listeners=PLAINTEXT://127.0.0.1:$KAFKA_PORT,CONTROLLER://127.0.0.1:$controller
advertised.listeners=PLAINTEXT://127.0.0.1:$KAFKA_PORT
controller.listener.names=CONTROLLER
log.dirs=$DIR/kafka/data
num.partitions=3
auto.create.topics.enable=false
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
# After a kill -9 the broker may register again only when its old session has run out (default: 9 s).
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
offsets.topic.num.partitions=1
transaction.state.log.num.partitions=1
log.index.size.max.bytes=1048576
num.network.threads=2
num.io.threads=4
log.cleaner.enable=false
file.delete.delay.ms=1000
END
    local java=(java -XX:+UseSerialGC -XX:TieredStopAtLevel=4 -Dorg.slf4j.simpleLogger.defaultLogLevel=warn -cp "$LIBS/*")
    if [ ! -f "$DIR/kafka/data/meta.properties" ]; then
        "${java[@]}" -Xmx128m kafka.tools.StorageTool format --cluster-id="$(head -c 16 /dev/urandom | base64 | tr '+/' '-_' | cut -c 1-22)" -c "$properties" \
            >"$DIR/kafka.log" 2>&1 || {
            tail -n 5 "$DIR/kafka.log" >&2
            fail "Kafka's storage could not be formatted"
        }
    fi
    (cd / && exec setsid "${java[@]}" -Xms256m -Xmx512m kafka.Kafka "$properties") >>"$DIR/kafka.log" 2>&1 </dev/null &
    echo $! >"$DIR/kafka.pid"
    wait_for Kafka "$DIR/kafka.log" listens "$KAFKA_PORT"
}
