//! Criterion: from an append to its message being visible, rule `appended`.

use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use mainspring::Wait;
use mainspring_benches::subject::visibility;
use mainspring_benches::workload::Workload;

const SEED: u64 = 2;

fn visible(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("visible after append, 1 KiB");
    for (name, wait) in [("a reader looks", Wait::Appended), ("the append waits", Wait::Committed)] {
        group.sample_size(10).bench_function(name, |bencher| {
            bencher.iter_custom(|messages| {
                let load = Workload::new(SEED, 1024, usize::try_from(messages).unwrap_or(1));
                #[expect(clippy::expect_used, reason = "a bench that fails ends")]
                let figure = visibility::ours(&load, wait, Duration::ZERO).expect("messages become visible");
                Duration::from_secs_f64(figure.values().iter().sum::<f64>() / 1e6)
            });
        });
    }
    group.finish();
}

criterion_group!(benches, visible);
criterion_main!(benches);
