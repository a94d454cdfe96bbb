//! Criterion: a wheel of a hundred thousand timers, all three operations; the report has ten million.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use mainspring_benches::subject::wheel::{Dues, PerTimer, heap, tree, wheel};

const SEED: u64 = 4;
const TIMERS: usize = 100_000;

type Run = fn(&Dues) -> PerTimer;

fn timers(criterion: &mut Criterion) {
    let dues = Dues::new(SEED, TIMERS);
    let mut group =
        criterion.benchmark_group("insert, expire, insert and cancel 100,000 timers within an hour");
    group.throughput(Throughput::Elements(TIMERS as u64)).sample_size(10);
    let structures: [(&str, Run); 3] = [("wheel", wheel), ("tree", tree), ("heap, no cancel", heap)];
    for (name, run) in structures {
        group.bench_function(name, |bencher| bencher.iter(|| run(&dues)));
    }
    group.finish();
}

criterion_group!(benches, timers);
criterion_main!(benches);
