//! See [`mainspring_fuzz::index_open`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mainspring_fuzz::index_open(data));
