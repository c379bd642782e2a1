# shellcheck shell=bash disable=SC2034,SC2154 # sourced by scripts/services.sh, which sets and reads the shared variables
# HAProxy and nginx before two nodes of `flashsale serve`, with the configurations of config/. tests/rolling starts its own.

HAPROXY_PORT=${HAPROXY_PORT:-28080}
NGINX_PORT=${NGINX_PORT:-28081}
NODE_PORTS=${NODE_PORTS:-3001 3002} # where the nodes are, two ports

has_program() { PATH=$PATH:/usr/sbin:/usr/local/sbin command -v "$1" >/dev/null; }

# Adds what is missing to the caller's list.
proxies_missing() {
    has_program haproxy || missing+=(haproxy)
    has_program nginx || missing+=(nginx-light)
}

# A shipped configuration with this port in place of 8080, on loopback, and the nodes where they are.
proxy_config() {
    local file=$1 port=$2 first second
    read -r first second <<<"$NODE_PORTS"
    # Where nginx.conf says only the port, as `listen 8080;`.
    sed -e "s/listen 8080/listen 127.0.0.1:$port/; s/bind :8080/bind 127.0.0.1:$port/" \
        -e "s/127\.0\.0\.1:3001/127.0.0.1:$first/; s/127\.0\.0\.1:3002/127.0.0.1:$second/" "$ROOT/config/$file"
}

start_haproxy() {
    local file=$DIR/haproxy.cfg
    pid_of haproxy "$file" >/dev/null && return
    claim_port HAProxy "$HAPROXY_PORT"
    proxy_config haproxy.cfg "$HAPROXY_PORT" >"$file"
    (cd / && PATH=$PATH:/usr/sbin exec setsid haproxy -db -f "$file") >>"$DIR/haproxy.log" 2>&1 </dev/null &
    echo $! >"$DIR/haproxy.pid"
    wait_for HAProxy "$DIR/haproxy.log" listens "$HAPROXY_PORT"
}

start_nginx() {
    local data=$DIR/nginx file=$DIR/nginx/nginx.conf kind folders=''
    pid_of nginx "$file" >/dev/null && return
    claim_port nginx "$NGINX_PORT"
    mkdir -p "$data"
    # Its own folders, so that it needs no rights.
    for kind in client_body proxy fastcgi uwsgi scgi; do folders+="${kind}_temp_path $data/$kind; "; done
    proxy_config nginx.conf "$NGINX_PORT" | sed "s|^http {|http { $folders|" >"$file"
    (cd / && PATH=$PATH:/usr/sbin exec setsid nginx -g "daemon off; pid $data/nginx.pid;" -c "$file") >>"$DIR/nginx.log" 2>&1 </dev/null &
    echo $! >"$DIR/nginx.pid"
    wait_for nginx "$DIR/nginx.log" listens "$NGINX_PORT"
}

# Servers that run on demand: name, what the command line contains, port.
proxies_on_demand() {
    echo "haproxy $DIR/haproxy.cfg $HAPROXY_PORT"
    echo "nginx $DIR/nginx/nginx.conf $NGINX_PORT"
}
