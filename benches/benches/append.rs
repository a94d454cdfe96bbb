//! Criterion: the hot append loop, ours and the reference's, per frame.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use mainspring::{CommitRule, Wait};
use mainspring_benches::bed::Bed;
use mainspring_benches::measure::Timing;
use mainspring_benches::subject::append::{Loop, Shape, segment_bytes};
use mainspring_benches::workload::Workload;

const SEED: u64 = 1;
const TOTAL_BYTES: usize = 48 << 20;

fn append(criterion: &mut Criterion) {
    for body_bytes in [128, 1024, 16 << 10] {
        for batch in [1, 32] {
            let load = Workload::new(SEED, body_bytes, TOTAL_BYTES / (body_bytes + 300));
            let mut group = criterion.benchmark_group(format!("append {body_bytes} B, batch {batch}"));
            group.throughput(Throughput::Elements(batch as u64)).sample_size(10);
            println!("workload {}", load.name());
            let shape = Shape { batch, wait: Wait::Appended, producers: 1 };
            group.bench_function(BenchmarkId::new("mainspring", "appended"), |bencher| {
                bencher.iter_custom(|frames| sum(frames, load.messages / batch, |n| ours(&load, shape, n)));
            });
            group.bench_function(BenchmarkId::new("same bytes", "appended"), |bencher| {
                bencher.iter_custom(|frames| sum(frames, load.messages / batch, |n| bare(&load, batch, n)));
            });
            group.finish();
        }
    }
}

/// Time for `frames` frames, in runs that one prepared segment holds.
fn sum(frames: u64, most: usize, run: impl Fn(usize) -> Timing) -> std::time::Duration {
    let mut left = usize::try_from(frames).unwrap_or(usize::MAX);
    let mut time = std::time::Duration::ZERO;
    while left > 0 {
        let now = left.min(most);
        time += run(now).cpu;
        left -= now;
    }
    time
}

#[expect(clippy::expect_used, reason = "a bench that fails ends")]
fn ours(load: &Workload, shape: Shape, frames: usize) -> Timing {
    let bed = Bed::prepared(CommitRule::Appended, segment_bytes(load)).expect("a store");
    let (timing, done) = Timing::of(|| bed.append(load, 0..frames * shape.batch, shape.batch, shape.wait));
    done.expect("appends");
    bed.store.abandon();
    timing
}

#[expect(clippy::expect_used, reason = "a bench that fails ends")]
fn bare(load: &Workload, batch: usize, frames: usize) -> Timing {
    let mut bare = Loop::new(load).expect("a segment");
    let (timing, done) = Timing::of(|| bare.append(load, 0..frames * batch, batch));
    done.expect("appends");
    timing
}

criterion_group!(benches, append);
criterion_main!(benches);
