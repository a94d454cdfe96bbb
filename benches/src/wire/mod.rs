//! The wire path: a broker in this process, the bare servers that it is measured against, and who asks them.
//!
//! - [`frames`]: requests as clients write them.
//! - [`generator`]: asks over many connections, and counts the answers.
//! - [`served`]: the broker on ports of its own; [`echo`]: a server that knows its answers beforehand.

pub mod echo;
pub mod frames;
pub mod generator;
pub mod served;
