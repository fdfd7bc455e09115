//! Lets encoded messages through as they are: a batch is encoded once, however
//! often it has to be sent.

use bytes::{BufMut as _, Bytes};
use iotq_proto::v1;
use prost::Message as _;
use tonic::{
    Status,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
};

/// One `PushRequest`, encoded in two parts that are read as one.
#[derive(Clone, Debug)]
pub(super) struct Message {
    /// The batch, as it was sealed.
    pub(super) batch: Bytes,
    /// What is added each time it is sent.
    pub(super) addition: Bytes,
}

/// `PushRequest`s that are encoded already, `PushResponse`s.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct PushCodec;

impl Codec for PushCodec {
    type Encode = Message;
    type Decode = v1::PushResponse;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self::Encoder {
        Self
    }

    fn decoder(&mut self) -> Self::Decoder {
        Self
    }
}

impl Encoder for PushCodec {
    type Item = Message;
    type Error = Status;

    fn encode(&mut self, message: Message, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.reserve(message.batch.len() + message.addition.len());
        buffer.put(message.batch);
        buffer.put(message.addition);
        Ok(())
    }
}

impl Decoder for PushCodec {
    type Item = v1::PushResponse;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<v1::PushResponse>, Status> {
        let response = v1::PushResponse::decode(buffer);
        response.map(Some).map_err(|error| Status::internal(format!("answer not readable: {error}")))
    }
}
