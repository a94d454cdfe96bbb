//! What went wrong with timers elsewhere in the field: each row of the table in `docs/testing.md` as a scenario on
//! one store without threads, on a manual clock.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod cancel;
mod clock;
mod ledger;
mod load;
mod observability;
mod restart;
mod restore;
mod rig;
mod space;
mod truncation;
