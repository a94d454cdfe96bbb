//! What clients do, in order, and what must come of it.

use std::time::Duration;

use arbitrary::Arbitrary;
use tokio::time::sleep;

use super::{
    request::{self, Request},
    world::World,
};

/// Steps of a program at most.
const OPS_MAX: usize = 48;
/// The same request at most so often at once.
const FLOOD_MAX: u8 = 64;

/// A whole input.
#[derive(Debug, Arbitrary)]
pub(crate) struct Program {
    flushed: bool,
    tight: bool,
    ops: Vec<Op>,
}

/// Something that a client does; `at` says on which connection.
#[derive(Debug, Arbitrary)]
enum Op {
    Ask { at: u8, request: Request },
    Talk { requests: Vec<Request> },
    Flood { at: u8, request: Request, times: u8 },
    Part { at: u8, request: Request, cut: u16 },
    Lie { at: u8, request: Request, total: i16, header: i16 },
    Claim { at: u8, request: Request, total: u32 },
    Frame { at: u8, binary: bool, header: Vec<u8>, body: Vec<u8> },
    Raw { at: u8, bytes: Vec<u8> },
    Deaf { at: u8, deaf: bool },
    Wait { ms: u16 },
    Again { at: u8 },
}

/// Runs a program and checks everything.
pub(crate) async fn run(program: &Program) {
    let mut world = World::open(program.flushed, program.tight);
    for op in program.ops.iter().take(OPS_MAX) {
        act(&mut world, op).await;
        world.check_memory();
    }
    world.end().await;
}

async fn act(world: &mut World, op: &Op) {
    match op {
        Op::Ask { at, request } => ask(world, *at, request).await,
        Op::Talk { requests } => {
            for request in requests.iter().take(16) {
                ask(world, 0, request).await;
            }
        }
        Op::Flood { at, request, times } => {
            let one = request.encode(world.next(), world.ids());
            world.write(*at, &one.repeat(usize::from(times % FLOOD_MAX))).await;
        }
        Op::Part { at, request, cut } => {
            let whole = request.encode(world.next(), world.ids());
            world.write(*at, &whole[..usize::from(*cut) % whole.len()]).await;
        }
        Op::Lie { at, request, total, header } => {
            let mut whole = request.encode(world.next(), world.ids());
            lie(&mut whole[..4], i32::from(*total));
            lie(&mut whole[4..8], i32::from(*header));
            world.write(*at, &whole).await;
        }
        Op::Claim { at, request, total } => {
            let mut whole = request.encode(world.next(), world.ids());
            whole[..4].copy_from_slice(&total.to_be_bytes());
            world.write(*at, &whole).await;
        }
        Op::Frame { at, binary, header, body } => {
            world.write(*at, &request::frame(*binary, header, body)).await;
        }
        Op::Raw { at, bytes } => world.write(*at, bytes).await,
        Op::Deaf { at, deaf } => world.set_deaf(*at, *deaf),
        Op::Wait { ms } => sleep(Duration::from_millis(u64::from(*ms))).await,
        Op::Again { at } => world.connect_again(*at),
    }
}

async fn ask(world: &mut World, at: u8, request: &Request) {
    let bytes = request.encode(world.next(), world.ids());
    world.write(at, &bytes).await;
}

fn lie(word: &mut [u8], by: i32) {
    let told = word.iter().fold(0u32, |word, byte| word << 8 | u32::from(*byte));
    word.copy_from_slice(&told.wrapping_add_signed(by).to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the clients of a program begin with works, or all that is behind it is never reached.
    #[tokio::test(start_paused = true)]
    async fn a_good_client_is_served() {
        for tight in [false, true] {
            let mut world = World::open(tight, tight);
            for (code, body) in [(310, &b"hello"[..]), (10, b"again"), (11, b""), (30, b""), (36, b"")] {
                ask(&mut world, 0, &Request::good(code, body)).await;
                sleep(Duration::from_secs(2)).await;
            }
            let codes: Vec<i32> = world.answers(0).iter().map(|(code, _)| *code).collect();
            assert_eq!(codes[..4], [0, 0, 0, 0], "{:?}", world.answers(0));
            assert!(world.answers(0)[2].1 > 200, "the pull brings both messages");
            world.end().await;
        }
    }
}
