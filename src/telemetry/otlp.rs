//! Exports spans to an OpenTelemetry collector: OTLP over HTTP, encoded as JSON.
//!
//! What cannot be sent is dropped and counted. A collector that is away delays nothing else.

use std::time::{Duration, SystemTime};

use metrics::counter;
use serde_json::{Value, json};
use tokio::{
    sync::mpsc,
    time::{Instant, timeout, timeout_at},
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    metric,
    span::{Span, SpanValue},
    throttle::LogThrottle,
    tracer,
};
use crate::{
    config::TraceConfig,
    outgoing::{AddressPolicy, ClientError, ClientOptions, HttpClient, Schemes},
};

/// Spans of one request.
const BATCH: usize = 512;
/// How long the first span of a request waits for others.
const BATCH_DELAY: Duration = Duration::from_secs(1);
/// How long the collector may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long spans are sent at the end of the process.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// Longest answer of the collector that is read, in bytes.
const MAX_ANSWER: usize = 64 * 1024;

/// Sends spans until stopped.
pub struct Exporter {
    client: HttpClient,
    url: String,
    /// What is told of this process.
    resource: Value,
    spans: mpsc::Receiver<Span>,
}

/// Switches tracing on if the configuration names a collector. `kind` says what the process is. `None` if it does not, or if
/// tracing is on already, as in tests.
pub fn start_tracing(
    config: &TraceConfig,
    kind: &'static str,
) -> Result<Option<Exporter>, ClientError> {
    let Some(endpoint) = &config.otlp_endpoint else {
        return Ok(None);
    };
    let client = HttpClient::new(ClientOptions {
        addresses: AddressPolicy::Any,
        schemes: Schemes::HttpAndHttps,
        timeout: PATIENCE,
        max_body: MAX_ANSWER,
    })?;
    let Some(spans) = tracer::start(config.sample_ratio) else {
        return Ok(None);
    };
    Ok(Some(Exporter {
        client,
        url: format!("{}/v1/traces", endpoint.trim_end_matches('/')),
        resource: json!({"attributes": [
            text_attribute("service.name", "flashsale"),
            text_attribute("service.version", env!("CARGO_PKG_VERSION")),
            text_attribute("service.instance.id", &Uuid::now_v7().to_string()),
            text_attribute("flashsale.process.kind", kind),
        ]}),
        spans,
    }))
}

impl Exporter {
    /// Sends what comes until stopped, then what is left.
    pub async fn run(mut self, stop: CancellationToken) {
        loop {
            let first = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                first = self.spans.recv() => first,
            };
            let Some(first) = first else {
                break;
            };
            let mut batch = vec![first];
            let until = Instant::now() + BATCH_DELAY;
            while batch.len() < BATCH {
                let room = BATCH - batch.len();
                let more = self.spans.recv_many(&mut batch, room);
                let more = tokio::select! {
                    () = stop.cancelled() => break,
                    more = timeout_at(until, more) => more,
                };
                if more.is_err() {
                    break;
                }
            }
            self.send(&batch).await;
        }
        self.spans.close();
        let mut rest = Vec::new();
        while self.spans.recv_many(&mut rest, BATCH).await > 0 {
            if timeout(LAST_WORDS, self.send(&rest)).await.is_err() {
                return;
            }
            rest.clear();
        }
    }

    async fn send(&self, spans: &[Span]) {
        static LOG_THROTTLE: LogThrottle = LogThrottle::new();
        let body = encode(&self.resource, spans).to_string().into_bytes();
        let headers = [("content-type", "application/json")];
        let cause = match self.client.post(&self.url, &headers, body).await {
            Ok(answer) if (200..300).contains(&answer.status) => None,
            Ok(answer) => Some(format!("status {}", answer.status)),
            Err(error) => Some(error.to_string()),
        };
        let outcome = if cause.is_none() {
            "exported"
        } else {
            "failed"
        };
        counter!(metric::TRACE_SPANS, "outcome" => outcome).increment(spans.len() as u64);
        if let Some(cause) = cause
            && let Some(suppressed) = LOG_THROTTLE.allow_counting()
        {
            tracing::warn!(
                cause,
                spans = spans.len(),
                suppressed,
                "spans cannot be exported (OTLP_ENDPOINT)"
            );
        }
    }
}

/// A request of OTLP's `TraceService`.
fn encode(resource: &Value, spans: &[Span]) -> Value {
    let spans: Vec<Value> = spans.iter().map(encode_span).collect();
    json!({"resourceSpans": [{
        "resource": resource,
        "scopeSpans": [{
            "scope": {"name": "flashsale", "version": env!("CARGO_PKG_VERSION")},
            "spans": spans,
        }],
    }]})
}

fn encode_span(span: &Span) -> Value {
    let attributes = span.attributes.iter().map(|(key, value)| match value {
        SpanValue::Text(text) => text_attribute(key, text),
        // 64-bit numbers are texts in protobuf's JSON.
        SpanValue::Number(number) => {
            json!({"key": key, "value": {"intValue": number.to_string()}})
        }
    });
    let mut encoded = json!({
        "traceId": span.context.trace.to_string(),
        "spanId": span.context.span.to_string(),
        "name": span.name,
        "kind": span.kind as u8,
        "startTimeUnixNano": nanos(span.start),
        "endTimeUnixNano": nanos(span.end),
        "attributes": attributes.collect::<Vec<_>>(),
        "flags": 1,
    });
    if let Some(fields) = encoded.as_object_mut() {
        if let Some(parent) = span.parent {
            fields.insert("parentSpanId".to_owned(), parent.to_string().into());
        }
        if span.is_error {
            // STATUS_CODE_ERROR
            fields.insert("status".to_owned(), json!({"code": 2}));
        }
    }
    encoded
}

fn text_attribute(key: &str, value: &str) -> Value {
    json!({"key": key, "value": {"stringValue": value}})
}

/// Nanoseconds since 1970.
fn nanos(at: SystemTime) -> String {
    let since = at.duration_since(SystemTime::UNIX_EPOCH);
    since.unwrap_or_default().as_nanos().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::{SpanContext, SpanKind};

    #[test]
    fn a_span_is_encoded_as_otlp_s_json_says() {
        let context =
            SpanContext::parse(b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01").unwrap();
        let at = |secs| SystemTime::UNIX_EPOCH + Duration::from_secs(secs);
        let span = Span {
            context,
            parent: Some(context.span),
            name: "settle".to_owned(),
            kind: SpanKind::Consumer,
            start: at(1_767_268_800),
            end: at(1_767_268_801),
            attributes: vec![
                ("n", SpanValue::Number(7)),
                ("t", SpanValue::Text("x".to_owned())),
            ],
            is_error: true,
        };
        let expected = json!({
            "traceId": "0af7651916cd43dd8448eb211c80319c",
            "spanId": "b7ad6b7169203331",
            "parentSpanId": "b7ad6b7169203331",
            "name": "settle",
            "kind": 5,
            "startTimeUnixNano": "1767268800000000000",
            "endTimeUnixNano": "1767268801000000000",
            "attributes": [
                {"key": "n", "value": {"intValue": "7"}},
                {"key": "t", "value": {"stringValue": "x"}},
            ],
            "flags": 1,
            "status": {"code": 2},
        });
        assert_eq!(encode_span(&span), expected);
    }
}
