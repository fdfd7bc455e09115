//! How messages come from the wire.

use std::marker::PhantomData;

use prost::{Message, bytes::Buf as _};
use tonic::{
    Status,
    codec::{BufferSettings, Codec as TonicCodec, DecodeBuf, Decoder},
};
use tonic_prost::{ProstCodec, ProstEncoder};

/// As [`ProstCodec`], but messages are read from a slice: read from tonic's own buffer, each
/// number moves the ends of that along, which is a tenth of what the analyzer does with a batch.
#[derive(Clone, Debug)]
pub(crate) struct Codec<T, U>(PhantomData<(T, U)>);

impl<T, U> Default for Codec<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T, U> TonicCodec for Codec<T, U>
where
    T: Message + 'static,
    U: Message + Default + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = ProstEncoder<T>;
    type Decoder = Slice<U>;

    fn encoder(&mut self) -> Self::Encoder {
        ProstCodec::<T, U>::raw_encoder(BufferSettings::default())
    }

    fn decoder(&mut self) -> Self::Decoder {
        Slice(PhantomData)
    }
}

/// Reads messages from a slice.
#[derive(Clone, Debug)]
pub(crate) struct Slice<U>(PhantomData<U>);

impl<U: Message + Default> Decoder for Slice<U> {
    type Item = U;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<U>, Status> {
        // Nothing is copied: the buffer gives its front away.
        let message = buffer.copy_to_bytes(buffer.remaining());
        // As `ProstCodec` says it.
        U::decode(&message[..]).map(Some).map_err(|error| Status::internal(error.to_string()))
    }
}
