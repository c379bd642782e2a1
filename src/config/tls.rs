//! Settings for the encryption of connections, which are the same for PostgreSQL, Redis and Kafka.

use std::net::IpAddr;

use super::{TlsConfig, TlsMode, reader::Reader};

/// Reads `<section>.tls`, `.ca_file`, `.cert_file` and `.key_file`. `hosts` are the servers to connect to.
///
/// The default `auto` means `verify-full` in production if at least one of the servers is on another machine. Otherwise it means
/// no encryption.
pub(super) fn read(
    read: &mut Reader,
    section: &str,
    hosts: &[&str],
    production: bool,
) -> TlsConfig {
    let setting = |name: &str| format!("{section}.{name}");
    let chosen = read.choice(
        &setting("tls"),
        &[
            ("auto", None),
            ("disable", Some(TlsMode::Disable)),
            ("require", Some(TlsMode::Require)),
            ("verify-full", Some(TlsMode::VerifyFull)),
            // Names from earlier versions.
            ("true", Some(TlsMode::VerifyFull)),
            ("false", Some(TlsMode::Disable)),
        ],
    );
    let mode = chosen.unwrap_or_else(|| automatic(hosts, production));
    let ca_file = read.optional(&setting("ca_file"));
    let identity = match (
        read.optional(&setting("cert_file")),
        read.optional(&setting("key_file")),
    ) {
        (Some(certificate), Some(key)) => Some((certificate, key)),
        (None, None) => None,
        (Some(_), None) => {
            read.problem(&setting("key_file"), "must name the certificate's key");
            None
        }
        (None, Some(_)) => {
            read.problem(&setting("cert_file"), "must name the key's certificate");
            None
        }
    };
    if mode == TlsMode::Disable && (ca_file.is_some() || identity.is_some()) {
        read.problem(
            &setting("tls"),
            "is off, so that certificate files are of no use: set it to require or verify-full",
        );
    }
    TlsConfig {
        mode,
        ca_file,
        identity,
    }
}

/// The mode that `auto` means for these servers.
pub(super) fn automatic<H: AsRef<str>>(
    hosts: impl IntoIterator<Item = H>,
    production: bool,
) -> TlsMode {
    let mut hosts = hosts.into_iter();
    if production && !hosts.all(|host| is_local(host.as_ref())) {
        TlsMode::VerifyFull
    } else {
        TlsMode::Disable
    }
}

/// True for this machine: `localhost`, a loopback address, or the directory of a Unix socket.
pub(super) fn is_local(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host.starts_with('/')
        || host.eq_ignore_ascii_case("localhost")
        || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::is_local;

    #[test]
    fn names_of_this_machine_are_local() {
        for local in [
            "localhost",
            "LOCALHOST",
            "127.0.0.1",
            "127.8.8.8",
            "::1",
            "[::1]",
            "/var/run",
        ] {
            assert!(is_local(local), "{local}");
        }
        for remote in ["db", "10.0.0.1", "localhost.example", "2001:db8::1", ""] {
            assert!(!is_local(remote), "{remote}");
        }
    }
}
