//! Criterion: sends and pulls through sockets, against a server that has its answers at hand.

use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use mainspring::CommitRule;
use mainspring_benches::Result;
use mainspring_benches::subject::wire::{Done, Pulls, ours, reference};
use mainspring_benches::wire::generator::Pattern;
use mainspring_benches::workload::Workload;

const SEED: u64 = 10;

/// Time for so many requests, at the pace of a run.
#[expect(clippy::expect_used, reason = "a bench that fails ends")]
#[expect(clippy::cast_precision_loss, reason = "figures, not accounts")]
fn time(iterations: u64, run: impl FnOnce() -> Result<Done>) -> Duration {
    Duration::from_secs_f64(iterations as f64 / run().expect("a run").per_s)
}

#[expect(clippy::expect_used, reason = "a bench that fails ends")]
fn wire(criterion: &mut Criterion) {
    for (connections, in_flight) in [(1, 1), (16, 1), (64, 1), (16, 16)] {
        let pattern = Pattern { connections, in_flight };
        let load = Workload::new(SEED, 1024, 20_000);
        let mut group = criterion.benchmark_group(format!("send 1 KiB, {}", pattern.name()));
        group.sample_size(10);
        for (name, commit) in [("appended", CommitRule::Appended), ("flushed", CommitRule::Flushed)] {
            group.bench_function(format!("mainspring, {name}"), |b| {
                b.iter_custom(|n| time(n, || ours(&load, pattern, commit)))
            });
        }
        group.bench_function("echo of the same frames", |b| {
            b.iter_custom(|n| time(n, || reference(&load, pattern)))
        });
        group.finish();
    }
    let library = Pulls::new(&Workload::new(SEED, 1024, 3200)).expect("messages");
    let pattern = Pattern { connections: 4, in_flight: 1 };
    let mut group = criterion.benchmark_group("pull 32 x 1 KiB, 4 connections");
    group.sample_size(10);
    group.bench_function("mainspring", |b| b.iter_custom(|n| time(n, || library.ours(pattern, 5_000))));
    group.bench_function("the same bytes from memory", |b| {
        b.iter_custom(|n| time(n, || library.reference(pattern, 5_000)))
    });
    group.finish();
}

criterion_group!(benches, wire);
criterion_main!(benches);
