//! See [`mainspring_fuzz::sql_filter`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mainspring_fuzz::sql_filter(data));
