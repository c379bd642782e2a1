//! The tables of docs/PERFORMANCE.md, written by the run itself.

use std::{fmt::Write, fs, path::PathBuf, time::Duration};

use crate::{
    growth::{Growth, Row},
    measure::{CONNECTIONS, Latency, Measured},
    paths::Findings,
    plot,
};

/// What the bare handler with a token is called: what sold-out answers and sale status are compared with.
const WITH_TOKEN: &str = "bare handler, token";
const SERVERS: [&str; 5] = ["API", "worker", "Redis", "Kafka", "PostgreSQL"];

fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("docs")
        .join(name)
}

/// Puts a text between the marks of its part.
fn put(part: &str, text: &str) {
    let path = file("PERFORMANCE.md");
    let document = fs::read_to_string(&path).unwrap();
    let begin = format!("<!-- {part}: written by `make bench`; changes by hand are lost. -->\n");
    let end = format!("<!-- {part}: end. -->");
    let (before, rest) = document
        .split_once(&begin)
        .unwrap_or_else(|| panic!("docs/PERFORMANCE.md has no {begin}"));
    let (_, after) = rest.split_once(&end).expect("the part has an end");
    fs::write(&path, format!("{before}{begin}{text}{end}{after}")).unwrap();
    println!("{part}: written to {}", path.display());
}

pub fn write_paths(findings: &Findings, time: Duration) {
    let rate = |name: &str| {
        let mut all = findings.measured.iter();
        all.find(|measured| measured.name == name)
            .map(|measured| measured.rate)
    };
    let mut text = format!(
        "{CONNECTIONS} connections, {} s each at full speed and again at half of the rate that was reached; latencies in ms, processor \
         time in µs a request.\n\n",
        time.as_secs()
    );
    text += "| path | rate | of the bare handler | with token | p50 | p99 | p99.9 | at half: p99 | p99.9 | API | worker | Redis | Kafka | PostgreSQL | load |\n";
    text += "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n";
    for measured in &findings.measured {
        let share = |of: &str| {
            rate(of).map_or(String::new(), |of| {
                format!("{:.0} %", measured.rate / of * 100.0)
            })
        };
        let half = |of: fn(&Latency) -> f64| {
            measured
                .half
                .as_ref()
                .map_or(String::new(), |half| format!("{:.1}", of(half)))
        };
        let _ = write!(
            text,
            "| {} | {} | {} | {} | {:.1} | {:.1} | {:.1} | {} | {} |",
            measured.name,
            thousands(measured.rate),
            share("bare handler"),
            share(WITH_TOKEN),
            measured.full.p50,
            measured.full.p99,
            measured.full.p999,
            half(|half| half.p99),
            half(|half| half.p999),
        );
        cpu_cells(&mut text, measured);
    }
    let drain = &findings.drain;
    let cpu: Vec<_> = drain
        .cpu
        .iter()
        .map(|(name, micros)| format!("{name} {micros:.1} µs"))
        .collect();
    let _ = write!(
        text,
        "\nWhen the last attempt was accepted at full speed, {:.1} % of the orders stood, made by one worker. A backlog of {} attempts \
         was drained by one worker at {} orders/s ({} an order). Afterwards the API had {:.0} MB in memory, and `flashsale audit` \
         found every promise kept.\n",
        findings.persisted * 100.0,
        thousands(drain.orders as f64),
        thousands(drain.rate),
        cpu.join(", "),
        findings.api_memory_mb,
    );
    put("paths", &text);
}

fn cpu_cells(text: &mut String, measured: &Measured) {
    for name in SERVERS.iter().chain(&["load"]) {
        let _ = match measured.cpu_of(name) {
            Some(micros) => write!(text, " {micros:.1} |"),
            None => write!(text, " |"),
        };
    }
    text.push('\n');
}

pub fn write_growth(growth: &Growth) {
    let mut text = String::new();
    for table in &growth.tables {
        let _ = writeln!(text, "**{}**\n", table.title);
        let _ = writeln!(text, "| {} | {} |", table.of, table.columns.join(" | "));
        let _ = writeln!(text, "| --- |{}", " --- |".repeat(table.columns.len()));
        for Row { at, values } in &table.rows {
            let cells: Vec<_> = values.iter().map(|value| number(*value)).collect();
            let _ = writeln!(text, "| {} | {} |", thousands(*at), cells.join(" | "));
        }
        text.push('\n');
    }
    text += "![Rates and costs as the system grows](growth.svg)\n";
    fs::write(file("growth.svg"), plot::svg(&growth.tables)).unwrap();
    put("growth", &text);
}

fn number(value: f64) -> String {
    if value >= 1_000.0 {
        thousands(value)
    } else {
        format!("{value:.1}")
    }
}

/// 12,345.
pub fn thousands(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
