//! Calls of the services `Export` and `Forget`.

use iotq_proto::v1::{self, export_client::ExportClient, export_response::Kind, forget_client::ForgetClient};

use super::{AskError, MAX_MESSAGE_BYTES, connection::Line};
use crate::config::Config;

/// Asks for a file and hands its pieces to `write` as they come.
///
/// # Errors
/// If the analyzer cannot be reached, refuses or breaks off, or what `write` says.
pub fn export<E: From<AskError>>(
    config: &Config,
    request: v1::ExportRequest,
    mut write: impl FnMut(&[u8]) -> Result<(), E>,
) -> Result<v1::Header, E> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(AskError::Start)?;
    let line = Line::new(config);
    runtime.block_on(async {
        let mut client = ExportClient::new(line.connect().await?).max_decoding_message_size(MAX_MESSAGE_BYTES);
        let refused = |status| AskError::of_status(&status, &line.url, false);
        let mut pieces = line.unless_silent(client.export(request)).await?.map_err(refused)?.into_inner();
        let mut header = None;
        let mut written = 0_u64;
        loop {
            let message = line.unless_silent(pieces.message()).await?;
            let message = message.map_err(|status| AskError::of_status(&status, &line.url, header.is_some()))?;
            let cut_off = || AskError::CutOff { url: line.url.clone() };
            match message.ok_or_else(cut_off)?.kind {
                Some(Kind::Header(first)) => header = Some(first),
                Some(Kind::Data(data)) => {
                    written += data.len() as u64;
                    write(&data)?;
                }
                Some(Kind::End(end)) if end.bytes == written => return Ok(header.unwrap_or_default()),
                Some(Kind::End(_)) => return Err(cut_off().into()),
                None => {}
            }
        }
    })
}

/// Has something forgotten, or asks what would go.
///
/// # Errors
/// If the analyzer cannot be reached or refuses.
pub fn forget(config: &Config, request: v1::ForgetRequest) -> Result<v1::ForgetResponse, AskError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(AskError::Start)?;
    let line = Line::new(config);
    runtime.block_on(async {
        let mut client = ForgetClient::new(line.connect().await?);
        // Tables are written anew: as long as it takes; keep-alives notice a host that is gone.
        let response = client.forget(request).await;
        Ok(response.map_err(|status| AskError::of_status(&status, &line.url, false))?.into_inner())
    })
}
