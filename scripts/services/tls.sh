# shellcheck shell=bash
# The certificate authority of the servers that speak TLS, and the certificates that it signs. Sourced by services.sh.
#
# A server's mode calls `tls_certificate NAME` and finds $TLS_DIR/NAME.crt and $TLS_DIR/NAME.key; clients trust
# $TLS_DIR/ca.crt. Everything is made once, so calling again costs nothing. It is valid from yesterday, since tests run nodes
# whose clocks are 10 minutes behind, for 10 years.
# `foreign-ca.crt` is an authority that signed nothing: whoever trusts only that one must refuse every server.

TLS_DIR=$DIR/tls

# OpenSSL 3.0 has no option for the start of the validity. The library is loaded without the program `faketime`, which fails
# with "sem_open: File exists" when it gets the process id of a process under libfaketime that was killed.
tls_openssl() {
    local library
    library=$(echo /usr/lib/*-linux-gnu/faketime/libfaketime.so.1)
    # The callers say what is on standard error last.
    [ -f "$library" ] || { echo "libfaketime is missing: install the package faketime" >&2 && return 1; }
    LD_PRELOAD=$library FAKETIME=-1d openssl "$@"
}

# The authority: ca.crt and ca.key, and foreign-ca.crt for tests.
tls_authority() {
    mkdir -p "$TLS_DIR"
    local name
    for name in ca foreign-ca; do
        [ -f "$TLS_DIR/$name.crt" ] && continue
        tls_openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 -subj "/CN=flashsale $name" \
            -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign \
            -keyout "$TLS_DIR/$name.key" -out "$TLS_DIR/$name.crt.new" 2>>"$TLS_DIR/openssl.log" ||
            fail "the certificate authority could not be made: $(tail -n 1 "$TLS_DIR/openssl.log") (log: $TLS_DIR/openssl.log)"
        mv "$TLS_DIR/$name.crt.new" "$TLS_DIR/$name.crt"
    done
}

# A certificate and its key (PKCS #8, PEM), for a server or a client: NAME.crt and NAME.key. The subject is CN=NAME, which
# PostgreSQL takes for the user's name; the host names are localhost, 127.0.0.1, ::1 and those that are
# given, as `DNS:name` or `IP:address`.
tls_certificate() {
    local name=$1 hosts=DNS:localhost,IP:127.0.0.1,IP:::1 host
    shift
    tls_authority
    [ -f "$TLS_DIR/$name.crt" ] && return
    for host in "$@"; do hosts+=,$host; done
    {
        openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$name" \
            -keyout "$TLS_DIR/$name.key" -out "$TLS_DIR/$name.csr" &&
            printf 'basicConstraints=CA:FALSE\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=serverAuth,clientAuth\nsubjectAltName=%s\n' \
                "$hosts" >"$TLS_DIR/$name.ext" &&
            tls_openssl x509 -req -in "$TLS_DIR/$name.csr" -CA "$TLS_DIR/ca.crt" -CAkey "$TLS_DIR/ca.key" \
                -set_serial "0x$(openssl rand -hex 16)" -days 3650 -extfile "$TLS_DIR/$name.ext" -out "$TLS_DIR/$name.crt.new"
    } >>"$TLS_DIR/openssl.log" 2>&1 ||
        fail "the certificate of $name could not be made: $(tail -n 1 "$TLS_DIR/openssl.log") (log: $TLS_DIR/openssl.log)"
    mv "$TLS_DIR/$name.crt.new" "$TLS_DIR/$name.crt"
    rm -f "$TLS_DIR/$name.csr" "$TLS_DIR/$name.ext"
}
