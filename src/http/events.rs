//! Answers that are streams of server-sent events (HTML, 9.2).

use std::{
    convert::Infallible,
    hash::{BuildHasher, RandomState},
    ops::Range,
    time::Duration,
};

use actix_web::{
    HttpRequest, HttpResponse,
    http::{
        Method,
        header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue},
    },
    web::Bytes,
};
use futures::{Stream, StreamExt, stream};

/// A comment line, which clients ignore. It shows proxies and clients that the connection is alive.
pub const HEARTBEAT: Bytes = Bytes::from_static(b":\n\n");
/// Time between two heartbeats. It varies, so that the heartbeats of thousands of streams that began together spread out.
const HEARTBEAT_MILLIS: Range<u64> = 12_000..18_000;
/// Time after which a client connects again, in milliseconds.
const RETRY_MILLIS: Range<u64> = 2_000..5_000;
/// Time in seconds after which a client that was refused a stream tries again. It varies, so that thousands of clients that were
/// refused together do not come together again.
const REFUSED_SECS: Range<u64> = 5..16;
/// A header that makes nginx pass on an answer without buffering it.
const UNBUFFERED: HeaderName = HeaderName::from_static("x-accel-buffering");

/// One event. `data` must not contain a line break; serialized JSON contains none.
#[must_use]
pub fn event(name: &str, id: Option<u64>, data: &str) -> Bytes {
    let id = id.map_or_else(String::new, |id| format!("id: {id}\n"));
    format!("event: {name}\n{id}data: {data}\n\n").into()
}

/// The time until the next heartbeat.
#[must_use]
pub fn until_heartbeat() -> Duration {
    Duration::from_millis(random_in(HEARTBEAT_MILLIS))
}

/// The time after which a client that was refused a stream tries again.
#[must_use]
pub fn until_retry() -> Duration {
    Duration::from_secs(random_in(REFUSED_SECS))
}

/// The answer with this stream of events. The answer to HEAD has the headers alone. The connection is closed when the stream ends.
pub fn stream_of(
    request: &HttpRequest,
    events: impl Stream<Item = Bytes> + 'static,
) -> HttpResponse {
    let mut answer = HttpResponse::Ok();
    answer
        .insert_header((CONTENT_TYPE, HeaderValue::from_static("text/event-stream")))
        .insert_header((CACHE_CONTROL, HeaderValue::from_static("no-store")))
        .insert_header((UNBUFFERED, HeaderValue::from_static("no")))
        .force_close();
    if request.method() == Method::HEAD {
        return answer.finish();
    }
    let retry = format!("retry: {}\n\n", random_in(RETRY_MILLIS));
    let first = stream::iter([Bytes::from(retry)]);
    answer.streaming(first.chain(events).map(Ok::<_, Infallible>))
}

/// True if a request asks for the stream itself, and not for its headers alone.
#[must_use]
pub fn wants_stream(request: &HttpRequest) -> bool {
    request.method() != Method::HEAD
}

/// A number that varies enough for jitter. It must not be used as a secret.
fn random_in(range: Range<u64>) -> u64 {
    range.start + RandomState::new().hash_one(0) % (range.end - range.start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_written_as_clients_read_them() {
        assert_eq!(
            event("sale", Some(3), "{}"),
            "event: sale\nid: 3\ndata: {}\n\n"
        );
        assert_eq!(event("ready", None, "{}"), "event: ready\ndata: {}\n\n");
    }

    #[test]
    fn refused_clients_come_back_spread_over_ten_seconds() {
        let drawn: std::collections::BTreeSet<_> =
            (0..1_000).map(|_| until_retry().as_secs()).collect();
        assert_eq!(drawn, (5..=15).collect());
    }

    #[test]
    fn times_are_spread_over_their_range() {
        let drawn: Vec<_> = (0..1_000).map(|_| random_in(HEARTBEAT_MILLIS)).collect();
        assert!(drawn.iter().all(|millis| HEARTBEAT_MILLIS.contains(millis)));
        let in_first_half = drawn.iter().filter(|millis| **millis < 15_000).count();
        assert!((300..700).contains(&in_first_half), "{in_first_half}");
    }
}
