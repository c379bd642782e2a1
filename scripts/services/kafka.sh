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

# Starts a broker: its name, the port of its plain listener, that of its controller, its number, the voters of its cluster, and
# more properties.
start_broker() {
    local name=$1 port=$2 controller=$3 id=$4 voters=$5 heap=$6 more=$7
    pid_of "$name" "$DIR/$name/server.properties" >/dev/null && return
    claim_port Kafka "$port"
    mkdir -p "$DIR/$name"
    local properties=$DIR/$name/server.properties
    cat >"$properties" <<END
process.roles=broker,controller
node.id=$id
controller.quorum.voters=$voters
controller.listener.names=CONTROLLER
log.dirs=$DIR/$name/data
num.partitions=3
auto.create.topics.enable=false
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
$more
END
    local java=(java -XX:+UseSerialGC -XX:TieredStopAtLevel=4 -Dorg.slf4j.simpleLogger.defaultLogLevel=warn -cp "$LIBS/*")
    if [ ! -f "$DIR/$name/data/meta.properties" ]; then
        "${java[@]}" -Xmx128m kafka.tools.StorageTool format --cluster-id="$(kafka_cluster_id "${name%-[0-9]}")" -c "$properties" \
            >"$DIR/$name.log" 2>&1 || {
            tail -n 5 "$DIR/$name.log" >&2
            fail "Kafka's storage could not be formatted"
        }
    fi
    (cd / && exec setsid "${java[@]}" -Xms128m "-Xmx$heap" kafka.Kafka "$properties") >>"$DIR/$name.log" 2>&1 </dev/null &
    echo $! >"$DIR/$name.pid"
    wait_for Kafka "$DIR/$name.log" listens "$port"
}

# The id of a cluster, made once and shared by its brokers.
kafka_cluster_id() {
    local file=$DIR/$1.cluster-id
    (
        flock 8
        [ -s "$file" ] || head -c 16 /dev/urandom | base64 | tr '+/' '-_' | cut -c 1-22 >"$file"
        cat "$file"
    ) 8>"$file.lock"
}

ONE_BROKER='offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1'

start_kafka() {
    local controller=$((KAFKA_PORT + 1))
    start_broker kafka "$KAFKA_PORT" $controller 1 "1@127.0.0.1:$controller" 512m "$ONE_BROKER
listeners=PLAINTEXT://127.0.0.1:$KAFKA_PORT,CONTROLLER://127.0.0.1:$controller
advertised.listeners=PLAINTEXT://127.0.0.1:$KAFKA_PORT"
}

# Three brokers that keep three replicas, of which two must confirm a record.
kafka3_ports() { seq "$KAFKA3_PORT" $((KAFKA3_PORT + 2)); }

start_kafka3() {
    local port voters='' id=0 pids=()
    for port in $(kafka3_ports); do
        id=$((id + 1))
        voters+=${voters:+,}$id@127.0.0.1:$((port + 3))
    done
    id=0
    for port in $(kafka3_ports); do
        id=$((id + 1))
        start_broker "kafka3-$id" "$port" $((port + 3)) $id "$voters" 256m "default.replication.factor=3
min.insync.replicas=2
listeners=PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$((port + 3))
advertised.listeners=PLAINTEXT://127.0.0.1:$port" &
        pids+=($!)
    done
    local pid
    for pid in "${pids[@]}"; do wait "$pid" || exit 1; done
}

# A broker that asks clients for a certificate on one port, and for a login (PLAIN, SCRAM or OAUTHBEARER with a token that
# nobody signed; user shop, password shop1) on the next one. The plain port is for tests that look on.
start_kafka_tls() {
    tls_certificate kafka
    tls_certificate client
    local plain=$KAFKA_TLS_PORT controller=$((KAFKA_TLS_PORT + 3)) listener more
    cat "$TLS_DIR/kafka.key" "$TLS_DIR/kafka.crt" >"$TLS_DIR/kafka.pem"
    more="$ONE_BROKER
listeners=PLAINTEXT://127.0.0.1:$plain,SSL://127.0.0.1:$((plain + 1)),SASL_SSL://127.0.0.1:$((plain + 2)),CONTROLLER://127.0.0.1:$controller
advertised.listeners=PLAINTEXT://127.0.0.1:$plain,SSL://127.0.0.1:$((plain + 1)),SASL_SSL://127.0.0.1:$((plain + 2))
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_SSL:SASL_SSL,CONTROLLER:PLAINTEXT
listener.name.ssl.ssl.client.auth=required
ssl.keystore.type=PEM
ssl.keystore.location=$TLS_DIR/kafka.pem
ssl.truststore.type=PEM
ssl.truststore.location=$TLS_DIR/ca.crt
listener.name.sasl_ssl.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,OAUTHBEARER"
    listener=listener.name.sasl_ssl
    more+="
$listener.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_shop=\"shop1\";
$listener.scram-sha-256.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
$listener.oauthbearer.sasl.jaas.config=org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub=\"broker\";"
    start_broker kafka-tls "$plain" $controller 1 "1@127.0.0.1:$controller" 512m "$more"
    wait_for "Kafka over TLS" "$DIR/kafka-tls.log" listens $((plain + 2))
}
