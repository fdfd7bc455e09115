//! Lets encoded messages through as they are: a batch is encoded once, however
//! often it has to be sent.

use bytes::{BufMut as _, Bytes};
use iotq_proto::v1;
use prost::Message as _;
use tonic::{
    Status,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
};

/// `PushRequest`s that are encoded already, `PushResponse`s.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct PushCodec;

impl Codec for PushCodec {
    type Encode = Bytes;
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
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, message: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.reserve(message.len());
        buffer.put(message);
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
