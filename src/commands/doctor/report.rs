//! The result of a check, and how results are printed.

use serde::Serialize;

use crate::terminal::{self, Plain, say};

/// The verdict of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum CheckStatus {
    Ok,
    Warning,
    Failed,
}

/// The result of one check, printed as one line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Check {
    verdict: CheckStatus,
    /// The server, or the part of the system, that was checked.
    area: &'static str,
    name: &'static str,
    found: String,
    /// What the operator should do.
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<String>,
}

impl Check {
    fn new(
        verdict: CheckStatus,
        area: &'static str,
        name: &'static str,
        mut found: String,
    ) -> Self {
        // A message of a server may have several lines.
        if found.contains(['\n', '\r']) {
            found = found.replace(['\n', '\r'], " ");
        }
        Self {
            verdict,
            area,
            name,
            found,
            advice: None,
        }
    }

    pub(super) fn ok(area: &'static str, name: &'static str, found: String) -> Self {
        Self::new(CheckStatus::Ok, area, name, found)
    }

    pub(super) fn warning(area: &'static str, name: &'static str, found: String) -> Self {
        Self::new(CheckStatus::Warning, area, name, found)
    }

    pub(super) fn failed(area: &'static str, name: &'static str, found: String) -> Self {
        Self::new(CheckStatus::Failed, area, name, found)
    }

    pub(super) fn advise(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }

    pub(super) fn is_failed(&self) -> bool {
        self.verdict == CheckStatus::Failed
    }

    pub(super) fn is_about(&self, name: &str) -> bool {
        self.name == name
    }
}

/// Checks the difference between a server's clock and this machine's. `matters` says what the server's clock is used for.
pub(super) fn clock(area: &'static str, ahead_ms: i64, matters: &str) -> Check {
    let off = ahead_ms.unsigned_abs();
    let direction = if ahead_ms < 0 { "behind" } else { "ahead of" };
    let found = format!("{off} ms {direction} this machine's; {matters}");
    // From 1 s before the start of a sale by its own clock, an API node lets the gate's clock decide. With a larger difference
    // it would refuse shoppers of a sale that is open.
    match off {
        0..=200 => Check::ok(area, "clock", found),
        201..=999 => Check::warning(area, "clock", found).advise("let NTP set all clocks"),
        _ => Check::failed(area, "clock", found).advise("let NTP set all clocks"),
    }
}

pub(super) fn print(checks: &[Check], json: bool) -> anyhow::Result<()> {
    if json {
        terminal::print_json(&checks)?;
        return Ok(());
    }
    for check in checks {
        let verdict = match check.verdict {
            CheckStatus::Ok => "ok",
            CheckStatus::Warning => "warning",
            CheckStatus::Failed => "FAILED",
        };
        let advice = check.advice.as_ref();
        let advice = advice
            .map(|advice| format!("; {}", Plain(advice)))
            .unwrap_or_default();
        say!(
            "{verdict:<8} {:<11} {:<13} {}{advice}",
            check.area,
            check.name,
            Plain(&check.found)
        );
    }
    Ok(())
}

#[cfg(test)]
impl Check {
    /// `area name: verdict`, for tests.
    pub(super) fn summary(&self) -> String {
        format!("{} {}: {:?}", self.area, self.name, self.verdict)
    }
}

/// The checks that are not ok, for tests.
#[cfg(test)]
pub(super) fn problems(checks: &[Check]) -> Vec<String> {
    let not_ok = checks
        .iter()
        .filter(|check| check.verdict != CheckStatus::Ok);
    not_ok.map(Check::summary).collect()
}
