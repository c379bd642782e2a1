//! The log: levels, and its two formats, text and JSON.

use std::{fmt, io::IsTerminal};

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

use super::request;
use crate::{
    config::TelemetryConfig,
    terminal::{Plain, shown_json},
};

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

/// Starts logging to standard error. Standard output is for the results of commands.
pub fn start_logging(config: &TelemetryConfig) {
    // Of two directives for one target the last one counts, so the setting overrides the defaults.
    let filter = EnvFilter::new(format!("{},{}", DEFAULT_DIRECTIVES.join(","), config.level));
    let is_terminal = std::io::stderr().is_terminal();
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        // Else a line that cannot be written panics, as when a log collector dies.
        .log_internal_errors(false)
        .with_ansi(is_terminal);
    // A second call in one process, as in tests, keeps the first logger.
    let _ = if config.json {
        log.json().map_event_format(SafeJson).try_init()
    } else {
        let fields = debug_fn(write_field).delimited(" ");
        let log = log.with_target(false).fmt_fields(fields);
        // The format is told itself, since the writer that it is given does not know it.
        log.map_event_format(|format| WithRequest(format.with_ansi(is_terminal)))
            .try_init()
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
        if let Some(object) = line.trim_end().strip_suffix('}') {
            line.truncate(object.len());
            request::write_json(&mut line)?;
            line.push_str("}\n");
        }
        writer.write_str(&shown_json(&line))
    }
}

/// A log line in text, with the ids of the request at its end.
struct WithRequest<F>(F);

impl<S, N, F> FormatEvent<S, N> for WithRequest<F>
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
        line.truncate(line.trim_end_matches('\n').len());
        request::write_text(&mut line)?;
        writeln!(writer, "{line}")
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::{RequestContext, RequestId, SpanContext};

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
            .map_event_format(WithRequest)
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
            tracing::warn!(error = %hostile, who = hostile, cause = ?hostile, "said {hostile}");
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

    #[tokio::test]
    async fn a_line_of_a_request_has_its_ids() {
        let parent = SpanContext::parse(b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
        let own = RequestContext::new(parent, RequestId::parse(b"cart-7"));
        let made = RequestContext::new(parent, None);
        let lines = Lines::default();
        let guard = tracing::subscriber::set_default(text_log(&lines));
        own.clone()
            .run(async { tracing::info!(sale = 7, "one") })
            .await;
        made.clone().run(async { tracing::info!("two") }).await;
        drop(guard);
        let guard = tracing::subscriber::set_default(json_log(&lines));
        own.run(async { tracing::info!(sale = 7, "one") }).await;
        made.run(async { tracing::info!("two") }).await;
        tracing::info!("three");
        drop(guard);
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 5, "{text}");
        let trace = "0af7651916cd43dd8448eb211c80319c";
        assert!(
            lines[0].ends_with(&format!("one sale=7 request_id=cart-7 trace_id={trace}")),
            "{text}"
        );
        assert!(
            lines[1].ends_with(&format!("two request_id={trace}")),
            "{text}"
        );
        let json = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap();
        for (line, id) in [(lines[2], "cart-7"), (lines[3], trace)] {
            assert_eq!(json(line)["request_id"], id, "{line}");
            assert_eq!(json(line)["trace_id"], trace, "{line}");
        }
        assert_eq!(json(lines[2])["fields"]["sale"], 7);
        assert!(json(lines[4]).get("request_id").is_none(), "{text}");
    }
}
