//! Tables of networks in `MaxMind`'s database format (MMDB): `GeoLite2`, DB-IP, `IPinfo`
//! and others, which differ in what they call the fields.

use std::collections::HashMap;

use ipnet::IpNet;
use maxminddb::{Reader, WithinOptions};
use serde::Deserialize;

use super::{Kind, TableBuilder, text};
use crate::enrich::about::{About, date_of_unix};

/// The fields that any of them has.
#[derive(Debug, Deserialize)]
struct Record<'a> {
    #[serde(default)]
    autonomous_system_number: Option<u32>,
    #[serde(default, borrow)]
    autonomous_system_organization: Option<&'a str>,
    #[serde(default, borrow)]
    asn: Option<Number<'a>>,
    #[serde(default, borrow)]
    as_name: Option<&'a str>,
    #[serde(default, borrow)]
    name: Option<&'a str>,
    #[serde(default, borrow)]
    country_code: Option<&'a str>,
    #[serde(default, borrow)]
    country: Option<Country<'a>>,
}

/// `64496` or `AS64496`.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Number<'a> {
    Number(u32),
    Text(&'a str),
}

/// A map with the code in it, or the code (`IPinfo`'s older tables; in the newer
/// ones the country's name).
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Country<'a> {
    Map {
        #[serde(default, borrow)]
        iso_code: Option<&'a str>,
    },
    Text(&'a str),
}

/// Reads all networks into the builder.
///
/// # Errors
/// What is wrong with the file.
pub(super) fn read(bytes: &[u8], builder: &mut TableBuilder) -> Result<(), String> {
    let broken = |error: maxminddb::MaxMindDbError| error.to_string();
    let reader = Reader::from_source(bytes).map_err(broken)?;
    let described = about(&reader);
    let known = std::mem::take(builder.about_mut());
    *builder.about_mut() = known.or(described);
    // Records by their place in the file: most are of many networks.
    let mut records: HashMap<usize, Option<(u32, String)>> = HashMap::new();
    // Networks without data too: in a damaged file there may be too many to pass over.
    let options = WithinOptions::default().include_networks_without_data();
    for (count, network) in reader.networks(options).map_err(broken)?.enumerate() {
        if count > MAX_NETWORKS {
            return Err(format!("more than {MAX_NETWORKS} networks"));
        }
        let found = network.map_err(broken)?;
        let Some(offset) = found.offset() else { continue };
        let record = match records.get(&offset) {
            Some(record) => record,
            None => {
                let record = found.decode::<Record<'_>>().map_err(broken)?;
                let value = record.and_then(|record| value(&record, builder.kind()));
                records.entry(offset).or_insert(value)
            }
        };
        let Some((number, name)) = record else { continue };
        let network = found.network().map_err(broken)?;
        let net = IpNet::new(network.ip(), network.prefix()).map_err(|error| error.to_string())?;
        builder.add(net.network(), net.broadcast(), *number, name)?;
    }
    Ok(())
}

fn value(record: &Record<'_>, kind: Kind) -> Option<(u32, String)> {
    match kind {
        Kind::Asn => {
            let number = record.autonomous_system_number.or(match record.asn {
                Some(Number::Number(number)) => Some(number),
                Some(Number::Text(text)) => text::asn(text),
                None => None,
            });
            let name =
                [record.autonomous_system_organization, record.as_name, record.name].into_iter().flatten().next();
            number.filter(|number| *number != 0).map(|number| (number, name.unwrap_or_default().to_owned()))
        }
        Kind::Country => {
            let in_country = match record.country {
                Some(Country::Map { iso_code }) => iso_code,
                Some(Country::Text(text)) => Some(text),
                None => None,
            };
            record.country_code.or(in_country).and_then(text::country).map(|code| (0, code))
        }
    }
}

fn about(reader: &Reader<&[u8]>) -> About {
    let metadata = reader.metadata();
    let description = metadata.description.get("en").cloned().unwrap_or_default();
    let source = match (metadata.database_type.as_str(), description.as_str()) {
        (kind, "") => kind.to_owned(),
        (kind, text) => format!("{kind}: {text}"),
    };
    let date = i64::try_from(metadata.build_epoch).ok().and_then(date_of_unix).unwrap_or_default();
    About { source, date, ..About::default() }
}

/// Twice as many as rows can be kept: in a tree each network with data may have one
/// without beside it.
const MAX_NETWORKS: usize = 16_000_000;
