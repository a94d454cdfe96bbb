//! Criterion: opening a store of 64 MiB that a kill left behind; the report has a larger one.

use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use mainspring_benches::subject::reopen;
use mainspring_benches::workload::Workload;

const SEED: u64 = 5;

fn open(criterion: &mut Criterion) {
    let load = Workload::new(SEED, 1024, 56_000);
    println!("workload {}", load.name());
    let mut group = criterion.benchmark_group("reopen after a kill, 64 MiB of 1 KiB messages");
    group.sample_size(10).bench_function("mainspring", |bencher| {
        bencher.iter_custom(|rounds| {
            #[expect(clippy::expect_used, reason = "a bench that fails ends")]
            let open = |_| reopen::ours(&load, 256 << 20).expect("an open").timing.wall;
            (0..rounds).map(open).sum::<Duration>()
        });
    });
    group.finish();
}

criterion_group!(benches, open);
criterion_main!(benches);
