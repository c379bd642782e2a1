//! Curves of a page, as SVG.

use std::fmt::Write;

use super::super::outcome::{Outcome, millis};

/// Of a chart, in its own units.
const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 240.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 28.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 30.0;

/// A latency curve goes from 0% to 99.999%, and has so many points for each nine.
const NINES: f64 = 5.0;
const STEPS_A_NINE: u32 = 20;

/// Answers a second over the run.
pub(super) fn throughput(outcome: &Outcome) -> String {
    let over_time = outcome.over_time();
    let step = over_time.step.as_secs_f64();
    let most = over_time.answers.iter().copied().fold(0.0, f64::max);
    let end = over_time.end.as_secs_f64();
    let last = over_time.answers.len().saturating_sub(1);
    let chart = Chart {
        right: if end > 0.0 { end } else { step },
        top: rounded_up(most),
    };
    let curve = |rates: &[f64]| {
        // A step for each piece of time: what was counted in it is no more precise than that.
        let points = rates.iter().enumerate().flat_map(|(n, rate)| {
            let from = step * count(n);
            let to = if n == last { end } else { from + step };
            [(from, *rate), (to, *rate)]
        });
        chart.path(points)
    };
    let mut svg = chart.frame("a second");
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
    figure(&svg, "Answers a second over time")
}

/// Latency by percentile, the axis stretched towards 100%: each nine is as wide as the one before.
pub(super) fn latency(outcome: &Outcome) -> String {
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
    let mut svg = chart.frame("ms");
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
    figure(&svg, "Latency by percentile")
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
    fn frame(&self, unit: &str) -> String {
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
                short(at)
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
pub(super) fn short(value: f64) -> String {
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

#[allow(clippy::cast_precision_loss)] // of a curve
fn count(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_end_at_numbers_that_read_well() {
        let rounded = [0.0, 0.3, 1.0, 3.2, 51.0, 1_900.0].map(rounded_up);
        assert_eq!(rounded.map(short), ["1", "0.5", "1", "5", "100", "2000"]);
    }
}
