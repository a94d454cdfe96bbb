//! What a send costs in allocations once everything is warm.

use allocation_counter::measure;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    runtime::Builder,
};

use crate::support::{Client, Running, send_fields};

const SENDS: usize = 500;
/// Fields, unescaped properties, stored properties, unique key and fields of the answer; the rest is the store's, once
/// for all sends of a wake-up.
const EACH: usize = 9;

/// Sends the same frame over and over, and waits for each answer.
async fn send(stream: &mut TcpStream, frame: &[u8], answer: &mut [u8]) {
    for _ in 0..SENDS {
        stream.write_all(frame).await.unwrap();
        stream.read_exact(&mut answer[..4]).await.unwrap();
        let len = u32::from_be_bytes(*answer.first_chunk().unwrap()) as usize;
        stream.read_exact(&mut answer[..len]).await.unwrap();
        assert!(answer[4..].starts_with(b"{\"code\":0,"), "{}", String::from_utf8_lossy(&answer[4..len]));
    }
}

#[test]
fn a_send_allocates_no_more_than_it_did() {
    // All on this thread: the count is of one thread, and the client allocates nothing.
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let mut client: Client = runtime.block_on(async {
        let running = Running::start().await;
        let client = running.client().await;
        std::mem::forget(running);
        client
    });
    let properties = "UNIQ_KEY\u{1}FD00000000000000000000000000000245163094\u{2}WAIT\u{1}true\u{2}";
    let frame = client.encode(310, 0, &send_fields("T", "0", properties), &[7; 1024]);
    let mut answer = [0; 4096];
    runtime.block_on(send(&mut client.stream, &frame, &mut answer));
    let counted = measure(|| runtime.block_on(send(&mut client.stream, &frame, &mut answer)));
    // What grows now and then: the views' units, a buffer; less than one for each send.
    let (most, found) = (SENDS * EACH + SENDS / 2, usize::try_from(counted.count_total).unwrap());
    assert!(found <= most, "{found} allocations for {SENDS} sends, {most} at most");
}
