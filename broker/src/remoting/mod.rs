//! RocketMQ's remoting protocol: frames, headers, commands. No sockets and no handlers.
//!
//! Data flows `frame::decode` -> [`Header::parse`] -> [`Request`] -> handler -> [`Response`] -> [`Outbox`].
//! Everything here is pure: bytes in, values out, and back.

pub mod binary;
pub mod codes;
pub mod command;
pub mod fastjson;
pub mod frame;
pub mod header;
pub mod outbox;
mod plain;

pub use command::{Body, Handled, Reply, Request, Response, Sent, Value};
pub use frame::{Encoding, Frame, FrameError};
pub use header::{FieldError, Fields, Header};
pub use outbox::Outbox;

impl<'a> Header<'a> {
    /// Parses the header of a frame.
    ///
    /// # Errors
    ///
    /// [`FrameError::Header`] if the bytes are no header of the kind the frame announces.
    pub fn parse(frame: &'a Frame) -> Result<Self, FrameError> {
        match frame.encoding {
            Encoding::Json => Self::parse_json(&frame.header),
            Encoding::Binary => binary::parse(&frame.header),
        }
    }

    /// Parses a JSON header.
    ///
    /// # Errors
    ///
    /// [`FrameError::Header`] with the position where the text stops being one.
    pub fn parse_json(text: &'a [u8]) -> Result<Self, FrameError> {
        plain::parse(text).map_or_else(|| Self::parse_any_json(text), Ok)
    }
}
