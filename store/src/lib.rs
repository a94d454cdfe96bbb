//! Placeholder while the workspace is laid out.

pub mod hash;
pub mod index;
pub mod record;
