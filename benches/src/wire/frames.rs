//! Requests as the Java client writes them.

use crate::workload::Workload;

/// The consumer group of pulls.
pub const GROUP: &str = "bench-group";

/// Frames that are sent in turn and over again.
#[derive(Debug, Clone)]
pub struct Ring {
    /// All of them twice, so that any few that follow each other lie in one piece.
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Ring {
    /// A ring of these.
    #[must_use]
    pub fn new(frames: &[Vec<u8>]) -> Self {
        let bytes = [frames.concat(), frames.concat()].concat();
        let ends = frames.iter().chain(frames).scan(0, |end, frame| {
            *end += frame.len();
            Some(*end)
        });
        Self { ends: ends.collect(), bytes }
    }

    /// Frames in it.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len() / 2
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The bytes of `n` frames from the `from`th on; `n` is at most its length.
    #[must_use]
    pub fn slice(&self, from: usize, n: usize) -> &[u8] {
        let first = from % self.len();
        let start = if first == 0 { 0 } else { self.ends[first - 1] };
        &self.bytes[start..self.ends[first + n - 1]]
    }
}

/// A frame with a JSON header.
#[must_use]
pub fn frame(header: &str, body: &[u8]) -> Vec<u8> {
    let long = |n: usize| u32::try_from(n).unwrap_or(u32::MAX).to_be_bytes();
    let mut bytes = Vec::with_capacity(8 + header.len() + body.len());
    bytes.extend_from_slice(&long(4 + header.len() + body.len()));
    bytes.extend_from_slice(&long(header.len()));
    bytes.extend_from_slice(header.as_bytes());
    bytes.extend_from_slice(body);
    bytes
}

/// The header of code 310 with everything that the Java client 5 sets, in its order.
#[must_use]
pub fn send_header(topic: &str, queue: u32, opaque: usize) -> String {
    let properties = "UNIQ_KEY\\u0001FD0000000000000000000000000000024516309446E096D149BD5000\\u0002\
                      WAIT\\u0001true\\u0002TAGS\\u0001TagA";
    format!(
        "{{\"code\":310,\"extFields\":{{\"a\":\"bench-producer\",\"b\":\"{topic}\",\"c\":\"TBW102\",\"d\":\"4\",\
         \"e\":\"{queue}\",\"f\":\"0\",\"g\":\"1795321267159\",\"h\":\"0\",\"i\":\"{properties}\",\"j\":\"0\",\
         \"k\":\"false\",\"m\":\"false\",\"n\":\"broker-a\"}},\"flag\":0,\"language\":\"JAVA\",\"opaque\":{opaque},\
         \"serializeTypeCurrentRPC\":\"JSON\",\"version\":475}}"
    )
}

/// Sends of a workload's bodies to its topic, each once, the queues in turn.
#[must_use]
pub fn sends(load: &Workload, queues: u32, count: usize) -> Vec<Vec<u8>> {
    let queue = |i: usize| u32::try_from(i).unwrap_or(0) % queues;
    (0..count).map(|i| frame(&send_header(load.topic, queue(i), 1000 + i), load.body(i))).collect()
}

/// A pull of at most 32 messages of a queue.
#[must_use]
pub fn pull(topic: &str, queue: u32, from: u64, opaque: usize) -> Vec<u8> {
    let header = format!(
        "{{\"code\":11,\"extFields\":{{\"bname\":\"broker-a\",\"commitOffset\":\"0\",\"consumerGroup\":\"{GROUP}\",\
         \"expressionType\":\"TAG\",\"maxMsgBytes\":\"262144\",\"maxMsgNums\":\"32\",\"queueId\":\"{queue}\",\
         \"queueOffset\":\"{from}\",\"subVersion\":\"1795321268607\",\"subscription\":\"*\",\
         \"suspendTimeoutMillis\":\"15000\",\"sysFlag\":\"6\",\"topic\":\"{topic}\"}},\"flag\":0,\
         \"language\":\"JAVA\",\"opaque\":{opaque},\"serializeTypeCurrentRPC\":\"JSON\",\"version\":475}}"
    );
    frame(&header, &[])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ring_goes_round() {
        let ring = Ring::new(&[vec![1], vec![2, 2], vec![3, 3, 3]]);
        assert_eq!(ring.slice(0, 1), [1]);
        assert_eq!(ring.slice(5, 3), [3, 3, 3, 1, 2, 2]);
    }
}
