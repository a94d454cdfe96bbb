//! The report: one markdown table, and what it was measured on.

use std::fmt::Write as _;

use crate::measure::{Figure, Pair};

/// One line of the report.
#[derive(Debug, Clone)]
pub struct Row {
    /// What was done.
    pub work: String,
    /// Bodies, batches, totals.
    pub sizes: String,
    /// The commit rule and what the caller waits for.
    pub rule: &'static str,
    /// The unit of both figures.
    pub unit: &'static str,
    /// What the reference is.
    pub reference: &'static str,
    /// Ours and the reference's, round by round.
    pub pair: Pair,
    /// Divides both figures.
    pub scale: f64,
    /// What the ratio or figure should be.
    pub goal: &'static str,
}

fn range(figure: &Figure, scale: f64) -> String {
    if figure.values().is_empty() {
        return "-".to_owned();
    }
    let [low, middle, high] = [figure.at(0.0), figure.median(), figure.at(1.0)].map(|v| number(v / scale));
    format!("{middle} [{low}-{high}]")
}

fn number(value: f64) -> String {
    match value.abs() {
        v if v >= 100.0 => format!("{value:.0}"),
        v if v >= 10.0 => format!("{value:.1}"),
        v if v >= 0.1 => format!("{value:.2}"),
        _ => format!("{value:.4}"),
    }
}

/// The head of the table.
#[must_use]
pub fn head() -> String {
    let columns =
        ["work", "sizes", "rule, wait", "unit", "ours", "reference", "reference is", "ratio", "goal"];
    format!("| {} |\n|{}", columns.join(" | "), "---|".repeat(columns.len()))
}

impl Row {
    /// The row as a line of the table.
    #[must_use]
    pub fn line(&self) -> String {
        let (ours, reference) = (range(&self.pair.ours, self.scale), range(&self.pair.reference, self.scale));
        let cells = [
            &self.work,
            &self.sizes,
            self.rule,
            self.unit,
            &ours,
            &reference,
            self.reference,
            &range(&self.pair.ratio(), 1.0),
            self.goal,
        ];
        format!("| {} |", cells.join(" | "))
    }
}

fn first_line(path: &str) -> String {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines().next().unwrap_or("unknown").to_owned()
}

/// The machine, its load and the file system that is written to.
#[must_use]
pub fn surroundings() -> String {
    let base = crate::bed::base();
    let mounts = std::fs::read_to_string("/proc/mounts").unwrap_or_default();
    let mount = mounts
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(' ');
            let (device, at, kind) = (fields.next()?, fields.next()?, fields.next()?);
            base.starts_with(at).then(|| (at.len(), format!("{kind} on {device}")))
        })
        .max();
    let cpus = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpus.lines().find_map(|l| l.strip_prefix("model name")).unwrap_or("unknown");
    let mut text = String::new();
    let _ = write!(
        text,
        "{} x {}, Linux {}, {}, load {}",
        std::thread::available_parallelism().map_or(1, usize::from),
        model.trim_start_matches([' ', '\t', ':']),
        first_line("/proc/sys/kernel/osrelease"),
        mount.map_or_else(|| "an unknown file system".to_owned(), |(_, kind)| kind),
        first_line("/proc/loadavg"),
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_a_line_of_the_table() {
        let pair = Pair::rounds(3, |i| Ok::<_, ()>(1e6 * (1 + i) as f64), |_| Ok(2e6)).unwrap();
        let row = Row {
            work: "append".to_owned(),
            sizes: "1 KiB".to_owned(),
            rule: "appended",
            unit: "M/s",
            reference: "loop",
            pair,
            scale: 1e6,
            goal: ">= 0.7",
        };
        let line = row.line();
        assert_eq!(line.matches('|').count(), head().lines().next().unwrap().matches('|').count());
        assert!(line.contains("| 2.00 [1.00-3.00] | 2.00 [2.00-2.00] | loop | 1.00 [0.50-1.50] |"), "{line}");
        assert!(surroundings().contains("Linux"));
    }
}
