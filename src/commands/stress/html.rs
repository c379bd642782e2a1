//! A run as a page of its own: nothing is loaded from anywhere, and it has no scripts. Its curves are in `chart`.

mod chart;

use std::fmt::Write;

use self::chart::short;
use super::{
    outcome::{Outcome, QUANTILES, buckets, millis},
    text::described,
};
use crate::stress::promises::Standing;

const STYLE: &str = include_str!("html/style.css");

/// The whole page.
pub(super) fn page(outcome: &Outcome) -> String {
    let settings = &outcome.settings;
    let verdict = if outcome.is_kept() {
        ("kept", "Every promise was kept")
    } else if any(outcome, Standing::Broken) {
        ("broken", "A promise was broken")
    } else {
        ("unknown", "Not every promise could be checked")
    };
    let title = format!("Sale {} under load", settings.sale);
    let lead = format!(
        "{} at {}, {}",
        settings.product_name,
        settings.url,
        settings.started_at.format("%F %T UTC")
    );
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n\
         <header><h1>{title}</h1><p>{lead}</p><p class=\"verdict {state}\">{says}</p></header>\n\
         {figures}{promises}{throughput}{latency}{answers}{run}</main>\n</body>\n</html>\n",
        lead = escaped(&lead),
        state = verdict.0,
        says = verdict.1,
        figures = figures(outcome),
        promises = promises(outcome),
        throughput = throughput(outcome),
        latency = latency(outcome),
        answers = answers(outcome),
        run = run(outcome),
    )
}

fn any(outcome: &Outcome, standing: Standing) -> bool {
    let mut promises = outcome.promises.iter();
    promises.any(|promise| promise.standing == standing)
}

/// As text of an element or an attribute.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            _ => escaped.push(character),
        }
    }
    escaped
}

fn figures(outcome: &Outcome) -> String {
    let (stats, counts) = (outcome.stats(), outcome.counts);
    let at = |quantile| {
        let micros = stats.latency.value_at_quantile(quantile);
        format!("{} ms", short(millis(micros)))
    };
    let tiles = [
        ("answers a second", format!("{:.0}", stats.throughput())),
        ("answers", stats.answers().to_string()),
        ("without an answer", stats.unanswered().to_string()),
        ("median latency", at(0.5)),
        ("99% within", at(0.99)),
        ("99.9% within", at(0.999)),
        ("shoppers accepted", counts.accepted.to_string()),
        ("of them told SUCCESS", counts.success.to_string()),
    ];
    let tiles: Vec<_> = tiles
        .iter()
        .map(|(name, value)| format!("<div><dd>{}</dd><dt>{name}</dt></div>", escaped(value)))
        .collect();
    format!("<dl class=\"figures\">{}</dl>\n", tiles.concat())
}

fn promises(outcome: &Outcome) -> String {
    let rows: Vec<_> = outcome
        .promises
        .iter()
        .map(|promise| {
            let code = promise.standing.code();
            format!(
                "<tr><td><span class=\"state {code}\">{code}</span></td><th scope=\"row\">{}</th><td>{}</td></tr>",
                escaped(promise.title),
                escaped(&promise.found)
            )
        })
        .collect();
    section("Promises", &table(&rows))
}

fn answers(outcome: &Outcome) -> String {
    let total = outcome.stats().answers() + outcome.stats().unanswered();
    let row = |class: &str, name: &str, count: u64| {
        let share = share(count, total);
        format!(
            "<tr><th scope=\"row\">{}</th><td class=\"number\">{count}</td><td class=\"wide\"><div class=\"bar {class}\" style=\"width:{share:.2}%\"></div></td></tr>",
            escaped(name)
        )
    };
    let mut rows = Vec::new();
    for (status, code, count) in outcome.answers() {
        let class = match status {
            200..300 => "good",
            500.. => "bad",
            _ => "plain",
        };
        rows.push(row(class, format!("{status} {code}").trim_end(), count));
    }
    for (cause, count) in &outcome.stats().no_answers {
        rows.push(row("bad", &format!("none: {cause}"), *count));
    }
    section("Answers", &table(&rows))
}

fn run(outcome: &Outcome) -> String {
    let (settings, stats) = (&outcome.settings, outcome.stats());
    let tokens = if settings.is_minted {
        "signed with the deployment's secret"
    } else {
        "from logging in"
    };
    let cpu = stats.cpu.map_or_else(
        || "unknown".to_owned(),
        |cpu| format!("{:.3} s", cpu.as_secs_f64()),
    );
    let rows = [
        ("load", described(outcome)),
        (
            "sale",
            format!(
                "{}, product {}, {} units",
                settings.sale, settings.product, settings.initial_stock
            ),
        ),
        ("tokens", tokens.to_owned()),
        ("duration", format!("{:.3} s", stats.elapsed.as_secs_f64())),
        ("CPU of the client", cpu),
        ("due and not sent", stats.unsent.to_string()),
        ("sent late by a busy client", stats.late.to_string()),
    ];
    let rows: Vec<_> = rows
        .iter()
        .map(|(name, value)| {
            format!(
                "<tr><th scope=\"row\">{name}</th><td>{}</td></tr>",
                escaped(value)
            )
        })
        .collect();
    section("The run", &table(&rows))
}

fn section(title: &str, content: &str) -> String {
    format!("<section><h2>{title}</h2>{content}</section>\n")
}

fn table(rows: &[String]) -> String {
    format!("<table>{}</table>", rows.concat())
}

/// Answers a second over the run.
fn throughput(outcome: &Outcome) -> String {
    let key = "<p class=\"key\"><span class=\"first\">answers</span> <span class=\"second\">accepted</span></p>";
    section("Throughput over time", &(chart::throughput(outcome) + key))
}

fn latency(outcome: &Outcome) -> String {
    let latency = &outcome.stats().latency;
    let mut row = String::new();
    let quantiles = QUANTILES.map(|(name, quantile)| (name, latency.value_at_quantile(quantile)));
    for (name, micros) in quantiles.into_iter().chain([("max", latency.max())]) {
        let _ = write!(
            row,
            "<div><dd>{} ms</dd><dt>{name}</dt></div>",
            short(millis(micros))
        );
    }
    let buckets = buckets(latency);
    let most = buckets.iter().map(|(_, count)| *count).max().unwrap_or(1);
    let rows: Vec<_> = buckets
        .iter()
        .map(|(bound, count)| {
            format!(
                "<tr><th scope=\"row\">up to {} ms</th><td class=\"number\">{count}</td><td class=\"wide\"><div class=\"bar plain\" style=\"width:{:.2}%\"></div></td></tr>",
                millis(*bound),
                share(*count, most)
            )
        })
        .collect();
    let content = format!(
        "<dl class=\"figures small\">{row}</dl>{}{}",
        chart::latency(outcome),
        table(&rows)
    );
    section("Latency by percentile", &content)
}

fn share(count: u64, total: u64) -> f64 {
    #[allow(clippy::cast_precision_loss)] // of a bar
    let share = count as f64 / total.max(1) as f64;
    share * 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_asks_for_nothing_from_elsewhere() {
        let page = page(&super::super::outcome::tests::outcome());
        for outside in [
            "src=", "href=", "url(", "@import", "<script", "<link", "<img",
        ] {
            assert!(!page.contains(outside), "{outside}");
        }
        // The one address there is is the text of the system's.
        assert_eq!(page.matches("://").count(), 1);
        assert!(page.contains("prefers-color-scheme: dark"));
    }

    #[test]
    fn whatever_a_system_says_is_text() {
        let page = page(&super::super::outcome::tests::outcome());
        assert!(page.contains("A &lt;b&gt;&quot;thing&quot;&lt;/b&gt; &amp; more"));
        assert!(page.contains("no &lt;server&gt; answers"));
        assert!(!page.contains("<b>") && !page.contains("<server>") && !page.contains("<shop>"));
    }

    #[test]
    fn a_page_is_whole_even_if_nobody_answered() {
        let mut outcome = super::super::outcome::tests::outcome();
        outcome.pressed.stats = crate::stress::Stats::default();
        outcome.pressed.answers.clear();
        let page = page(&outcome);
        assert!(page.ends_with("</html>\n"));
        assert!(!page.contains("NaN") && !page.contains("inf"), "{page}");
    }
}
