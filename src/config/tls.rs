//! Settings for the encryption of connections, which are the same for PostgreSQL, Redis and Kafka.

use std::net::IpAddr;

use super::{TlsConfig, TlsMode, reader::Reader};

/// Why production does not take `require` for a server on another machine.
pub(super) const REQUIRE_REFUSED: &str = "is require, which takes the certificate of any server, an impostor's too: \
     production needs verify-full for servers on other machines; name the authority in the setting of the CA file if it is not one of the system's";

/// The servers of a section, as far as the settings name them.
pub(super) struct Named<'a> {
    pub(super) hosts: &'a [&'a str],
    /// These servers announce the addresses of others, which are connected to as well.
    pub(super) announce_others: bool,
}

/// Reads `<section>.tls`, `.ca_file`, `.cert_file` and `.key_file`.
///
/// The default `auto` means `verify-full` in production for every server on another machine. Otherwise it means no encryption.
pub(super) fn read(
    read: &mut Reader,
    section: &str,
    servers: &Named<'_>,
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
    let mode = chosen.unwrap_or_else(|| match automatic(servers.hosts, production) {
        TlsMode::Disable if production && servers.announce_others => TlsMode::VerifyOthers,
        mode => mode,
    });
    let may_be_elsewhere = servers.announce_others || !are_local(servers.hosts);
    if mode == TlsMode::Require && production && may_be_elsewhere {
        read.problem(&setting("tls"), REQUIRE_REFUSED);
    }
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
    if production && !are_local(hosts) {
        TlsMode::VerifyFull
    } else {
        TlsMode::Disable
    }
}

/// True if all of these hosts are this machine.
pub(super) fn are_local<H: AsRef<str>>(hosts: impl IntoIterator<Item = H>) -> bool {
    hosts.into_iter().all(|host| is_local(host.as_ref()))
}

/// True for this machine: `localhost`, a loopback address, or the directory of a Unix socket.
pub(crate) fn is_local(host: &str) -> bool {
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
