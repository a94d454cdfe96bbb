//! See [`mainspring_fuzz::wheel_vs_model`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mainspring_fuzz::wheel_vs_model(data));
