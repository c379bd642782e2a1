//! A run for people.

use std::fmt::Write;

use super::{
    super::audit,
    outcome::{Outcome, QUANTILES, buckets, millis},
};
use crate::stress::promises::Standing;
use crate::terminal::{Plain, say};

/// Of the longest bar of the chart.
const BAR_CHARS: u64 = 40;

pub(super) fn print(outcome: &Outcome) {
    say!("{}", page(outcome));
    if let Some(Ok(report)) = outcome.audited.as_ref().map(|audited| &audited.0) {
        say!("\nAudit");
        audit::text::report(report);
    }
}

fn page(outcome: &Outcome) -> String {
    let mut lines = Vec::new();
    let settings = &outcome.settings;
    lines.push(format!(
        "Sale {} at {}: {}, {} units",
        settings.sale,
        Plain(&settings.url),
        Plain(&settings.product_name),
        settings.initial_stock
    ));
    lines.push(format!("  {}", described(outcome)));
    figures(outcome, &mut lines);
    chart(outcome, &mut lines);
    lines.push("\nAnswers".to_owned());
    for (status, code, count) in outcome.answers() {
        lines.push(
            format!("  {count:>9}  {status} {}", Plain(code))
                .trim_end()
                .to_owned(),
        );
    }
    for (cause, count) in &outcome.stats().no_answers {
        lines.push(format!("  {count:>9}  none: {cause}"));
    }
    lines.push("\nPromises".to_owned());
    for promise in &outcome.promises {
        let standing = match promise.standing {
            Standing::Kept => "kept",
            Standing::Broken => "BROKEN",
            Standing::Unknown => "unknown",
        };
        lines.push(format!(
            "  {standing:<8} {}: {}",
            promise.title,
            Plain(&promise.found)
        ));
    }
    lines.join("\n")
}

/// How the load was made, in a line.
pub(super) fn described(outcome: &Outcome) -> String {
    let settings = &outcome.settings;
    let pace = settings.rate.map_or_else(
        || "as fast as answers came".to_owned(),
        |rate| format!("at {rate} a second"),
    );
    let bound = settings
        .seconds
        .map(|seconds| format!(", for {seconds} s at most"))
        .unwrap_or_default();
    format!(
        "{} shoppers, {} each, {}, {}, {pace}{bound}",
        settings.shoppers,
        counted(settings.presses.into(), "press", "presses"),
        counted(settings.connections as u64, "connection", "connections"),
        counted(settings.threads as u64, "thread", "threads"),
    )
}

fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

fn figures(outcome: &Outcome, lines: &mut Vec<String>) {
    let stats = outcome.stats();
    lines.push(format!(
        "\n  answers     {} in {:.3} s, {:.0} a second; {} without an answer",
        stats.answers(),
        stats.elapsed.as_secs_f64(),
        stats.throughput(),
        stats.unanswered()
    ));
    if stats.unsent > 0 {
        lines.push(format!(
            "  not sent    {} that were due: no connection was free",
            stats.unsent
        ));
    }
    if stats.late > 0 {
        lines.push(format!(
            "  late        {} were sent late since this machine was busy; they count from when they were due",
            stats.late
        ));
    }
    if let Some(cpu) = stats.cpu {
        lines.push(format!(
            "  client      {:.3} s of CPU to press",
            cpu.as_secs_f64()
        ));
    }
    let latency = &stats.latency;
    let mut header = "  latency ms ".to_owned();
    let mut row = "             ".to_owned();
    let quantiles = QUANTILES.map(|(name, quantile)| (name, latency.value_at_quantile(quantile)));
    for (name, micros) in quantiles.into_iter().chain([("max", latency.max())]) {
        let _ = write!(header, "{name:>10}");
        let _ = write!(row, "{:>10.2}", millis(micros));
    }
    lines.extend([header, row]);
}

fn chart(outcome: &Outcome, lines: &mut Vec<String>) {
    let buckets = buckets(&outcome.stats().latency);
    let most = buckets.iter().map(|(_, count)| *count).max();
    let Some(most) = most.filter(|most| *most > 0) else {
        return;
    };
    lines.push("\n  up to ms".to_owned());
    for (bound, count) in buckets {
        let chars = (count * BAR_CHARS).div_ceil(most);
        let bar = "#".repeat(usize::try_from(chars).unwrap_or_default());
        let line = format!("  {:>8} |{bar:<40} {count}", millis(bound));
        lines.push(line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_says_what_was_measured_and_what_is_broken() {
        let page = page(&super::super::outcome::tests::outcome());
        for expected in [
            "11 shoppers, 1 press each, 5 connections, 1 thread, at 100 a second",
            "10 in 0.250 s, 40 a second; 1 without an answer",
            "        8  409 sold_out\n",
            "        1  none: no answer in time",
            "  BROKEN   never oversold: 2 SUCCESS of 1 units",
            "  kept     nothing accepted is lost",
        ] {
            assert!(page.contains(expected), "{expected:?} in\n{page}");
        }
        let bars: Vec<_> = page.lines().filter(|line| line.contains(" |")).collect();
        assert_eq!(bars.len(), 6, "{page}");
        assert_eq!(bars[1].matches('#').count(), 40);
    }
}
