//! Replays every corpus through the same functions that libFuzzer drives, on stable and without libFuzzer.
//!
//! Inputs named `found-*` once broke a promise; the commit that added one says which.

use std::path::Path;
use std::time::Instant;

use mainspring_fuzz::TARGETS;

/// Bytes that all corpora may have together.
const CORPUS_BYTES_MAX: u64 = 2 << 20;

#[test]
#[expect(clippy::disallowed_methods, reason = "it only reports how long a replay took")]
fn every_corpus_is_replayed() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let mut total = 0;
    for (target, body) in TARGETS {
        let folder = corpus.join(target);
        let entries = std::fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
        let mut files: Vec<_> = entries.map(|e| e.expect("an entry").path()).collect();
        files.sort();
        assert!(!files.is_empty(), "the corpus of {target} is empty");
        let (mut bytes, start) = (0, Instant::now());
        for file in &files {
            let input = std::fs::read(file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
            bytes += input.len() as u64;
            let done = std::panic::catch_unwind(|| body(&input));
            assert!(done.is_ok(), "{target} breaks on {}", file.display());
        }
        println!("{target}: {} inputs, {bytes} bytes, {} ms", files.len(), start.elapsed().as_millis());
        total += bytes;
    }
    assert!(total <= CORPUS_BYTES_MAX, "the corpora have {total} bytes, {CORPUS_BYTES_MAX} are allowed");
}

#[test]
fn every_corpus_belongs_to_a_target() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for entry in std::fs::read_dir(corpus).expect("the corpus").flatten() {
        let name = entry.file_name();
        assert!(TARGETS.iter().any(|(target, _)| name.to_str() == Some(target)), "{name:?} is no target");
    }
}
