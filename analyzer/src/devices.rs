//! Naming devices: what the user says, and what files of DHCP servers say. Applied
//! when a question is asked, so it changes answers about the past too.

use std::{net::IpAddr, sync::Arc};

use iotq_proto::{
    MacAddr, VlanId,
    error::Chain,
    v1::{self, devices_server::Devices},
};
use tonic::{Request, Response, Status};
use tracing::{info, warn};

use crate::{
    clock::now_ns,
    enrich::{
        DeviceKey,
        leases::{self, ImportFormat, Lease},
    },
    query::Analyst,
    store::{GivenRow, InsertError, ReadError, Store},
};

/// The gRPC service.
#[derive(Clone)]
pub struct DevicesService {
    analyst: Arc<Analyst>,
    store: Store,
}

impl DevicesService {
    /// Keeps names in `store`; `analyst` answers with them from then on.
    #[must_use]
    pub fn new(analyst: Arc<Analyst>, store: Store) -> Self {
        Self { analyst, store }
    }

    async fn given(&self, key: DeviceKey) -> Result<GivenRow, Status> {
        let device = key.to_string();
        let rows = self.store.given_names().await.map_err(|error| unavailable(&error))?;
        let found = rows.into_iter().find(|row| row.device == device && row.source == USER);
        Ok(found.unwrap_or_else(|| GivenRow {
            device,
            source: USER.to_owned(),
            name: String::new(),
            groups: Vec::new(),
            set_at_ns: 0,
        }))
    }

    async fn keep(&self, rows: &[GivenRow]) -> Result<(), Status> {
        self.store.give_names(rows).await.map_err(|error| not_kept(&error))?;
        self.analyst.look_again();
        Ok(())
    }
}

#[tonic::async_trait]
impl Devices for DevicesService {
    async fn set(&self, request: Request<v1::SetDeviceRequest>) -> Result<Response<v1::SetDeviceResponse>, Status> {
        let wanted = request.into_inner();
        let key = find(&self.analyst, wanted.device.trim()).await?;
        let mut row = self.given(key).await?;
        if let Some(name) = wanted.name {
            row.name = checked("name", &name)?;
        }
        for group in wanted.remove_groups {
            row.groups.retain(|known| !known.eq_ignore_ascii_case(group.trim()));
        }
        for group in wanted.add_groups {
            let group = checked("group", &group)?;
            if group.is_empty() {
                return Err(Status::invalid_argument("a group needs a name"));
            }
            if !row.groups.iter().any(|known| known.eq_ignore_ascii_case(&group)) {
                row.groups.push(group);
            }
        }
        if row.groups.len() > MAX_GROUPS {
            return Err(Status::invalid_argument(format!("a device may be in {MAX_GROUPS} groups at most")));
        }
        row.set_at_ns = now_ns();
        self.keep(std::slice::from_ref(&row)).await?;
        info!(device = row.device, name = row.name, "device named");
        let naming = self.analyst.naming_now(key).await.map_err(|error| unavailable(&error))?;
        Ok(Response::new(v1::SetDeviceResponse {
            device: row.device,
            name: naming.name,
            name_source: naming.source.to_owned(),
            groups: naming.groups,
        }))
    }

    async fn import(
        &self,
        request: Request<v1::ImportDevicesRequest>,
    ) -> Result<Response<v1::ImportDevicesResponse>, Status> {
        let file = request.into_inner();
        if file.content.len() > MAX_FILE_BYTES {
            return Err(Status::invalid_argument(format!(
                "`{}` has {} octets; a file may have {MAX_FILE_BYTES}",
                file.file_name,
                file.content.len()
            )));
        }
        let format = match file.format() {
            v1::ImportFormat::Unspecified => None,
            v1::ImportFormat::Isc => Some(ImportFormat::Isc),
            v1::ImportFormat::Kea => Some(ImportFormat::Kea),
            v1::ImportFormat::Dnsmasq => Some(ImportFormat::Dnsmasq),
            v1::ImportFormat::Pfsense => Some(ImportFormat::PfSense),
            v1::ImportFormat::Csv => Some(ImportFormat::Csv),
        };
        // Names that are no UTF-8 keep what is.
        let content = String::from_utf8_lossy(&file.content);
        let read = format
            .map_or_else(|| leases::parse(&content), |format| leases::parse_as(format, &content))
            .map_err(|error| Status::invalid_argument(format!("`{}`: {}", file.file_name, Chain(&error))))?;
        let set_at_ns = now_ns();
        let mut rows = Vec::new();
        for lease in &read.leases {
            rows.extend(given_by(lease, set_at_ns));
        }
        self.keep(&rows).await?;
        let mut known = 0;
        for lease in &read.leases {
            let text = lease.mac.map(|mac| mac.to_string()).or_else(|| lease.ip.map(|ip| ip.to_string()));
            if let Some(text) = text {
                let found = self.analyst.find_devices(&text).await.map_err(|error| unavailable(&error))?;
                known += u64::from(!found.is_empty());
            }
        }
        info!(file = file.file_name, entries = read.leases.len(), named = rows.len(), "names imported");
        Ok(Response::new(v1::ImportDevicesResponse {
            format: match read.format {
                ImportFormat::Isc => v1::ImportFormat::Isc,
                ImportFormat::Kea => v1::ImportFormat::Kea,
                ImportFormat::Dnsmasq => v1::ImportFormat::Dnsmasq,
                ImportFormat::PfSense => v1::ImportFormat::Pfsense,
                ImportFormat::Csv => v1::ImportFormat::Csv,
            }
            .into(),
            entries: read.leases.len() as u64,
            named: rows.len() as u64,
            known,
            skipped: read.skipped,
        }))
    }
}

/// The device that a text means: one that is known, else a MAC or address that
/// may come.
pub(crate) async fn find(analyst: &Analyst, text: &str) -> Result<DeviceKey, Status> {
    let found = analyst.find_devices(text).await.map_err(|error| unavailable(&error))?;
    match found.as_slice() {
        [key] => Ok(*key),
        [] => key_of(text).ok_or_else(|| {
            Status::not_found(format!(
                "no device is known as `{text}`: `iotq devices --since all` lists them; a MAC or address may be one not seen yet"
            ))
        }),
        several => {
            let ids: Vec<_> = several.iter().map(ToString::to_string).collect();
            Err(Status::failed_precondition(format!(
                "`{text}` means {} devices: say which by its id ({})",
                ids.len(),
                ids.join(", ")
            )))
        }
    }
}

/// The name that a lease gives; `None`: it gives none.
fn given_by(lease: &Lease, set_at_ns: i64) -> Option<GivenRow> {
    if lease.name.is_empty() && lease.groups.is_empty() {
        return None;
    }
    let key = match (lease.mac, lease.ip) {
        (Some(mac), _) => DeviceKey::Mac(mac, VlanId::UNTAGGED),
        (None, Some(ip)) => DeviceKey::Ip(ip.to_canonical()),
        (None, None) => return None,
    };
    Some(GivenRow {
        device: key.to_string(),
        source: LEASE.to_owned(),
        name: lease.name.clone(),
        groups: lease.groups.clone(),
        set_at_ns,
    })
}

/// A MAC (with `@VLAN` in one) or an address.
fn key_of(text: &str) -> Option<DeviceKey> {
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Some(DeviceKey::Ip(ip.to_canonical()));
    }
    let (mac, vlan) = match text.split_once('@') {
        Some((mac, vlan)) => (mac, VlanId::from_u32(vlan.parse().ok()?)?),
        None => (text, VlanId::UNTAGGED),
    };
    let mac = mac.parse::<MacAddr>().ok().filter(|mac| mac.identifies())?;
    Some(DeviceKey::Mac(mac, vlan))
}

/// Without blanks around it; refused if it is long or has control characters.
fn checked(what: &str, text: &str) -> Result<String, Status> {
    let text = text.trim();
    if text.chars().count() > MAX_TEXT_CHARS {
        return Err(Status::invalid_argument(format!("a {what} may have {MAX_TEXT_CHARS} characters at most")));
    }
    if text.chars().any(char::is_control) {
        return Err(Status::invalid_argument(format!("a {what} may have no control characters")));
    }
    Ok(text.to_owned())
}

pub(crate) fn unavailable(error: &ReadError) -> Status {
    warn!(error = %Chain(error), "devices not looked up");
    Status::unavailable("the analyzer's store did not answer; its log says why")
}

fn not_kept(error: &InsertError) -> Status {
    warn!(error = %Chain(error), "names not kept");
    Status::unavailable("the name was not kept: the analyzer's store did not take it; its log says why")
}

const USER: &str = "user";
const LEASE: &str = "lease";
/// Longer names are no names.
const MAX_TEXT_CHARS: usize = 200;
/// More groups than this nobody means.
const MAX_GROUPS: usize = 100;
/// A lease file of thousands of devices has some hundred KiB.
const MAX_FILE_BYTES: usize = 8 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_that_were_not_seen_yet_have_a_key() {
        for (text, id) in [
            ("00-00-5E-00-53-01", "00:00:5e:00:53:01"),
            ("00:00:5e:00:53:01@10", "00:00:5e:00:53:01@10"),
            ("192.0.2.7", "192.0.2.7"),
            ("::ffff:192.0.2.7", "192.0.2.7"),
        ] {
            assert_eq!(key_of(text).map(|key| key.to_string()).as_deref(), Some(id));
        }
        for text in ["Kindle", "00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff", "00:00:5e:00:53:01@9999", ""] {
            assert_eq!(key_of(text), None, "{text}");
        }
    }

    #[test]
    fn names_are_checked() {
        assert_eq!(checked("name", " Küche ").unwrap(), "Küche");
        assert!(checked("name", "a\nb").is_err());
        assert!(checked("name", &"a".repeat(201)).is_err());
    }
}
