//! State that feature level 2 added: the same after every reopen.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod groups;
mod locks;
mod once;
mod rig;
