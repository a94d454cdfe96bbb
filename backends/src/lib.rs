//! The persistence contract of Mainspring: what a medium must promise so that a store can live on it.
#![cfg_attr(feature = "conformance", doc = "\n\n", doc = include_str!("../README.md"))]

pub mod check;
#[cfg(feature = "conformance")]
pub mod conformance;
pub mod contract;
mod faulty;
mod memory;
mod name;

pub use contract::{Backend, Cells, Lock, StreamControl, StreamInfo, StreamReader, StreamWriter, Streams};
pub use faulty::{Crashed, Damage, Fault, FaultyBackend, Injected, OpKind};
pub use memory::MemoryBackend;
pub use name::Name;
