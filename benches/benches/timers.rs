//! Criterion: append, schedule and fire, each with its apply, on one thread.

use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use mainspring_benches::measure::Timing;
use mainspring_benches::subject::timers::{Costs, costs};
use mainspring_benches::workload::Workload;

const SEED: u64 = 6;
const MESSAGES: u32 = 20_000;

type Part = fn(&Costs) -> Timing;

fn timers(criterion: &mut Criterion) {
    let load = Workload::new(SEED, 1024, MESSAGES as usize);
    println!("workload {}", load.name());
    let mut group = criterion.benchmark_group("timers in the log, 1 KiB");
    group.throughput(Throughput::Elements(1)).sample_size(10);
    let parts: [(&str, Part); 3] =
        [("append", |c| c.append), ("schedule", |c| c.schedule), ("fire", |c| c.fire)];
    for (name, part) in parts {
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|messages| {
                // A run is always of the same size; its time is scaled to what was asked for.
                #[expect(clippy::expect_used, reason = "a bench that fails ends")]
                let timing = part(&costs(&load).expect("costs"));
                let per_message = timing.cpu.as_secs_f64() / f64::from(MESSAGES);
                #[expect(clippy::cast_precision_loss, reason = "figures, not accounts")]
                Duration::from_secs_f64(per_message * messages as f64)
            });
        });
    }
    group.finish();
}

criterion_group!(benches, timers);
criterion_main!(benches);
