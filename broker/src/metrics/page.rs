//! Writes families of metrics.

use std::fmt;

use mainspring::Histogram;
use prometheus_client::{
    encoding::{DescriptorEncoder, EncodeGaugeValue, NoLabelSet},
    metrics::MetricType,
};

/// Names and values that tell the series of a family apart.
pub(super) type Labels<'a> = &'a [(&'a str, &'a str)];

/// A histogram: its sum, and its classes by upper bound.
pub(super) type Classes<'a> = (f64, &'a [(f64, u64)]);

/// What families are written to.
#[derive(Debug)]
pub(super) struct Page<'a>(pub(super) DescriptorEncoder<'a>);

impl Page<'_> {
    /// A family of one number that goes up and down.
    pub(super) fn gauge(&mut self, name: &str, help: &str, value: impl EncodeGaugeValue) -> fmt::Result {
        self.gauges(name, help, |add| add(&[], value))
    }

    /// A family of numbers that go up and down: `each` is given what adds a series.
    pub(super) fn gauges<V: EncodeGaugeValue>(
        &mut self,
        name: &str,
        help: &str,
        each: impl FnOnce(&mut dyn FnMut(Labels<'_>, V) -> fmt::Result) -> fmt::Result,
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        each(&mut |labels, value| family.encode_family(&labels)?.encode_gauge(&value))
    }

    /// A family of one number that grows. `_total` is added to its name.
    pub(super) fn counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        self.counters(name, help, |add| add(&[], value))
    }

    /// A family of numbers that grow. `_total` is added to its name.
    pub(super) fn counters(
        &mut self,
        name: &str,
        help: &str,
        each: impl FnOnce(&mut dyn FnMut(Labels<'_>, u64) -> fmt::Result) -> fmt::Result,
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        each(&mut |labels, value| {
            family.encode_family(&labels)?.encode_counter::<NoLabelSet, _, f64>(&value, None)
        })
    }

    /// A family of one histogram. Values are divided by `unit`.
    #[expect(clippy::cast_precision_loss, reason = "sums are shown with the digits of a double")]
    pub(super) fn histogram(
        &mut self,
        name: &str,
        help: &str,
        (histogram, unit): (&Histogram, f64),
    ) -> fmt::Result {
        let bound = |bound: Option<u64>| bound.map_or(f64::INFINITY, |bound| bound as f64 / unit);
        let classes: Vec<_> = histogram.classes().map(|(most, count)| (bound(most), count)).collect();
        self.classes(name, help, (histogram.sum() as f64 / unit, &classes))
    }

    /// A family of one histogram, from its sum and its classes: upper bound ([`f64::INFINITY`] for none) and count.
    pub(super) fn classes(&mut self, name: &str, help: &str, (sum, classes): Classes<'_>) -> fmt::Result {
        self.histograms(name, help, |add| add(&[], (sum, classes)))
    }

    /// A family of histograms, each as in [`Page::classes`].
    pub(super) fn histograms(
        &mut self,
        name: &str,
        help: &str,
        each: impl FnOnce(&mut dyn FnMut(Labels<'_>, Classes<'_>) -> fmt::Result) -> fmt::Result,
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Histogram)?;
        each(&mut |labels, (sum, classes)| {
            let count = classes.iter().map(|(_, count)| count).sum();
            family.encode_family(&labels)?.encode_histogram::<NoLabelSet>(sum, count, classes, None)
        })
    }
}
