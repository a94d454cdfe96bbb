//! Series by two names, of bounded number.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use parking_lot::RwLock;

/// Most series in a table; what is beyond shares one.
pub const SERIES_MAX: usize = 10_000;
/// Name, twice, of the series that is shared by all that do not fit.
pub const OTHER: &str = "_other";

type Series<T> = HashMap<Box<str>, BTreeMap<Box<str>, Arc<T>>>;

/// Series by two names. Looking one up that is there takes a lock for reading and allocates nothing.
#[derive(Debug)]
pub struct Table<T> {
    series: RwLock<(usize, Series<T>)>,
    other: Arc<T>,
    max: usize,
    folded: AtomicU64,
}

impl<T: Default> Default for Table<T> {
    fn default() -> Self {
        Self::with_max(SERIES_MAX)
    }
}

impl<T: Default> Table<T> {
    fn with_max(max: usize) -> Self {
        Self { series: RwLock::default(), other: Arc::default(), max, folded: AtomicU64::new(0) }
    }

    /// The series of these names, made where it is new, or the shared one where there are too many.
    pub fn get(&self, first: &str, second: &str) -> Arc<T> {
        if let Some(found) = self.find(first, second) {
            return found;
        }
        let mut series = self.series.write();
        let (count, named) = &mut *series;
        if let Some(found) = named.get(first).and_then(|inner| inner.get(second)) {
            return Arc::clone(found);
        }
        if *count >= self.max {
            self.folded.fetch_add(1, Ordering::Relaxed);
            return Arc::clone(&self.other);
        }
        *count += 1;
        let made = Arc::<T>::default();
        named.entry(first.into()).or_default().insert(second.into(), Arc::clone(&made));
        made
    }

    /// The series of these names, if it has its own.
    #[must_use]
    pub fn find(&self, first: &str, second: &str) -> Option<Arc<T>> {
        self.series.read().1.get(first)?.get(second).cloned()
    }

    /// How often a look-up got the shared series.
    #[must_use]
    pub fn folded(&self) -> u64 {
        self.folded.load(Ordering::Relaxed)
    }

    /// Calls for each series with its names; for the shared one last, once it was used.
    pub fn each(&self, mut call: impl FnMut(&str, &str, &T)) {
        let series = self.series.read();
        for (first, inner) in &series.1 {
            for (second, entry) in inner {
                call(first, second, entry);
            }
        }
        if self.folded() > 0 {
            call(OTHER, OTHER, &self.other);
        }
    }

    /// Lets go of the series that are not to be kept.
    pub fn retain(&self, mut keep: impl FnMut(&str, &str, &T) -> bool) {
        let mut series = self.series.write();
        let (count, named) = &mut *series;
        named.retain(|first, inner| {
            inner.retain(|second, entry| keep(first, second, entry));
            !inner.is_empty()
        });
        *count = named.values().map(BTreeMap::len).sum();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_many_share_one_series() {
        let table = Table::<AtomicU64>::with_max(2);
        for (first, second) in [("a", "x"), ("a", "y"), ("b", "x"), ("c", "x"), ("a", "x")] {
            table.get(first, second).fetch_add(1, Ordering::Relaxed);
        }
        let sums = |table: &Table<AtomicU64>| {
            let mut all = Vec::new();
            table.each(|a, b, n| all.push((a.to_owned(), b.to_owned(), n.load(Ordering::Relaxed))));
            all.sort();
            all
        };
        let told = |a: &str, b: &str, n| (a.to_owned(), b.to_owned(), n);
        assert_eq!(sums(&table), [told("_other", "_other", 2), told("a", "x", 2), told("a", "y", 1)]);
        assert_eq!(table.folded(), 2);
        table.retain(|_, second, _| second == "x");
        table.get("b", "x").fetch_add(1, Ordering::Relaxed);
        assert_eq!(sums(&table), [told("_other", "_other", 2), told("a", "x", 2), told("b", "x", 1)]);
        assert!(table.find("a", "y").is_none());
    }
}
