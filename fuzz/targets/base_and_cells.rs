//! See [`mainspring_fuzz::base_and_cells`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mainspring_fuzz::base_and_cells(data));
