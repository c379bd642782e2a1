//! Logs and metrics of a process.

use std::{
    fmt,
    io::IsTerminal,
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use tracing::{Event, Subscriber};
use tracing_subscriber::{
    EnvFilter,
    field::MakeExt,
    fmt::{
        FmtContext, FormatEvent, FormatFields,
        format::{Writer, debug_fn},
    },
    registry::LookupSpan,
};

use crate::{
    config::TelemetryConfig,
    terminal::{Plain, shown_json},
};

/// Bounds of the buckets of every `…_seconds` histogram.
const SECONDS: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];
/// Log levels of targets that the setting does not name. Most are libraries that log too much detail, or log errors that this
/// program handles and logs itself: actix-http writes a line at ERROR for every request that is not HTTP. The security log is
/// written whatever the level of other targets.
const DEFAULT_DIRECTIVES: &[&str] = &[
    "rskafka=off",
    "fred=error",
    "tokio_postgres=warn",
    "actix_http=off",
    "security=info",
];

/// Limits a log line that would be written with every request while a server is down: the first is allowed, then one every 5 s.
pub struct LogThrottle {
    /// When the last line was allowed, in milliseconds since the first call; 0: never.
    last_ms: AtomicU64,
    /// Lines that were not allowed since then.
    suppressed: AtomicU64,
}

impl LogThrottle {
    /// Minimum time between two lines.
    const PAUSE: Duration = Duration::from_secs(5);

    #[must_use]
    pub const fn new() -> Self {
        Self {
            last_ms: AtomicU64::new(0),
            suppressed: AtomicU64::new(0),
        }
    }

    /// True if the line may be written now; the next one then has to wait.
    pub fn allow(&self) -> bool {
        self.allow_counting().is_some()
    }

    /// Like [`allow`](Self::allow), with the number of lines that were suppressed since the last one.
    pub fn allow_counting(&self) -> Option<u64> {
        static START: LazyLock<Instant> = LazyLock::new(Instant::now);
        let now = u64::try_from(START.elapsed().as_millis()).unwrap_or(u64::MAX) + 1;
        let last = self.last_ms.load(Ordering::Relaxed);
        let pause = u64::try_from(Self::PAUSE.as_millis()).unwrap_or(u64::MAX);
        let is_due = (last == 0 || now.saturating_sub(last) >= pause)
            && self
                .last_ms
                .compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok();
        if is_due {
            Some(self.suppressed.swap(0, Ordering::Relaxed))
        } else {
            self.suppressed.fetch_add(1, Ordering::Relaxed);
            None
        }
    }
}

impl Default for LogThrottle {
    fn default() -> Self {
        Self::new()
    }
}

/// Starts logging to standard error. Standard output is for the results of commands.
pub fn start_logging(config: &TelemetryConfig) {
    // Of two directives for one target the last one counts, so the setting overrides the defaults.
    let filter = EnvFilter::new(format!("{},{}", DEFAULT_DIRECTIVES.join(","), config.level));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        // A line that cannot be written is lost. By default the failure is reported on standard error, where it panics: the end of a log
        // collector would end the tasks that log, and among them the one that waits for signals.
        .log_internal_errors(false)
        .with_ansi(std::io::stderr().is_terminal());
    // A second call in one process, as in tests, keeps the first logger.
    let _ = if config.json {
        log.json().map_event_format(SafeJson).try_init()
    } else {
        let fields = debug_fn(write_field).delimited(" ");
        log.with_target(false).fmt_fields(fields).try_init()
    };
}

/// A log line in JSON, in which characters that a terminal obeys are escaped, also those that JSON allows as they are.
struct SafeJson<F>(F);

impl<S, N, F> FormatEvent<S, N> for SafeJson<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut line = String::new();
        self.0
            .format_event(context, Writer::new(&mut line), event)?;
        writer.write_str(&shown_json(&line))
    }
}

/// Writes a field of a text line. Line breaks and characters that a terminal obeys are escaped.
fn write_field(
    writer: &mut Writer<'_>,
    field: &tracing::field::Field,
    value: &dyn fmt::Debug,
) -> fmt::Result {
    let value = Plain(format!("{value:?}"));
    match (field.name(), writer.has_ansi_escapes()) {
        ("message", _) => write!(writer, "{value}"),
        (name, true) => write!(writer, "\u{1b}[3m{name}\u{1b}[0m\u{1b}[2m=\u{1b}[0m{value}"),
        (name, false) => write!(writer, "{name}={value}"),
    }
}

/// Starts recording metrics. The handle renders them.
pub fn start_metrics() -> Result<PrometheusHandle, BuildError> {
    let recorder = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), SECONDS)?
        .build_recorder();
    let handle = recorder.handle();
    // A second call in one process, as in tests, returns the handle of its own recorder, which stays empty.
    let _ = metrics::set_global_recorder(recorder);
    Ok(handle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_lines_at_once_only_the_first_is_allowed() {
        let throttle = LogThrottle::new();
        assert_eq!((0..1_000).filter(|_| throttle.allow()).count(), 1);
    }

    /// Collects the log lines of a test.
    #[derive(Clone, Default)]
    struct Lines(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);

    impl std::io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn text_log(lines: &Lines) -> impl Subscriber + Send + Sync + use<> {
        let writer = lines.clone();
        tracing_subscriber::fmt()
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .fmt_fields(debug_fn(write_field).delimited(" "))
            .finish()
    }

    fn json_log(lines: &Lines) -> impl Subscriber + Send + Sync + use<> {
        let writer = lines.clone();
        tracing_subscriber::fmt()
            .with_writer(move || writer.clone())
            .json()
            .map_event_format(SafeJson)
            .finish()
    }

    #[test]
    fn a_hostile_name_is_escaped_once_in_the_security_log() {
        let hostile = "joe\u{1b}[2J\u{202e}\n\"x\\";
        let [text, json] = [false, true].map(|is_json| {
            let lines = Lines::default();
            // Like the line that `security` writes.
            let write =
                || tracing::info!(target: "security", who = hostile, about = hostile, "security");
            if is_json {
                tracing::subscriber::with_default(json_log(&lines), write);
            } else {
                tracing::subscriber::with_default(text_log(&lines), write);
            }
            String::from_utf8(lines.0.lock().unwrap().clone()).unwrap()
        });
        for line in [&text, &json] {
            assert_eq!(line.lines().count(), 1, "{line}");
            assert!(
                !line.trim_end().chars().any(crate::terminal::is_obeyed),
                "{line:?}"
            );
        }
        let escaped = r#""joe\u{1b}[2J\u{202e}\n\"x\\""#;
        for field in ["who", "about"] {
            assert!(text.contains(&format!("{field}={escaped}")), "{text}");
        }
        assert!(json.contains(r"joe\u001b[2J\u202e\n"), "{json}");
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        for field in ["who", "about"] {
            assert_eq!(json["fields"][field], hostile, "{json}");
        }
    }

    #[test]
    fn nothing_in_a_line_of_text_is_obeyed_by_a_terminal() {
        let lines = Lines::default();
        let log = text_log(&lines);
        let hostile = "a\u{1b}[2J\u{7}\r\u{9b}b\u{202e}c\nforged";
        tracing::subscriber::with_default(log, || {
            tracing::warn!(error = %hostile, text = hostile, debug = ?hostile, "said {hostile}");
        });
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(
            !text.trim_end().chars().any(crate::terminal::is_obeyed),
            "{text:?}"
        );
        assert_eq!(text.matches("forged").count(), 4, "{text}");
        assert!(text.contains("error=a\\u{1b}[2J"), "{text}");
    }
}
