//! Reads and checks single settings, with one method for each type of value. It collects problems and goes on.

use std::{collections::BTreeMap, fmt::Display, ops::RangeInclusive, str::FromStr, time::Duration};

use chrono::{DateTime, Datelike, Utc};
use ipnet::IpNet;

use super::{
    VARIABLES,
    address::{self, Address},
};

/// Reads settings and collects their problems. A setting with a problem gets a placeholder value, which must not be used.
pub(super) struct Reader {
    texts: BTreeMap<String, String>,
    /// Each problem with its setting. With `None`, it stops every command.
    problems: Vec<(Option<String>, String)>,
    /// Whether problems that are added from now on stop every command.
    concerns_all: bool,
    /// Settings that are missing. Commands that do not use them are not told.
    missing: Vec<String>,
}

impl Reader {
    pub(super) fn new(
        texts: BTreeMap<String, String>,
        problems: Vec<(Option<String>, String)>,
    ) -> Self {
        Self {
            texts,
            problems,
            concerns_all: false,
            missing: Vec::new(),
        }
    }

    /// Problems that are added from now on stop every command, whichever settings it uses.
    pub(super) fn concern_all(&mut self) {
        self.concerns_all = true;
    }

    /// Notes that the setting is not set and has no default that can be used: no problem of the commands that do not use it.
    pub(super) fn note_missing(&mut self, setting: &str) {
        self.missing.push(setting.to_owned());
    }

    /// The problems that stop a command which uses the settings whose names begin with one of `used`, and the other problems.
    pub(super) fn into_problems(self, used: &[&str]) -> (Vec<String>, Vec<String>) {
        let is_used = |setting: &str| used.iter().any(|name| setting.starts_with(name));
        let (used, unused): (Vec<_>, Vec<_>) = self
            .problems
            .into_iter()
            .partition(|(setting, _)| setting.as_deref().is_none_or(is_used));
        let is_wrong = |(setting, _): &(Option<String>, String)| {
            setting
                .as_ref()
                .is_none_or(|setting| !self.missing.contains(setting))
        };
        let text = |(_, text)| text;
        (
            used.into_iter().map(text).collect(),
            unused.into_iter().filter(is_wrong).map(text).collect(),
        )
    }

    /// Adds a problem. It names the setting's variables and its name in the file.
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
        #[allow(clippy::indexing_slicing)] // callers pass literals that are not empty
        chosen.unwrap_or(&choices[0]).1
    }

    pub(super) fn log_level(&mut self, setting: &str) -> String {
        let level = self.required(setting);
        if let Err(error) = tracing_subscriber::EnvFilter::try_new(&level) {
            self.problem(setting, &format!("is not a log level: {error}"));
        }
        level
    }

    /// A lifetime with its unit. A bare number is refused: for some libraries it means seconds, for others milliseconds.
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
        // Every server can store these years. Any other year is likely a typing error.
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

    /// A topic name by Kafka's rule.
    pub(super) fn topic(&mut self, setting: &str) -> String {
        let topic = self.required(setting);
        let legal = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
        if topic.len() > 249 || !topic.bytes().all(legal) || topic == "." || topic == ".." {
            self.problem(setting, "must be a Kafka topic name: up to 249 letters, digits, dots, dashes and underscores");
        }
        topic
    }

    /// The address to listen on. A port in the address takes precedence over the setting of the port.
    pub(super) fn listen(&mut self, host: &str, port: &str) -> (String, u16) {
        let own = self.number(port, 0..=u16::MAX);
        let address = self.address(host);
        (address.host, address.port.unwrap_or(own))
    }

    /// The address of a server. A port in the address takes precedence over the setting of the port.
    pub(super) fn server(&mut self, host: &str, port: &str) -> (String, u16) {
        let own = self.number(port, 1..=u16::MAX);
        let address = self.address(host);
        if address.port == Some(0) {
            self.problem(host, "names port 0, which nobody can connect to");
        }
        (address.host, address.port.unwrap_or(own))
    }

    /// A comma-separated list of servers. `port` is the port of those without one.
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

    /// The address of an API. A login in it is refused, because every message and report of a run would show it.
    pub(super) fn base_url(&mut self, setting: &str) -> String {
        let url = self.required(setting);
        if url.contains('@') {
            self.problem(setting, "must be an address without a user or a password");
        }
        url
    }

    /// An address that begins with http:// or https://, or nothing.
    pub(super) fn optional_base_url(&mut self, setting: &str) -> Option<String> {
        let url = self.optional(setting)?;
        let schemes = ["http://", "https://"];
        let host = schemes.iter().find_map(|scheme| url.strip_prefix(scheme));
        if host.is_none_or(|host| host.is_empty() || host.contains(['@', ' '])) {
            let what = format!(
                "must be an address as in http://localhost:4318, without a user or a password, not {}",
                shown(&url)
            );
            self.problem(setting, &what);
        }
        Some(url)
    }

    /// A share, from 0 to 1.
    pub(super) fn ratio(&mut self, setting: &str) -> f64 {
        match self.text(setting).parse::<f64>() {
            Ok(ratio) if (0.0..=1.0).contains(&ratio) => ratio,
            _ => {
                let what = format!(
                    "must be a number from 0 to 1, not {}",
                    shown(&self.text(setting))
                );
                self.problem(setting, &what);
                0.0
            }
        }
    }

    /// A list of networks, as in 10.0.0.0/8, and of single addresses.
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

    /// Origins separated by spaces, or one of `words`, as they stand in a Content-Security-Policy.
    pub(super) fn page_origins(&mut self, setting: &str, words: &[&str]) -> Vec<String> {
        let text = self.text(setting);
        let origins: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
        let is_host = |host: &str| {
            let legal = |byte: u8| byte.is_ascii_alphanumeric() || b".-:[]*".contains(&byte);
            !host.is_empty() && host.bytes().all(legal)
        };
        let legal = |origin: &String| {
            let host = origin.strip_prefix("https://");
            words.contains(&origin.as_str())
                || host
                    .or_else(|| origin.strip_prefix("http://"))
                    .is_some_and(is_host)
        };
        if !origins.iter().all(legal) {
            let what = format!(
                "must be origins as in https://shop.example, without a path, separated by spaces, or {}, not {}",
                words.join(", "),
                shown(&text)
            );
            self.problem(setting, &what);
            return Vec::new();
        }
        origins
    }

    pub(super) fn list(&self, setting: &str) -> Vec<String> {
        let text = self.text(setting);
        // Removes the slash that people write after an origin, and browsers do not.
        text.split(',')
            .map(|item| item.trim().trim_end_matches('/').to_owned())
            .filter(|i| !i.is_empty())
            .collect()
    }
}

/// A wrong value for the text of a problem. A value that may contain a password, as a URL does, is not shown. Of a long value,
/// the length is shown.
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

/// True for a text that has a scheme or a user, and so may have a password.
fn holds_login(text: &str) -> bool {
    text.contains("://") || text.trim_start_matches('@').contains('@')
}
