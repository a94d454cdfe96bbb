//! What the broker's process takes, from `/proc` and its directory.

use std::{
    fs,
    io::{self, Write},
    os::unix::fs::MetadataExt,
    path::Path,
};

/// The columns of the table.
pub(crate) const HEADER: &str = "seconds,anonymous_kib,file_kib,fds,threads,disk_kib,sent_per_s,received_per_s,late_p50_ms,late_p99_ms,late_max_ms";

/// One look.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Sample {
    /// Since the start.
    pub(crate) seconds: f64,
    /// Memory of its own.
    pub(crate) anonymous_kib: u64,
    /// Pages of mapped files.
    pub(crate) file_kib: u64,
    pub(crate) fds: u64,
    pub(crate) threads: u64,
    /// Blocks of all its files.
    pub(crate) disk_kib: u64,
    pub(crate) sent_per_s: f64,
    pub(crate) received_per_s: f64,
    /// Lateness of timed messages as their consumers see it: half of them, 99 of 100, all.
    pub(crate) late_ms: [u32; 3],
}

impl Sample {
    /// Looks at a process and a directory.
    ///
    /// # Errors
    ///
    /// The operating system's: the process is gone.
    pub(crate) fn of(pid: u32, data: &Path) -> io::Result<Self> {
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let value = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
        };
        let mut blocks = 0;
        for entry in fs::read_dir(data)? {
            // A file may be trimmed while it is looked at.
            blocks += entry?.metadata().map_or(0, |meta| meta.blocks());
        }
        Ok(Self {
            anonymous_kib: value("RssAnon:"),
            file_kib: value("RssFile:"),
            threads: value("Threads:"),
            fds: fs::read_dir(format!("/proc/{pid}/fd"))?.count() as u64,
            disk_kib: blocks / 2,
            ..Self::default()
        })
    }

    /// Adds it to a table.
    ///
    /// # Errors
    ///
    /// The operating system's.
    pub(crate) fn write(&self, mut out: impl Write) -> io::Result<()> {
        let [half, most, all] = self.late_ms;
        writeln!(
            out,
            "{:.1},{},{},{},{},{},{:.0},{:.0},{half},{most},{all}",
            self.seconds,
            self.anonymous_kib,
            self.file_kib,
            self.fds,
            self.threads,
            self.disk_kib,
            self.sent_per_s,
            self.received_per_s,
        )
    }
}

/// How much a figure grows in an hour, by the straight line nearest to the second half of its samples.
pub(crate) fn growth_per_hour(samples: &[Sample], figure: impl Fn(&Sample) -> f64) -> f64 {
    let half = &samples[samples.len() / 2..];
    let n = half.len().max(1) as f64;
    let mean = |of: &dyn Fn(&Sample) -> f64| half.iter().map(of).sum::<f64>() / n;
    let (x, y) = (mean(&|s| s.seconds), mean(&figure));
    let (mut over, mut under) = (0.0, 0.0);
    for sample in half {
        over += (sample.seconds - x) * (figure(sample) - y);
        under += (sample.seconds - x).powi(2);
    }
    if under > 0.0 { over / under * 3_600.0 } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_is_that_of_the_second_half() {
        let of = |n: u32| Sample {
            seconds: f64::from(n),
            anonymous_kib: if n < 50 { u64::from(n) * 1_000 } else { u64::from(n) },
            ..Sample::default()
        };
        let samples: Vec<Sample> = (0..100).map(of).collect();
        assert!((growth_per_hour(&samples, |s| s.anonymous_kib as f64) - 3_600.0).abs() < 1.0);
        assert_eq!(growth_per_hour(&samples[..1], |s| s.anonymous_kib as f64), 0.0);
    }

    #[test]
    fn a_process_can_be_looked_at() {
        let sample = Sample::of(std::process::id(), Path::new("/")).unwrap();
        assert!(sample.anonymous_kib > 0 && sample.fds > 2 && sample.threads > 0, "{sample:?}");
        let mut row = Vec::new();
        sample.write(&mut row).unwrap();
        assert_eq!(String::from_utf8(row).unwrap().split(',').count(), HEADER.split(',').count());
    }
}
