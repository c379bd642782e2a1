//! The table of docs/RELIABILITY.md, written by the run itself.

use std::{collections::BTreeMap, fmt::Write, fs, path::PathBuf, time::Duration};

use flashsale::config::Config;

use crate::{
    cell::{Row, Setting},
    client_log::Request,
    fault::{Fault, Part},
    limits,
    load::Pace,
    strike::LASTING,
};

const HEADING: &str = "## Faults on real servers";
const BEGIN: &str = "<!-- Written by `make faults`; changes by hand are lost. -->";
const END: &str = "<!-- End of what `make faults` writes. -->";

/// Puts the table between the marks of its section; makes what is missing. Rows of faults that were not run stay as they are,
/// those of faults that did harm go.
pub fn write(rows: &[Row], failed: &[Fault], setting: Setting, config: &Config) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/RELIABILITY.md");
    let text = fs::read_to_string(&path).unwrap_or_else(|_| "# Reliability\n".to_owned());
    let before = text.split(BEGIN).nth(1).unwrap_or_default();
    let mut lines: BTreeMap<String, String> = before
        .lines()
        .filter_map(|line| Some((name_of(line)?.to_owned(), line.to_owned())))
        .collect();
    for fault in failed {
        lines.remove(&fault.to_string());
    }
    lines.extend(rows.iter().map(|row| (row.fault.to_string(), row.cells())));
    let written = format!("{BEGIN}\n{}{END}", render(&lines, setting, config));
    let text = match (text.find(BEGIN), text.find(END)) {
        (Some(begin), Some(end)) => {
            format!("{}{written}{}", &text[..begin], &text[end + END.len()..])
        }
        _ => format!("{text}\n{HEADING}\n\n{written}\n"),
    };
    fs::write(&path, text).unwrap();
}

/// The first cell of a row.
fn name_of(line: &str) -> Option<&str> {
    let (name, _) = line.strip_prefix("| ")?.split_once(" | ")?;
    Some(name)
}

fn render(lines: &BTreeMap<String, String>, setting: Setting, config: &Config) -> String {
    let mut text = format!(
        "Load: {} attempts, {} questions about results and {} registrations a second, over two API nodes. Each sale has {} units, \
         and every one was sold in the end. What lasts, lasts {} s unless it says otherwise.\n\n",
        setting.pace.attempts_a_second(),
        setting.pace.results_a_second(),
        Pace::registrations_a_second(),
        setting.stock,
        LASTING.as_secs(),
    );
    text += "| what happens | answers to attempts until all is normal | other answers than 200 and 201 to the rest | longest wait for an attempt (limit) | normal after | last order after |\n";
    text += "| --- | --- | --- | --- | --- | --- |\n";
    for fault in Fault::all() {
        if let Some(line) = lines.get(&fault.to_string()) {
            let _ = writeln!(text, "{line}");
        }
    }
    let answer = |request, part| secs(limits::answer(request, Fault::Killed(part), config));
    let _ = write!(
        text,
        "\nLimits, from the configured timeouts: an attempt {} when Redis is hit, {} when Kafka is, {} otherwise; a result {}; \
         a registration {}. Where the fault itself holds the connection between shopper and API, its own time comes on top. \
         Normal again within {} of the end of the fault, and everything accepted settled within {}.\n",
        answer(Request::Attempt, Part::Redis),
        answer(Request::Attempt, Part::Kafka),
        answer(Request::Attempt, Part::Worker),
        answer(Request::Result, Part::Redis),
        answer(Request::Registration, Part::Postgres),
        secs(limits::BACK),
        secs(limits::recovery(config)),
    );
    text
}

impl Row {
    /// Its row of the table.
    fn cells(&self) -> String {
        format!(
            "| {} | {} | {} | {} ({}) | {} | {} |",
            self.fault,
            self.attempts(),
            self.rest(),
            secs(self.longest),
            secs(self.limit),
            secs(self.normal_after),
            secs(self.outcome.last_order_after)
        )
    }

    /// One line for whoever watches.
    pub fn line(&self) -> String {
        format!(
            "{}: {}; rest: {}; longest wait {} of {}; normal after {}; {} accepted, {} of them found nothing left; last order after {}",
            self.fault,
            self.attempts(),
            self.rest(),
            secs(self.longest),
            secs(self.limit),
            secs(self.normal_after),
            self.outcome.accepted,
            self.outcome.failed,
            secs(self.outcome.last_order_after)
        )
    }

    fn attempts(&self) -> String {
        self.listed(|request, _| request == Request::Attempt)
    }

    fn rest(&self) -> String {
        self.listed(|request, label| {
            request != Request::Attempt && !["200", "201", "400 result_not_found"].contains(&label)
        })
    }

    fn listed(&self, which: impl Fn(Request, &str) -> bool) -> String {
        let answers = self.answers.iter();
        let listed: Vec<_> = answers
            .filter(|((request, label), _)| which(*request, label))
            .map(|((request, label), count)| match request {
                Request::Attempt => format!("{count} × {label}"),
                Request::Result => format!("result {count} × {label}"),
                Request::Registration => format!("registration {count} × {label}"),
            })
            .collect();
        if listed.is_empty() {
            "none".to_owned()
        } else {
            listed.join(", ")
        }
    }
}

fn secs(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}
