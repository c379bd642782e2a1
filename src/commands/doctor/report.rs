//! What a check found, and how that is shown.

use serde::Serialize;

use crate::terminal::{self, Plain, say};

/// How it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum CheckStatus {
    Ok,
    Warning,
    Failed,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Check {
    verdict: CheckStatus,
    /// Which server, or part.
    area: &'static str,
    name: &'static str,
    found: String,
    /// What to do.
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
        // What a server said may have several lines.
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

/// How far a server's clock is off.
pub(super) fn clock(area: &'static str, ahead_ms: i64, matters: &str) -> Check {
    let off = ahead_ms.unsigned_abs();
    let direction = if ahead_ms < 0 { "behind" } else { "ahead of" };
    let found = format!("{off} ms {direction} this machine's; {matters}");
    // An API node asks the gate from a second before the start by its own clock.
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

/// The checks that are not well, for tests.
#[cfg(test)]
pub(super) fn trouble(checks: &[Check]) -> Vec<String> {
    let unwell = checks
        .iter()
        .filter(|check| check.verdict != CheckStatus::Ok);
    unwell.map(Check::summary).collect()
}
