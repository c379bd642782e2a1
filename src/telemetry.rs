//! Logs, metrics and traces of a process.
//!
//! `metric` is the table of all metrics; `registry` counts them and `page` writes them in Prometheus' text format, with those
//! of `process`, which the kernel keeps. `log` writes lines as text or JSON, with the ids of the `request` that the task answers, and
//! `throttle` limits how many. `tracer` decides what is traced, and `otlp` exports the spans.

mod calls;
mod histogram;
mod log;
pub mod metric;
mod otlp;
mod page;
mod process;
mod registry;
mod request;
mod span;
mod throttle;
mod trace_context;
mod tracer;

pub use calls::CallDurations;
pub use log::start_logging;
pub use otlp::{Exporter, start_tracing};
pub use page::{MetricsPage, start_metrics};
pub use registry::{forget, sample};
pub use request::{RequestContext, RequestId, current_span};
pub use span::{Span, SpanKind};
pub use throttle::LogThrottle;
pub use trace_context::{SpanContext, SpanId, TraceId};
pub use tracer::{TracedAttempt, note_attempt, traced_attempt_of, traced_attempts};
