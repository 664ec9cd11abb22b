//! Numbers for operators, in the text format of Prometheus.
//!
//! INVARIANT: every metric and every label is named where a gateway starts; nothing that a client sends
//! becomes one, so their number has an end. What is counted is counted without a lock.

use std::{
    fmt::Write,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// All metrics of a process.
#[derive(Default)]
pub struct Registry {
    families: Mutex<Vec<Family>>,
}

/// Counters that only grow, one for each set of labels.
#[derive(Clone, Debug)]
pub struct Counters(Arc<[Cell]>);

/// How long things took.
#[derive(Clone, Debug)]
pub struct Histogram(Arc<Buckets>);

/// A number that comes and goes: one up for as long as the value lives that [`Gauge::hold`] returns.
#[derive(Clone, Debug, Default)]
pub struct Gauge(Arc<AtomicU64>);

/// One of what a gauge counts.
#[derive(Debug)]
#[must_use]
pub struct Held(Gauge);

#[derive(Debug)]
struct Cell {
    labels: String,
    count: AtomicU64,
}

#[derive(Debug)]
struct Buckets {
    counts: [AtomicU64; BOUNDS.len() + 1],
    micros: AtomicU64,
}

struct Family {
    name: &'static str,
    help: &'static str,
    kind: Kind,
}

enum Kind {
    Counters(Counters),
    Gauge(Box<dyn Fn() -> f64 + Send + Sync>),
    Total(Box<dyn Fn() -> f64 + Send + Sync>),
    Histogram(Histogram),
}

// === impl Registry ===

impl Registry {
    /// Adds counters, one for each of `labels`: `reason="crowded"`, or the empty text for none.
    pub fn counters<L: Into<String>>(
        &self,
        name: &'static str,
        help: &'static str,
        labels: impl IntoIterator<Item = L>,
    ) -> Counters {
        let cell = |labels: L| Cell { labels: labels.into(), count: AtomicU64::new(0) };
        let counters = Counters(labels.into_iter().map(cell).collect());
        self.add(name, help, Kind::Counters(counters.clone()));
        counters
    }

    /// Adds a histogram of seconds.
    pub fn histogram(&self, name: &'static str, help: &'static str) -> Histogram {
        let counts = std::array::from_fn(|_| AtomicU64::new(0));
        let histogram = Histogram(Arc::new(Buckets { counts, micros: AtomicU64::new(0) }));
        self.add(name, help, Kind::Histogram(histogram.clone()));
        histogram
    }

    /// Adds a gauge of what is held.
    pub fn gauge(&self, name: &'static str, help: &'static str) -> Gauge {
        let gauge = Gauge::default();
        let own = gauge.clone();
        self.measure(name, help, move || own.now() as f64);
        gauge
    }

    /// Adds a gauge that is read when it is asked for.
    pub fn measure(
        &self,
        name: &'static str,
        help: &'static str,
        read: impl Fn() -> f64 + Send + Sync + 'static,
    ) {
        self.add(name, help, Kind::Gauge(Box::new(read)));
    }

    /// Adds a number that only grows, counted elsewhere.
    pub fn total(
        &self,
        name: &'static str,
        help: &'static str,
        read: impl Fn() -> f64 + Send + Sync + 'static,
    ) {
        self.add(name, help, Kind::Total(Box::new(read)));
    }

    /// Returns everything as text.
    pub fn text(&self) -> String {
        let mut text = String::with_capacity(TEXT_BYTES);
        for family in &*self.families.lock().unwrap_or_else(PoisonError::into_inner) {
            // Writing into a string cannot fail.
            let _ = family.write(&mut text);
        }
        text
    }

    /// Returns what was counted, by name and labels.
    pub fn counts(&self) -> Vec<(String, u64)> {
        let families = self.families.lock().unwrap_or_else(PoisonError::into_inner);
        let mut counts = Vec::new();
        for family in &*families {
            if let Kind::Counters(Counters(cells)) = &family.kind {
                for cell in cells.iter() {
                    let count = cell.count.load(Ordering::Relaxed);
                    counts.push((labelled(family.name, &cell.labels), count));
                }
            }
        }
        counts
    }

    fn add(&self, name: &'static str, help: &'static str, kind: Kind) {
        let mut families = self.families.lock().unwrap_or_else(PoisonError::into_inner);
        families.push(Family { name, help, kind });
    }
}

// === impl Counters ===

impl Counters {
    /// Counts one of the `index`th labels.
    pub fn count(&self, index: usize) {
        if let Some(cell) = self.0.get(index) {
            let _ = cell.count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Returns how many were counted in all.
    pub fn sum(&self) -> u64 {
        self.0.iter().map(|cell| cell.count.load(Ordering::Relaxed)).sum()
    }
}

// === impl Histogram ===

impl Histogram {
    /// Counts something that took so long.
    pub fn observe(&self, took: Duration) {
        let Buckets { counts, micros } = &*self.0;
        let seconds = took.as_secs_f64();
        let index = BOUNDS.iter().position(|bound| seconds <= *bound).unwrap_or(BOUNDS.len());
        if let Some(count) = counts.get(index) {
            let _ = count.fetch_add(1, Ordering::Relaxed);
        }
        let took = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let _ = micros.fetch_add(took, Ordering::Relaxed);
    }
}

// === impl Gauge ===

impl Gauge {
    /// Counts one for as long as what is returned lives.
    pub fn hold(&self) -> Held {
        let _ = self.0.fetch_add(1, Ordering::Relaxed);
        Held(self.clone())
    }

    /// Returns how many are held.
    pub fn now(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let _ = self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

// === impl Family ===

impl Family {
    fn write(&self, text: &mut String) -> std::fmt::Result {
        let Self { name, help, kind } = self;
        let word = match kind {
            Kind::Counters(_) | Kind::Total(_) => "counter",
            Kind::Gauge(_) => "gauge",
            Kind::Histogram(_) => "histogram",
        };
        writeln!(text, "# HELP {name} {help}\n# TYPE {name} {word}")?;
        match kind {
            Kind::Counters(Counters(cells)) => {
                for Cell { labels, count } in cells.iter() {
                    let count = count.load(Ordering::Relaxed);
                    writeln!(text, "{} {count}", labelled(name, labels))?;
                }
            }
            Kind::Gauge(read) | Kind::Total(read) => writeln!(text, "{name} {}", read())?,
            Kind::Histogram(Histogram(buckets)) => {
                let mut sum = 0;
                let bounds = BOUNDS.iter().map(f64::to_string).chain(["+Inf".to_owned()]);
                for (bound, count) in bounds.zip(&buckets.counts) {
                    sum += count.load(Ordering::Relaxed);
                    writeln!(text, "{name}_bucket{{le=\"{bound}\"}} {sum}")?;
                }
                let seconds = Duration::from_micros(buckets.micros.load(Ordering::Relaxed));
                writeln!(text, "{name}_sum {}\n{name}_count {sum}", seconds.as_secs_f64())?;
            }
        }
        Ok(())
    }
}

fn labelled(name: &str, labels: &str) -> String {
    match labels.is_empty() {
        true => name.to_owned(),
        false => format!("{name}{{{labels}}}"),
    }
}

/// The bounds of histograms, in seconds: from a decision in memory to a human's.
const BOUNDS: [f64; 12] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5, 10.0, 60.0, 900.0];

/// What a page of them takes.
const TEXT_BYTES: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_is_said_in_the_text_format() {
        let registry = Registry::default();
        let counters = registry.counters("a_total", "As.", ["x=\"1\"", "x=\"2\""]);
        let gauge = registry.gauge("b", "Bs.");
        let histogram = registry.histogram("c_seconds", "Cs.");
        registry.total("d_total", "Ds.", || 7.0);
        counters.count(1);
        counters.count(1);
        counters.count(9);
        let held = gauge.hold();
        histogram.observe(Duration::from_millis(1));
        histogram.observe(Duration::from_secs(3600));
        let text = registry.text();
        for line in [
            "# TYPE a_total counter",
            "a_total{x=\"1\"} 0",
            "a_total{x=\"2\"} 2",
            "# HELP b Bs.",
            "b 1",
            "c_seconds_bucket{le=\"0.0005\"} 0",
            "c_seconds_bucket{le=\"0.001\"} 1",
            "c_seconds_bucket{le=\"900\"} 1",
            "c_seconds_bucket{le=\"+Inf\"} 2",
            "c_seconds_sum 3600.001",
            "c_seconds_count 2",
            "d_total 7",
        ] {
            assert!(text.lines().any(|other| other == line), "{line}\n{text}");
        }
        drop(held);
        assert!(registry.text().contains("\nb 0\n"));
        assert_eq!(counters.sum(), 2);
        assert_eq!(registry.counts()[1], ("a_total{x=\"2\"}".to_owned(), 2));
    }
}
