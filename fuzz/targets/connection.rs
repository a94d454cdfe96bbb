//! See [`mainspring_fuzz::connection()`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mainspring_fuzz::connection(data));
