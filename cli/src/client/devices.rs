//! Calls of the service `Devices`: one request, one response.

use iotq_proto::v1::{self, devices_client::DevicesClient};
use tonic::{Response, Status};

use super::{
    AskError,
    connection::{Calls, Line},
};
use crate::config::Config;

/// Names a device, or changes its groups.
///
/// # Errors
/// If the analyzer cannot be reached or refuses.
pub fn set_device(config: &Config, request: v1::SetDeviceRequest) -> Result<v1::SetDeviceResponse, AskError> {
    call(config, async |mut client| client.set(request).await)
}

/// Takes over the names in a file.
///
/// # Errors
/// If the analyzer cannot be reached or refuses.
pub fn import_devices(
    config: &Config,
    request: v1::ImportDevicesRequest,
) -> Result<v1::ImportDevicesResponse, AskError> {
    call(config, async |mut client| client.import(request).await)
}

fn call<T>(
    config: &Config,
    send: impl AsyncFnOnce(DevicesClient<Calls>) -> Result<Response<T>, Status>,
) -> Result<T, AskError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(AskError::Start)?;
    let line = Line::new(config);
    runtime.block_on(async {
        let client = DevicesClient::new(line.connect().await?);
        let response = line.unless_silent(send(client)).await?;
        Ok(response.map_err(|status| AskError::of_status(&status, &line.url, false))?.into_inner())
    })
}
