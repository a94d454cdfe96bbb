//! The reference: a server that reads the same frames and sends back answers that it has at hand.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::{Buf, BytesMut};
use mainspring_broker::net::runtime;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;

use crate::Result;
use crate::wire::frames::Ring;

/// Bytes of room made before a read, as the broker does.
const READ_BYTES: usize = 16 << 10;

/// A server on a runtime like the broker's; it ends when dropped.
#[derive(Debug)]
pub struct Echo {
    /// Where it listens.
    pub address: SocketAddr,
    _runtime: Runtime,
}

impl Echo {
    /// A server that sends these answers in turn, one for every frame.
    ///
    /// # Errors
    /// The system's.
    pub fn start(answers: &[Vec<u8>]) -> Result<Self> {
        let runtime = runtime("echo")?;
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"))?;
        let address = listener.local_addr()?;
        let answers = Arc::new(Ring::new(answers));
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&answers)));
            }
        });
        Ok(Self { address, _runtime: runtime })
    }
}

/// Ends with the connection; why it ended concerns nobody.
async fn serve(mut stream: TcpStream, answers: Arc<Ring>) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let (mut input, mut sent) = (BytesMut::new(), 0);
    loop {
        input.reserve(READ_BYTES);
        if stream.read_buf(&mut input).await? == 0 {
            return Ok(());
        }
        let mut frames = 0;
        while let Some(word) = input.first_chunk() {
            let total = 4 + u32::from_be_bytes(*word) as usize;
            if input.len() < total {
                break;
            }
            input.advance(total);
            frames += 1;
        }
        while frames > 0 {
            let n = frames.min(answers.len());
            stream.write_all(answers.slice(sent, n)).await?;
            (sent, frames) = (sent + n, frames - n);
        }
    }
}
