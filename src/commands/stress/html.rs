//! A run as a page of its own: nothing is loaded from anywhere, and it has no scripts.

use std::fmt::Write;

use super::{
    outcome::{Outcome, QUANTILES, buckets, millis},
    text::described,
};
use crate::stress::promises::Standing;

/// Of a chart, in its own units.
const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 240.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 28.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 30.0;

/// The percentiles at which a latency curve is drawn: so many steps for each nine.
const STEPS_A_NINE: u32 = 20;
/// From the median, half a nine short, to 99.999%.
const NINES: f64 = 5.0;

const STYLE: &str = include_str!("report.css");

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
        ("orders", counts.success.to_string()),
    ];
    let tiles: String = tiles
        .iter()
        .map(|(name, value)| format!("<div><dd>{}</dd><dt>{name}</dt></div>", escaped(value)))
        .collect();
    format!("<dl class=\"figures\">{tiles}</dl>\n")
}

fn promises(outcome: &Outcome) -> String {
    let rows: String = outcome
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
    section("Promises", &format!("<table>{rows}</table>"))
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
    let mut rows = String::new();
    for (status, code, count) in outcome.answers() {
        let class = match status {
            200..300 => "good",
            500.. => "bad",
            _ => "plain",
        };
        rows.push_str(&row(class, format!("{status} {code}").trim_end(), count));
    }
    for (cause, count) in &outcome.stats().no_answers {
        rows.push_str(&row("bad", &format!("none: {cause}"), *count));
    }
    section("Answers", &format!("<table>{rows}</table>"))
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
    let rows: String = rows
        .iter()
        .map(|(name, value)| {
            format!(
                "<tr><th scope=\"row\">{name}</th><td>{}</td></tr>",
                escaped(value)
            )
        })
        .collect();
    section("The run", &format!("<table>{rows}</table>"))
}

fn section(title: &str, content: &str) -> String {
    format!("<section><h2>{title}</h2>{content}</section>\n")
}

/// Answers a second over the run.
fn throughput(outcome: &Outcome) -> String {
    let over_time = outcome.over_time();
    let step = over_time.step.as_secs_f64();
    let most = over_time.answers.iter().copied().fold(0.0, f64::max);
    let end = step * count(over_time.answers.len());
    let chart = Chart {
        right: end.max(step),
        top: rounded_up(most),
    };
    let curve = |rates: &[f64]| {
        // A step for each piece of time: what was counted in it is no more precise than that.
        let points = rates.iter().enumerate().flat_map(|(n, rate)| {
            let from = step * count(n);
            [(from, *rate), (from + step, *rate)]
        });
        chart.path(points)
    };
    let mut svg = chart.frame(|rate| short(rate), "a second");
    for n in 0..=5_u8 {
        let at = chart.right * f64::from(n) / 5.0;
        svg.push_str(&chart.tick(at, &format!("{} s", short(at))));
    }
    let answers = curve(&over_time.answers);
    let base = format!(
        "L{:.1},{:.1}L{LEFT:.1},{:.1}Z",
        chart.x(end),
        chart.y(0.0),
        chart.y(0.0)
    );
    let _ = write!(
        svg,
        "<path class=\"area\" d=\"{answers}{base}\"/><path class=\"line\" d=\"{answers}\"/><path class=\"line second\" d=\"{}\"/>",
        curve(&over_time.successes)
    );
    let key = "<p class=\"key\"><span class=\"first\">answers</span> <span class=\"second\">accepted</span></p>";
    section(
        "Throughput over time",
        &(figure(&svg, "Answers a second over time") + key),
    )
}

/// Latency by percentile, the axis stretched towards 100%: each nine is as wide as the one before.
fn latency(outcome: &Outcome) -> String {
    let latency = &outcome.stats().latency;
    let most = millis(latency.value_at_quantile(1.0 - 0.1_f64.powf(NINES)));
    let chart = Chart {
        right: NINES,
        top: rounded_up(most),
    };
    let steps = 0..=(STEPS_A_NINE * 5);
    let points = steps.map(|n| {
        let nines = f64::from(n) / f64::from(STEPS_A_NINE);
        let quantile = 1.0 - 0.1_f64.powf(nines);
        (nines, millis(latency.value_at_quantile(quantile)))
    });
    let mut svg = chart.frame(|ms| short(ms), "ms");
    for (nines, name) in [
        (0.0, "0%"),
        (1.0, "90%"),
        (2.0, "99%"),
        (3.0, "99.9%"),
        (4.0, "99.99%"),
        (5.0, "99.999%"),
    ] {
        svg.push_str(&chart.tick(nines, name));
    }
    let _ = write!(svg, "<path class=\"line\" d=\"{}\"/>", chart.path(points));
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
    let rows: String = buckets
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
        "<dl class=\"figures small\">{row}</dl>{}<table>{rows}</table>",
        figure(&svg, "Latency by percentile")
    );
    section("Latency by percentile", &content)
}

fn figure(svg: &str, label: &str) -> String {
    format!("<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{label}\">{svg}</svg>")
}

/// Where a chart's values are: both axes begin at 0.
struct Chart {
    right: f64,
    top: f64,
}

impl Chart {
    fn x(&self, value: f64) -> f64 {
        LEFT + (WIDTH - LEFT - RIGHT) * value / self.right
    }

    fn y(&self, value: f64) -> f64 {
        HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * value / self.top
    }

    fn path(&self, points: impl Iterator<Item = (f64, f64)>) -> String {
        let mut path = String::new();
        for (x, y) in points {
            let command = if path.is_empty() { 'M' } else { 'L' };
            let _ = write!(path, "{command}{:.1},{:.1}", self.x(x), self.y(y));
        }
        path
    }

    /// Lines across with their values.
    fn frame(&self, value: impl Fn(f64) -> String, unit: &str) -> String {
        let mut frame = String::new();
        for n in 0..=4_u8 {
            let at = self.top * f64::from(n) / 4.0;
            let y = self.y(at);
            let unit = if n == 4 { unit } else { "" };
            let _ = write!(
                frame,
                "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
                 <text class=\"left\" x=\"{}\" y=\"{:.1}\">{}</text>",
                WIDTH - RIGHT,
                LEFT - 8.0,
                y + 4.0,
                value(at)
            );
            if !unit.is_empty() {
                let _ = write!(
                    frame,
                    "<text x=\"{}\" y=\"{:.1}\">{unit}</text>",
                    LEFT + 4.0,
                    y + 14.0
                );
            }
        }
        frame
    }

    fn tick(&self, at: f64, name: &str) -> String {
        format!(
            "<text class=\"below\" x=\"{:.1}\" y=\"{}\">{name}</text>",
            self.x(at),
            HEIGHT - 10.0
        )
    }
}

/// The next number that reads well: 1, 2 or 5 with zeros.
fn rounded_up(value: f64) -> f64 {
    if value <= 0.0 {
        return 1.0;
    }
    let decade = 10_f64.powf(value.log10().floor());
    let factor = [1.0, 2.0, 5.0, 10.0];
    let factor = factor.iter().find(|factor| *factor * decade >= value);
    factor.unwrap_or(&10.0) * decade
}

/// With about three digits.
fn short(value: f64) -> String {
    let text = if value >= 100.0 || value == 0.0 {
        format!("{value:.0}")
    } else if value >= 10.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.2}")
    };
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

fn share(count: u64, total: u64) -> f64 {
    #[allow(clippy::cast_precision_loss)] // of a bar
    let share = count as f64 / total.max(1) as f64;
    share * 100.0
}

#[allow(clippy::cast_precision_loss)] // of a curve
fn count(count: usize) -> f64 {
    count as f64
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

    #[test]
    fn axes_end_at_numbers_that_read_well() {
        let rounded = [0.0, 0.3, 1.0, 3.2, 51.0, 1_900.0].map(rounded_up);
        assert_eq!(rounded.map(short), ["1", "0.5", "1", "5", "100", "2000"]);
    }
}
