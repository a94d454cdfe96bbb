//! What is appended: bodies by seed, and a hash that names them.

use xxhash_rust::xxh3::Xxh3;

/// A small generator (xorshift), so that runs repeat.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// The generator of a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.bits() % end
    }
}

/// Messages of one topic, all of one length, pseudo-random and incompressible.
#[derive(Debug, Clone)]
pub struct Workload {
    /// The topic they go to.
    pub topic: &'static str,
    /// Bytes of each body.
    pub body_bytes: usize,
    /// How many messages.
    pub messages: usize,
    /// The bodies, used in turn.
    bodies: Vec<Vec<u8>>,
}

/// Different bodies of a workload: few enough to stay in the cache, as a message just received is.
const BODIES: usize = 16;

impl Workload {
    /// The workload of a seed.
    #[must_use]
    pub fn new(seed: u64, body_bytes: usize, messages: usize) -> Self {
        let mut random = Random::new(seed ^ body_bytes as u64);
        let mut body = || {
            let mut bytes = Vec::with_capacity(body_bytes + 8);
            while bytes.len() < body_bytes {
                bytes.extend_from_slice(&random.bits().to_le_bytes());
            }
            bytes.truncate(body_bytes);
            bytes
        };
        let bodies = (0..BODIES).map(|_| body()).collect();
        Self { topic: "bench", body_bytes, messages, bodies }
    }

    /// The body of message `i`.
    #[must_use]
    pub fn body(&self, i: usize) -> &[u8] {
        &self.bodies[i % BODIES]
    }

    /// A hash over everything that is appended, in order.
    #[must_use]
    pub fn hash(&self) -> u64 {
        let mut hash = Xxh3::new();
        hash.update(self.topic.as_bytes());
        (0..self.messages).for_each(|i| hash.update(self.body(i)));
        hash.digest()
    }

    /// How the workload is named in a report.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{} x {} ({:016x})", self.messages, bytes(self.body_bytes as u64), self.hash())
    }
}

/// A size in the largest unit that divides it.
#[must_use]
pub fn bytes(size: u64) -> String {
    match size {
        s if s >= 1 << 30 && s % (1 << 30) == 0 => format!("{} GiB", s >> 30),
        s if s >= 1 << 20 && s % (1 << 20) == 0 => format!("{} MiB", s >> 20),
        s if s >= 1 << 10 && s % (1 << 10) == 0 => format!("{} KiB", s >> 10),
        s => format!("{s} B"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_is_the_same_workload() {
        let name = |seed| Workload::new(seed, 100, 50).name();
        assert_eq!(name(7), name(7));
        assert_ne!(name(7), name(8));
        assert!(name(7).starts_with("50 x 100 B ("), "{}", name(7));
    }
}
