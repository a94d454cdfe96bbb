//! The broker over real sockets: every code, and what connections survive.
#![allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "numbers here are small")]

mod codes;
mod connections;
mod fake;
mod support;
