//! Criterion: sequential reads of a queue, against walking and copying the same bytes.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use mainspring_benches::subject::read::{Library, Use};
use mainspring_benches::workload::Workload;

const SEED: u64 = 3;

#[expect(clippy::expect_used, reason = "a bench that fails ends")]
fn read(criterion: &mut Criterion) {
    for (body_bytes, messages) in [(128, 100_000), (1024, 40_000)] {
        let load = Workload::new(SEED, body_bytes, messages);
        println!("workload {}", load.name());
        let library = Library::new(&load).expect("a library");
        for (name, how) in [("walk", Use::Walk), ("copy", Use::Copy)] {
            let mut group = criterion.benchmark_group(format!("read and {name}, {body_bytes} B"));
            group.throughput(Throughput::Bytes(library.len().1)).sample_size(20);
            group.bench_function("mainspring, 1000 a read", |b| {
                b.iter(|| library.ours(1000, how).expect("a read"))
            });
            group.bench_function("mainspring, 32 a read", |b| {
                b.iter(|| library.ours(32, how).expect("a read"))
            });
            group.bench_function("the same slices", |b| b.iter(|| library.reference(how)));
            group.finish();
        }
    }
}

criterion_group!(benches, read);
criterion_main!(benches);
