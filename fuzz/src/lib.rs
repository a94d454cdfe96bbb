//! The bodies of the fuzz targets, as plain functions: libFuzzer calls them with what it invents, and
//! `tests/replay.rs` with what it kept, on stable.
//!
//! A body panics where a promise is broken, and says which. It may be given any bytes.

mod bases;
pub mod connection;
mod filters;
mod frames;
mod indexes;
mod medium;
mod records;
pub mod recovery;
mod remoting;
pub mod seeds;
mod wheels;

pub use bases::base_and_cells;
pub use connection::connection;
pub use filters::sql_filter;
pub use frames::frame_decode;
pub use indexes::index_open;
pub use records::record_decode;
pub use recovery::recovery;
pub use remoting::remoting_header;
pub use wheels::wheel_vs_model;

/// What a target does with one input.
pub type Body = fn(&[u8]);

/// Every target by its name, which is also that of its corpus.
pub const TARGETS: &[(&str, Body)] = &[
    ("frame_decode", frame_decode),
    ("record_decode", record_decode),
    ("index_open", index_open),
    ("base_and_cells", base_and_cells),
    ("recovery", recovery),
    ("wheel_vs_model", wheel_vs_model),
    ("remoting_header", remoting_header),
    ("connection", connection),
    ("sql_filter", sql_filter),
];

/// Writes `bytes` at `at`, as far as there is room.
fn put(out: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(to) = out.get_mut(at..at + bytes.len()) {
        to.copy_from_slice(bytes);
    }
}
