//! Writes all metrics in Prometheus' text format 0.0.4.

use std::{
    collections::BTreeMap,
    fmt::Write,
    sync::{Arc, atomic::Ordering},
};

use super::{
    histogram::Buckets,
    metric::{self, Metric},
    process,
    registry::{self, Registry, Samples, Series, value_of},
};

/// Renders the metrics of the process.
pub type MetricsPage = Arc<dyn Fn() -> String + Send + Sync>;

/// Starts recording metrics of a process of this kind.
#[must_use]
pub fn start_metrics(kind: &'static str) -> MetricsPage {
    let registry = registry::start(kind);
    Arc::new(move || render(registry))
}

/// The page, in the order of the table. Metrics without a series are left out.
fn render(registry: &Registry) -> String {
    let mut page = String::with_capacity(64 * 1024);
    let mut sampled = registry.sampled();
    for (name, value) in process::read() {
        sampled.insert(name, BTreeMap::from([(String::new(), value)]));
    }
    for metric in metric::all() {
        write_metric(&mut page, registry, metric, &sampled);
    }
    page
}

fn write_metric(page: &mut String, registry: &Registry, metric: &Metric, sampled: &Samples) {
    let values = sampled.get(metric.name);
    let series = match (values, registry.family(metric.name)) {
        (None, Some(family)) => family.all(),
        _ => Vec::new(),
    };
    if series.is_empty() && values.is_none() {
        return;
    }
    let Metric {
        name, help, kind, ..
    } = metric;
    // Writing into a string cannot fail.
    let _ = writeln!(page, "# HELP {name} {help}\n# TYPE {name} {}", kind.word());
    for (labels, value) in values.into_iter().flatten() {
        write_sample(page, name, "", labels, "", *value);
    }
    for (labels, series) in series {
        match series {
            Series::Counter(count) => {
                #[allow(clippy::cast_precision_loss)] // Prometheus' values are f64
                write_sample(
                    page,
                    name,
                    "",
                    &labels,
                    "",
                    count.load(Ordering::Relaxed) as f64,
                );
            }
            Series::Gauge(value) => write_sample(page, name, "", &labels, "", value_of(&value)),
            Series::Histogram(buckets) => write_buckets(page, name, &labels, &buckets),
        }
    }
}

#[allow(clippy::cast_precision_loss)] // Prometheus' values are f64
fn write_buckets(page: &mut String, name: &str, labels: &str, buckets: &Buckets) {
    let counted = buckets.read();
    let mut total = 0;
    let bounds = buckets.bounds().iter().map(f64::to_string);
    let bounds = bounds.chain(["+Inf".to_owned()]);
    for (bound, count) in bounds.zip(counted.counts) {
        total += count;
        write_sample(
            page,
            name,
            "_bucket",
            labels,
            &format!("le=\"{bound}\""),
            total as f64,
        );
    }
    write_sample(page, name, "_sum", labels, "", counted.sum);
    write_sample(page, name, "_count", labels, "", total as f64);
}

fn write_sample(
    page: &mut String,
    name: &str,
    suffix: &str,
    labels: &str,
    bound: &str,
    value: f64,
) {
    let comma = if labels.is_empty() || bound.is_empty() {
        ""
    } else {
        ","
    };
    let _ = if labels.is_empty() && bound.is_empty() {
        writeln!(page, "{name}{suffix} {value}")
    } else {
        writeln!(page, "{name}{suffix}{{{labels}{comma}{bound}}} {value}")
    };
}
