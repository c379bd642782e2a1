//! Reads one setting at a time, of each kind there is; nothing stops at the first problem.

use std::{collections::BTreeMap, fmt::Display, ops::RangeInclusive, str::FromStr, time::Duration};

use chrono::{DateTime, Datelike, Utc};
use ipnet::IpNet;

use super::{
    VARIABLES,
    address::{self, Address},
};

/// Hands out settings and gathers what is wrong with them. A wrong one reads as some valid value, never to be used.
pub(super) struct Reader {
    texts: BTreeMap<String, String>,
    /// Each with its setting; without one, it concerns all.
    problems: Vec<(Option<String>, String)>,
    /// Whether what is found from now on concerns all.
    concerns_all: bool,
}

impl Reader {
    pub(super) fn new(texts: BTreeMap<String, String>, problems: Vec<String>) -> Self {
        let problems = problems.into_iter().map(|text| (None, text)).collect();
        Self {
            texts,
            problems,
            concerns_all: false,
        }
    }

    /// Problems from now on stop everybody, whichever settings they use.
    pub(super) fn concern_all(&mut self) {
        self.concerns_all = true;
    }

    /// What was wrong with the settings that are used, whose names begin with one of these, and with the others.
    pub(super) fn into_problems(self, used: &[&str]) -> (Vec<String>, Vec<String>) {
        let is_used = |setting: &str| used.iter().any(|name| setting.starts_with(name));
        let (used, unused): (Vec<_>, Vec<_>) = self
            .problems
            .into_iter()
            .partition(|(setting, _)| setting.as_deref().is_none_or(is_used));
        let texts = |problems: Vec<(_, String)>| problems.into_iter().map(|(_, text)| text);
        (texts(used).collect(), texts(unused).collect())
    }

    /// Adds a problem, named as the operator knows the setting.
    pub(super) fn problem(&mut self, setting: &str, what: &str) {
        let names = VARIABLES
            .iter()
            .find(|(name, _)| *name == setting)
            .map_or(&[][..], |(_, names)| names);
        let text = format!("  {} ({setting}) {what}", names.join(" or "));
        let setting = (!self.concerns_all).then(|| setting.to_owned());
        self.problems.push((setting, text));
    }

    pub(super) fn text(&self, setting: &str) -> String {
        self.texts.get(setting).cloned().unwrap_or_default()
    }

    pub(super) fn optional(&self, setting: &str) -> Option<String> {
        Some(self.text(setting)).filter(|text| !text.is_empty())
    }

    pub(super) fn required(&mut self, setting: &str) -> String {
        self.optional(setting).unwrap_or_else(|| {
            self.problem(setting, "must not be empty");
            String::new()
        })
    }

    pub(super) fn number<N>(&mut self, setting: &str, range: RangeInclusive<N>) -> N
    where
        N: FromStr + PartialOrd + Display + Copy,
    {
        match self.text(setting).parse::<N>() {
            Ok(number) if range.contains(&number) => number,
            _ => {
                let what = format!(
                    "must be a whole number from {} to {}, not {}",
                    range.start(),
                    range.end(),
                    shown(&self.text(setting))
                );
                self.problem(setting, &what);
                *range.start()
            }
        }
    }

    pub(super) fn millis(&mut self, setting: &str, range: RangeInclusive<u64>) -> Duration {
        Duration::from_millis(self.number(setting, range))
    }

    pub(super) fn secs(&mut self, setting: &str, range: RangeInclusive<u64>) -> Duration {
        Duration::from_secs(self.number(setting, range))
    }

    pub(super) fn flag(&mut self, setting: &str) -> bool {
        self.choice(setting, &[("true", true), ("false", false)])
    }

    pub(super) fn choice<T: Copy>(&mut self, setting: &str, choices: &[(&str, T)]) -> T {
        let text = self.text(setting);
        let chosen = choices
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(&text));
        if chosen.is_none() {
            let names: Vec<_> = choices.iter().map(|(name, _)| *name).collect();
            self.problem(
                setting,
                &format!("must be one of {}, not {}", names.join(", "), shown(&text)),
            );
        }
        #[allow(clippy::indexing_slicing)] // the choices are literals in this file
        chosen.unwrap_or(&choices[0]).1
    }

    pub(super) fn log_level(&mut self, setting: &str) -> String {
        let level = self.required(setting);
        if let Err(error) = tracing_subscriber::EnvFilter::try_new(&level) {
            self.problem(setting, &format!("is not a log level: {error}"));
        }
        level
    }

    /// A lifetime with its unit. A bare number is refused: libraries disagree whether it means seconds or milliseconds.
    pub(super) fn lifetime(&mut self, setting: &str, range: RangeInclusive<Duration>) -> Duration {
        let text = self.text(setting);
        let bare = text.bytes().all(|b| b.is_ascii_digit());
        match humantime::parse_duration(&text) {
            Ok(lifetime) if range.contains(&lifetime) && !bare => lifetime,
            _ => {
                let what = format!(
                    "must be a time with its unit, as 1h, 24h or 7d, from {} to {}, not {}",
                    humantime::format_duration(*range.start()),
                    humantime::format_duration(*range.end()),
                    shown(&text)
                );
                self.problem(setting, &what);
                *range.start()
            }
        }
    }

    pub(super) fn instant(&mut self, setting: &str) -> Option<DateTime<Utc>> {
        let text = self.optional(setting)?;
        // What every server can store, and no slip of the keyboard.
        let years = 2000..=2199;
        let instant = DateTime::parse_from_rfc3339(&text)
            .ok()
            .filter(|instant| years.contains(&instant.year()));
        if instant.is_none() {
            self.problem(
                setting,
                &format!(
                    "must be a time from 2000 to 2199, as in 2026-01-01T12:00:00Z, not {}",
                    shown(&text)
                ),
            );
        }
        instant.map(|instant| instant.to_utc())
    }

    /// Kafka's rule for topic names.
    pub(super) fn topic(&mut self, setting: &str) -> String {
        let topic = self.required(setting);
        let legal = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
        if topic.len() > 249 || !topic.bytes().all(legal) || topic == "." || topic == ".." {
            self.problem(setting, "must be a Kafka topic name: up to 249 letters, digits, dots, dashes and underscores");
        }
        topic
    }

    /// Where to listen: a port in the address stands above the setting of the port.
    pub(super) fn listen(&mut self, host: &str, port: &str) -> (String, u16) {
        let own = self.number(port, 0..=u16::MAX);
        let address = self.address(host);
        (address.host, address.port.unwrap_or(own))
    }

    /// A server to connect to: a port in the address stands above the setting of the port.
    pub(super) fn server(&mut self, host: &str, port: &str) -> (String, u16) {
        let own = self.number(port, 1..=u16::MAX);
        let address = self.address(host);
        if address.port == Some(0) {
            self.problem(host, "names port 0, which nobody can connect to");
        }
        (address.host, address.port.unwrap_or(own))
    }

    /// Servers, comma-separated; `port` is that of those which name none.
    pub(super) fn servers(&mut self, setting: &str, port: u16) -> Vec<(String, u16)> {
        let items = self.list(setting);
        if items.is_empty() {
            self.problem(setting, "must name at least one address");
        }
        let mut servers = Vec::new();
        for item in items {
            let address = self.parse_address(setting, &item);
            if address.port == Some(0) {
                self.problem(setting, "names port 0, which nobody can connect to");
            }
            servers.push((address.host, address.port.unwrap_or(port)));
        }
        servers
    }

    fn address(&mut self, setting: &str) -> Address {
        let text = self.required(setting);
        if text.is_empty() {
            return Address {
                host: text,
                port: None,
            };
        }
        self.parse_address(setting, &text)
    }

    pub(super) fn parse_address(&mut self, setting: &str, text: &str) -> Address {
        text.parse().unwrap_or_else(|error| {
            let what = format!(
                "must be a host name or an IP address as in db.example, 10.0.0.7 or [::1], with or without :port, not {}: {error}",
                shown(text)
            );
            self.problem(setting, &what);
            Address {
                host: String::new(),
                port: None,
            }
        })
    }

    /// The address of an API. A login in it would stand in every message and page of a run.
    pub(super) fn base_url(&mut self, setting: &str) -> String {
        let url = self.required(setting);
        if url.contains('@') {
            self.problem(setting, "must be an address without a user or a password");
        }
        url
    }

    /// Networks as in 10.0.0.0/8, and single addresses.
    pub(super) fn networks(&mut self, setting: &str) -> Vec<IpNet> {
        let network = |text: &String| {
            let (ip, prefix) = text
                .split_once('/')
                .map_or((&**text, None), |(ip, n)| (ip, Some(n)));
            let ip = address::ip(ip)?;
            match prefix {
                Some(prefix) => IpNet::new(ip, prefix.parse().ok()?).ok(),
                None => Some(IpNet::from(ip)),
            }
        };
        let networks: Option<Vec<IpNet>> = self.list(setting).iter().map(network).collect();
        networks.unwrap_or_else(|| {
            let what = format!(
                "must be networks or IP addresses as in 10.0.0.0/8, 192.0.2.7 or [fd00::]/8, without names and ports, comma-separated, not {}",
                shown(&self.text(setting))
            );
            self.problem(setting, &what);
            Vec::new()
        })
    }

    pub(super) fn origins(&mut self, setting: &str) -> Vec<String> {
        let origins = self.list(setting);
        let legal = |origin: &String| {
            origin == "*"
                || origin
                    .strip_prefix("https://")
                    .or_else(|| origin.strip_prefix("http://"))
                    .is_some_and(|host| !host.is_empty() && !host.contains(['/', '@']))
        };
        if !origins.iter().all(legal) {
            let what = format!(
                "must be origins as in https://shop.example, without a path, comma-separated, not {}",
                shown(&self.text(setting))
            );
            self.problem(setting, &what);
        }
        origins
    }

    pub(super) fn list(&self, setting: &str) -> Vec<String> {
        let text = self.text(setting);
        // Browsers send origins without a trailing slash; people write one.
        text.split(',')
            .map(|item| item.trim().trim_end_matches('/').to_owned())
            .filter(|i| !i.is_empty())
            .collect()
    }
}

/// A wrong value as a problem shows it. What may hold a password, as an address does, is not shown, and of a long one its length.
fn shown(text: &str) -> String {
    const SHOWN: usize = 60;
    if holds_login(text) {
        return "what is set (not shown, since it may hold a password)".to_owned();
    }
    match text.chars().count() {
        0..=SHOWN => format!("{text:?}"),
        length => format!("a text of {length} characters"),
    }
}

/// True for an address with a scheme or a user.
fn holds_login(text: &str) -> bool {
    text.contains("://") || text.trim_start_matches('@').contains('@')
}
