//! The format of addresses, the same in all settings: a host name, an IPv4 address, or an IPv6 address bare or in brackets. A
//! port may follow, but not after a bare IPv6 address.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

/// The longest host name, in bytes (RFC 1035, 2.3.4).
const NAME_MAX_BYTES: usize = 253;

/// A host, and the port if the text has one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Address {
    /// A name or an IP address, without brackets.
    pub(super) host: String,
    pub(super) port: Option<u16>,
}

/// Why a text is not an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum AddressError {
    #[error("the host is missing")]
    NoHost,
    #[error("the port must be a number up to 65535")]
    Port,
    #[error("this is no IPv4 address")]
    Ipv4,
    #[error("this is no IPv6 address; with a port it is written as in [::1]:8080")]
    Ipv6,
    #[error("a scheme, a user or a path does not belong here")]
    Url,
    #[error("a host name has letters, digits, hyphens, underscores and dots only")]
    Name,
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        if text.contains(['/', '@']) {
            return Err(AddressError::Url);
        }
        if let Some(rest) = text.strip_prefix('[') {
            let (host, rest) = rest.split_once(']').ok_or(AddressError::Ipv6)?;
            let port = match rest.strip_prefix(':') {
                Some(port) => Some(self::port(port)?),
                None if rest.is_empty() => None,
                None => return Err(AddressError::Ipv6),
            };
            return Ok(Self {
                host: ipv6(host)?,
                port,
            });
        }
        match text.matches(':').count() {
            0 => Ok(Self {
                host: name(text)?,
                port: None,
            }),
            1 => {
                let (host, port) = text.split_once(':').unwrap_or((text, ""));
                Ok(Self {
                    host: name(host)?,
                    port: Some(self::port(port)?),
                })
            }
            _ => Ok(Self {
                host: ipv6(text)?,
                port: None,
            }),
        }
    }
}

/// Writes the port if there is one, and an IPv6 address in brackets.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.port, self.host.contains(':')) {
            (Some(port), _) => write!(f, "{}", with_port(&self.host, port)),
            (None, true) => write!(f, "[{}]", self.host),
            (None, false) => write!(f, "{}", self.host),
        }
    }
}

/// `host:port` for connections and messages, with an IPv6 address in brackets.
#[must_use]
pub fn with_port(host: &str, port: u16) -> String {
    if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}

fn port(text: &str) -> Result<u16, AddressError> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let port = text.parse().ok().filter(|_| digits);
    port.ok_or(AddressError::Port)
}

/// Checks an IPv6 address, which may name an interface, as in `fe80::1%eth0`.
fn ipv6(text: &str) -> Result<String, AddressError> {
    let (address, zone) = text.split_once('%').unwrap_or((text, "0"));
    match address.parse::<Ipv6Addr>() {
        Ok(_) if !zone.is_empty() => Ok(text.to_owned()),
        _ => Err(AddressError::Ipv6),
    }
}

fn name(text: &str) -> Result<String, AddressError> {
    if text.is_empty() {
        return Err(AddressError::NoHost);
    }
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let labels = text.strip_suffix('.').unwrap_or(text);
    let whole = text.len() <= NAME_MAX_BYTES && labels.split('.').all(|label| !label.is_empty());
    if !whole || !text.bytes().all(legal) {
        return Err(AddressError::Name);
    }
    // Resolvers differ about texts such as 127.1 and 0x7f.1.
    let last = labels.rsplit('.').next().unwrap_or_default();
    if last.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<Ipv4Addr>().is_err() {
        return Err(AddressError::Ipv4);
    }
    Ok(text.to_owned())
}

/// Parses an IP address without a port. An IPv6 address may be in brackets.
pub(super) fn ip(text: &str) -> Option<IpAddr> {
    let bare = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    match bare {
        Some(bare) => bare.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        None => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{
        super::{Config, Sources},
        *,
    };

    #[test]
    fn addresses_are_written_in_four_ways_with_or_without_a_port() {
        for (text, host, port) in [
            ("redis", "redis", None),
            (
                "redis-1.shop_x.example.:6379",
                "redis-1.shop_x.example.",
                Some(6379),
            ),
            ("10.0.0.7", "10.0.0.7", None),
            ("10.0.0.7:65535", "10.0.0.7", Some(65_535)),
            ("::1", "::1", None),
            ("2001:db8::7:6379", "2001:db8::7:6379", None),
            ("[::1]", "::1", None),
            ("[::]:0", "::", Some(0)),
            ("[fe80::1%eth0]:53", "fe80::1%eth0", Some(53)),
            ("[::ffff:10.0.0.7]:80", "::ffff:10.0.0.7", Some(80)),
        ] {
            let address: Address = text.parse().unwrap();
            assert_eq!(
                (address.host.as_str(), address.port),
                (host, port),
                "{text}"
            );
            let again: Address = address.to_string().parse().unwrap();
            assert_eq!(again, address, "{text} is shown as {address}");
        }
    }

    #[test]
    fn a_text_that_is_not_an_address_is_refused_with_the_reason() {
        for (text, why) in [
            ("", AddressError::NoHost),
            (":80", AddressError::NoHost),
            ("db:", AddressError::Port),
            ("db:http", AddressError::Port),
            ("db:+80", AddressError::Port),
            ("db:65536", AddressError::Port),
            ("[::1]:", AddressError::Port),
            ("10.0.0.300", AddressError::Ipv4),
            ("127.1", AddressError::Ipv4),
            ("::1::2", AddressError::Ipv6),
            ("db:1:2", AddressError::Ipv6),
            ("[::1", AddressError::Ipv6),
            ("[::1]80", AddressError::Ipv6),
            ("[db]:80", AddressError::Ipv6),
            ("[10.0.0.7]", AddressError::Ipv6),
            ("http://db", AddressError::Url),
            ("user@db", AddressError::Url),
            ("db/shop", AddressError::Url),
            ("a b", AddressError::Name),
            ("a..b", AddressError::Name),
            ("müller.example", AddressError::Name),
        ] {
            assert_eq!(text.parse::<Address>().unwrap_err(), why, "{text}");
        }
    }

    fn config(setting: &str, text: &str) -> Result<Config, String> {
        let mut variables = BTreeMap::from([(setting.to_owned(), text.to_owned())]);
        if setting == "REDIS_SENTINELS" {
            variables.insert("REDIS_SENTINEL_MASTER".to_owned(), "shop".to_owned());
        }
        if setting == "METRICS_HOST" {
            variables.insert("METRICS_PORT".to_owned(), "9100".to_owned());
        }
        let sources = Sources {
            file: None,
            variables,
            ..Sources::default()
        };
        Config::load(&sources).map_err(|error| error.to_string())
    }

    /// A variable, a function that returns its address from a configuration, and the default port.
    type Setting = (&'static str, fn(Config) -> String, u16);

    const SETTINGS: [Setting; 8] = [
        ("HOST", |c| with_port(&c.server.host, c.server.port), 3000),
        (
            "WORKER_HOST",
            |c| with_port(&c.worker.host, c.worker.port.unwrap_or(0)),
            0,
        ),
        (
            "METRICS_HOST",
            |c| {
                let listener = c.server.metrics.unwrap();
                with_port(&listener.host, listener.port)
            },
            9100,
        ),
        ("POSTGRES_HOST", |c| c.postgres.server(), 5433),
        ("ORIGINAL_POSTGRES_HOST", |c| c.original.server(), 5433),
        (
            "REDIS_HOST",
            |c| with_port(&c.redis.host, c.redis.port),
            6379,
        ),
        (
            "REDIS_SENTINELS",
            |c| {
                let addresses = c.redis.sentinel.unwrap().addresses;
                let addresses = addresses.iter().map(|(host, port)| with_port(host, *port));
                addresses.collect::<Vec<_>>().join(",")
            },
            26379,
        ),
        ("KAFKA_BROKERS", |c| c.kafka.brokers.join(","), 9092),
    ];

    #[test]
    fn every_setting_of_an_address_takes_every_form() {
        for (setting, read, port) in SETTINGS {
            for (text, host) in [
                ("db-1.example", "db-1.example"),
                ("10.0.0.7", "10.0.0.7"),
                ("::1", "[::1]"),
                ("[::1]", "[::1]"),
            ] {
                let addresses = read(config(setting, text).unwrap());
                assert_eq!(addresses, format!("{host}:{port}"), "{setting}={text}");
                if text == host {
                    let addresses = read(config(setting, &format!("{text}:7000")).unwrap());
                    assert_eq!(addresses, format!("{host}:7000"), "{setting}={text}:7000");
                }
            }
        }
    }

    #[test]
    fn every_setting_that_lists_addresses_takes_several() {
        for (setting, read, port) in SETTINGS {
            let one = ["HOST", "METRICS_HOST", "WORKER_HOST", "REDIS_HOST"];
            if !one.contains(&setting) {
                let addresses = read(config(setting, "a, ::1 ,[::2]:7000,10.0.0.7:7001").unwrap());
                let wanted = format!("a:{port},[::1]:{port},[::2]:7000,10.0.0.7:7001");
                assert_eq!(addresses, wanted, "{setting}");
            }
        }
        let sockets = config("POSTGRES_HOST", "/run/postgresql,db:5432").unwrap();
        let wanted = [("/run/postgresql", 5433), ("db", 5432)];
        let wanted = wanted.map(|(host, port)| (host.to_owned(), port));
        assert_eq!(sockets.postgres.servers(), wanted);
    }

    #[test]
    fn every_setting_of_an_address_says_what_is_wrong() {
        for (setting, _, _) in SETTINGS {
            for (text, why) in [
                ("[::1", "no IPv6 address"),
                ("::1::2:7000", "no IPv6 address"),
                ("db:port", "the port"),
                ("10.0.0.300", "no IPv4 address"),
                ("http://db", "a scheme"),
                ("d b", "letters, digits"),
            ] {
                let error = config(setting, text).unwrap_err();
                assert!(
                    error.contains("the configuration has 1 problem:"),
                    "{error}"
                );
                assert!(error.contains(setting), "{error}");
                // A text that looks like a URL may contain a password, so it is not shown.
                let is_shown = error.contains(text);
                assert_eq!(is_shown, !text.contains("://"), "{error}");
                assert!(error.contains(why), "{setting}={text}: {error}");
            }
            let zero = config(setting, "db:0");
            let listens = ["HOST", "METRICS_HOST", "WORKER_HOST"].contains(&setting);
            assert_eq!(zero.is_ok(), listens, "{setting}: 0 takes a free port");
        }
    }

    #[test]
    fn proxies_are_ip_addresses_and_networks_in_every_form() {
        let proxies =
            |text| config("TRUSTED_PROXIES", text).map(|config| config.server.trusted_proxies);
        let read = proxies("10.0.0.7,[::1],fd00::/8,[2001:db8::]/32").unwrap();
        let read: Vec<_> = read.iter().map(ToString::to_string).collect();
        assert_eq!(
            read,
            ["10.0.0.7/32", "::1/128", "fd00::/8", "2001:db8::/32"]
        );
        for wrong in [
            "balancer",
            "10.0.0.7:80",
            "[::1]:80",
            "[10.0.0.7]",
            "[fd00::/8]",
        ] {
            let error = proxies(wrong).unwrap_err();
            assert!(error.contains("without names and ports"), "{error}");
        }
    }
}
