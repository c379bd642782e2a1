//! Holds the values of all metrics of the process. Call sites use the macros of the crate `metrics`; this is its recorder.
//!
//! Values are kept in memory of a fixed size, also those of histograms, whether somebody reads them or not.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap},
    fmt::Write,
    sync::{
        Arc, LazyLock, Mutex, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
};

use metrics::{Counter, Gauge, Histogram, Key, KeyName, Label, Metadata, SharedString, Unit};

use super::{
    histogram::Buckets,
    metric::{self, Kind, Metric},
};

/// Series that a metric may have; more are not counted.
const MAX_SERIES: usize = 2_000;

static REGISTRY: LazyLock<Registry> = LazyLock::new(Registry::new);

/// The values of all metrics.
pub(super) struct Registry {
    families: HashMap<&'static str, Family>,
    sampled: Mutex<Vec<Sampled>>,
}

/// A metric with its series, by their labels as they are written.
pub(super) struct Family {
    pub(super) metric: &'static Metric,
    series: RwLock<BTreeMap<String, Series>>,
}

/// The value of a metric for some labels.
#[derive(Clone)]
pub(super) enum Series {
    Counter(Arc<AtomicU64>),
    /// The bits of an `f64`.
    Gauge(Arc<AtomicU64>),
    Histogram(Arc<Buckets>),
}

/// Values by name and labels.
pub(super) type Samples = BTreeMap<&'static str, BTreeMap<String, f64>>;

/// A gauge that is read when somebody asks.
struct Sampled {
    name: &'static str,
    labels: String,
    read: Box<dyn Fn() -> Option<f64> + Send + Sync>,
}

/// Starts recording metrics of a process of this kind. A second call in one process, as in tests, returns the same ones.
pub(super) fn start(kind: &'static str) -> &'static Registry {
    // An error: they are recorded already.
    let _ = metrics::set_global_recorder(&*REGISTRY);
    metrics::gauge!(metric::BUILD_INFO, "version" => env!("CARGO_PKG_VERSION"), "kind" => kind)
        .set(1.0);
    &REGISTRY
}

/// Reads this gauge whenever the metrics are asked for, until the function returns `None`. It must not wait. Several with the same
/// labels are added up.
pub fn sample(
    name: &'static str,
    labels: &[(&'static str, &'static str)],
    read: impl Fn() -> Option<f64> + Send + Sync + 'static,
) {
    let labels: Vec<_> = labels.iter().map(Label::from).collect();
    let labels = REGISTRY
        .families
        .get(name)
        .map(|family| family.written(&labels));
    let Some(Some(labels)) = labels else {
        return debug_assert!(false, "{name} is not in the table with these labels");
    };
    let mut sampled = lock(&REGISTRY.sampled);
    sampled.retain(|other| (other.read)().is_some());
    sampled.push(Sampled {
        name,
        labels,
        read: Box::new(read),
    });
}

/// Removes a series, as of a sale that is over.
pub fn forget(name: &'static str, labels: &[(&'static str, String)]) {
    let labels: Vec<_> = labels.iter().map(Label::from).collect();
    if let Some(family) = REGISTRY.families.get(name)
        && let Some(labels) = family.written(&labels)
    {
        let mut series = family
            .series
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        series.remove(&labels);
    }
}

impl Registry {
    fn new() -> Self {
        let families = metric::all().map(|metric| (metric.name, Family::new(metric)));
        Self {
            families: families.collect(),
            sampled: Mutex::default(),
        }
    }

    pub(super) fn family(&self, name: &str) -> Option<&Family> {
        self.families.get(name)
    }

    /// Reads the gauges that are read when somebody asks, and drops those that are gone: their values by name.
    pub(super) fn sampled(&self) -> Samples {
        let mut values = Samples::new();
        lock(&self.sampled).retain(|sampled| {
            let value = (sampled.read)();
            if let Some(value) = value {
                let of_name = values.entry(sampled.name).or_default();
                *of_name.entry(sampled.labels.clone()).or_default() += value;
            }
            value.is_some()
        });
        values
    }

    /// `None` also if the metric has all series that it may have.
    fn series(&self, key: &Key) -> Option<Series> {
        let family = self.families.get(key.name());
        let labels: Vec<_> = key.labels().cloned().collect();
        let known = family.and_then(|family| Some((family, family.written(&labels)?)));
        debug_assert!(
            known.is_some(),
            "{key} is not in the table with these labels"
        );
        let (family, labels) = known?;
        family.series(&labels)
    }
}

impl Family {
    fn new(metric: &'static Metric) -> Self {
        let family = Self {
            metric,
            series: RwLock::default(),
        };
        // A rate needs to know that it was 0 before.
        if metric.kind == Kind::Counter && metric.labels.is_empty() {
            family.series("");
        }
        family
    }

    /// The labels as they are written, in the order of the table. `None` if they are not the metric's.
    fn written(&self, labels: &[Label]) -> Option<String> {
        if labels.len() != self.metric.labels.len() {
            return None;
        }
        let mut written = String::new();
        for name in self.metric.labels {
            let label = labels.iter().find(|label| label.key() == *name)?;
            if !written.is_empty() {
                written.push(',');
            }
            let _ = write!(written, "{name}=\"{}\"", escaped(label.value()));
        }
        Some(written)
    }

    fn series(&self, labels: &str) -> Option<Series> {
        let known = self.series.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(series) = known.get(labels) {
            return Some(series.clone());
        }
        drop(known);
        let mut series = self.series.write().unwrap_or_else(PoisonError::into_inner);
        if series.len() >= MAX_SERIES && !series.contains_key(labels) {
            return None;
        }
        let made = series.entry(labels.to_owned());
        Some(
            made.or_insert_with(|| Series::new(self.metric.kind))
                .clone(),
        )
    }

    pub(super) fn all(&self) -> Vec<(String, Series)> {
        let series = self.series.read().unwrap_or_else(PoisonError::into_inner);
        let all = series
            .iter()
            .map(|(labels, series)| (labels.clone(), series.clone()));
        all.collect()
    }
}

impl Series {
    fn new(kind: Kind) -> Self {
        match kind {
            Kind::Counter => Self::Counter(Arc::default()),
            Kind::Gauge => Self::Gauge(Arc::new(AtomicU64::new(0.0_f64.to_bits()))),
            Kind::Histogram(bounds) => Self::Histogram(Arc::new(Buckets::new(bounds))),
        }
    }
}

/// Help and units come from the table.
impl metrics::Recorder for Registry {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        match self.series(key) {
            Some(Series::Counter(count)) => Counter::from_arc(count),
            _ => Counter::noop(),
        }
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        match self.series(key) {
            Some(Series::Gauge(value)) => Gauge::from_arc(value),
            _ => Gauge::noop(),
        }
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        match self.series(key) {
            Some(Series::Histogram(buckets)) => Histogram::from_arc(buckets),
            _ => Histogram::noop(),
        }
    }
}

/// The value of a label in the text format.
fn escaped(value: &str) -> Cow<'_, str> {
    if !value.contains(['\\', '"', '\n']) {
        return value.into();
    }
    value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
        .into()
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(super) fn value_of(gauge: &AtomicU64) -> f64 {
    f64::from_bits(gauge.load(Ordering::Relaxed))
}

#[cfg(test)]
mod tests {
    use metrics::Recorder;

    use super::*;

    #[test]
    fn labels_are_written_in_the_order_of_the_table_and_escaped() {
        let registry = Registry::new();
        let family = registry.family(metric::SESSION_CHANGES).unwrap();
        let labels = [
            Label::new("outcome", "a\"b\\\n"),
            Label::new("change", "reset"),
        ];
        assert_eq!(
            family.written(&labels).unwrap(),
            r#"change="reset",outcome="a\"b\\\n""#
        );
        assert_eq!(family.written(&labels[..1]), None);
    }

    #[test]
    fn a_metric_has_a_limited_number_of_series() {
        let registry = Registry::new();
        let count = |outcome: String| {
            let key = Key::from_parts(metric::LOGINS, vec![Label::new("outcome", outcome)]);
            let metadata = Metadata::new(module_path!(), metrics::Level::INFO, None);
            let counter = registry.register_counter(&key, &metadata);
            counter.increment(1);
        };
        for index in 0..MAX_SERIES {
            count(index.to_string());
        }
        count("more".to_owned());
        count("0".to_owned());

        let series = registry.family(metric::LOGINS).unwrap().all();
        assert_eq!(series.len(), MAX_SERIES, "one more is not counted");
        let known = series.iter().find(|(labels, _)| labels == "outcome=\"0\"");
        let Some((_, Series::Counter(value))) = known else {
            panic!("no counter of outcome 0");
        };
        assert_eq!(value.load(Ordering::Relaxed), 2, "known ones go on");
    }
}
