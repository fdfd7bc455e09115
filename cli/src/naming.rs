//! Devices' names and groups, as the user wants them: `device NAME set` and
//! `devices import`.

use std::{
    fs::File,
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use clap::{Subcommand, ValueEnum};
use iotq_proto::v1::{
    Header, ImportDevicesRequest, ImportDevicesResponse, ImportFormat, SetDeviceRequest, SetDeviceResponse,
};

use crate::{
    args::Format,
    client::{self, AskError},
    config::Config,
    render::{Cell, Column, Csv, JsonLines, Sheet as _, safe, write_note},
};

/// Name a device, put it into groups or take it out
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Examples:\n  iotq device 192.0.2.31 set --name Kindle --group mobile\n  \
    iotq device Kindle set --no-group mobile --group upstairs")]
pub struct DeviceCommand {
    /// The device: id, name, MAC or address
    #[arg(value_parser = clap::builder::NonEmptyStringValueParser::new())]
    device: String,
    /// What to do with it.
    #[command(subcommand)]
    action: DeviceAction,
}

#[derive(Clone, Debug, Subcommand)]
enum DeviceAction {
    Set(SetDevice),
}

/// Set a device's name and groups
///
/// They apply to all answers from then on, those about the past too. A MAC or address may be one that was not seen yet.
#[derive(Clone, Debug, clap::Args)]
#[group(required = true, multiple = true)]
#[command(override_usage = "iotq device <DEVICE> set [OPTIONS]")]
#[command(after_help = "Example:\n  iotq device 00:00:5e:00:53:01 set --name 'Kindle upstairs' --group mobile")]
struct SetDevice {
    /// What to call it; empty: by what the network says of it
    #[arg(long)]
    name: Option<String>,
    // With the id of the option that selects: here it means the device's groups.
    /// A group that it is in from now on (may be repeated)
    #[arg(long = "group", value_name = "GROUP", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    groups: Vec<String>,
    /// A group that it is no longer in (may be repeated)
    #[arg(long = "no-group", value_name = "GROUP", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    no_groups: Vec<String>,
}

/// Take over names from a file of a DHCP server or router
///
/// Names that you gave with `iotq device … set` stay as they are. Files: ISC dhcpd's dhcpd.leases, Kea's memfile (CSV),
/// dnsmasq.leases, pfSense's config.xml (static mappings), or CSV with the header mac,ip,name,groups.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Examples:\n  iotq devices import /var/lib/misc/dnsmasq.leases\n  \
    ssh router cat /cf/conf/config.xml | iotq devices import - --as pfsense")]
pub struct ImportDevices {
    /// The file; - is standard input
    file: PathBuf,
    /// What kind of file it is [default: told by its content]
    #[arg(long = "as", value_enum, value_name = "KIND")]
    kind: Option<FileKind>,
}

/// Files that have names in them.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum FileKind {
    /// ISC dhcpd's dhcpd.leases
    Isc,
    /// Kea's memfile
    Kea,
    /// dnsmasq.leases
    Dnsmasq,
    /// pfSense's config.xml
    Pfsense,
    /// mac,ip,name,groups with a header line
    Csv,
}

/// Why names were not set.
#[derive(Debug, thiserror::Error)]
pub enum NamingError {
    /// The analyzer.
    #[error(transparent)]
    Ask(#[from] AskError),
    /// The file.
    #[error("`{}` cannot be read", path.display())]
    File {
        /// Its path, - for standard input.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// More than the analyzer takes.
    #[error("`{}` has more than {} MiB: is it the right file?", path.display(), MAX_FILE_BYTES >> 20)]
    TooLarge {
        /// Its path.
        path: PathBuf,
    },
    /// The output takes no more.
    #[error("the answer could not be written")]
    Output(#[from] io::Error),
}

/// Sets a device's name and groups and says what they are now.
pub(crate) fn set(
    wanted: &DeviceCommand,
    config: &Config,
    out: impl Write,
    mut notes: impl Write,
) -> Result<(), NamingError> {
    let DeviceAction::Set(set) = &wanted.action;
    let response = client::set_device(
        config,
        SetDeviceRequest {
            device: wanted.device.clone(),
            name: set.name.clone(),
            add_groups: set.groups.clone(),
            remove_groups: set.no_groups.clone(),
        },
    )?;
    write(set_columns(), &response, config, out, set_in_words)?;
    for group in response.groups.iter().filter(|group| set.no_groups.iter().any(|no| no.eq_ignore_ascii_case(group))) {
        let line = format!(
            "it stays in `{}`: the names file or an import puts it there, and only they can take it out",
            safe(group)
        );
        write_note(&mut notes, &line);
    }
    Ok(())
}

/// Sends a file and says what was taken over.
pub(crate) fn import(wanted: &ImportDevices, config: &Config, out: impl Write) -> Result<(), NamingError> {
    let format = match wanted.kind {
        None => ImportFormat::Unspecified,
        Some(FileKind::Isc) => ImportFormat::Isc,
        Some(FileKind::Kea) => ImportFormat::Kea,
        Some(FileKind::Dnsmasq) => ImportFormat::Dnsmasq,
        Some(FileKind::Pfsense) => ImportFormat::Pfsense,
        Some(FileKind::Csv) => ImportFormat::Csv,
    };
    let file_name = wanted.file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let content = content(&wanted.file)?;
    let request = ImportDevicesRequest { file_name, content, format: format.into() };
    let response = client::import_devices(config, request)?;
    Ok(write(import_columns(), &response, config, out, import_in_words)?)
}

fn content(path: &Path) -> Result<Vec<u8>, NamingError> {
    let unreadable = |source| NamingError::File { path: path.to_owned(), source };
    let reader: Box<dyn Read> =
        if path == Path::new("-") { Box::new(io::stdin()) } else { Box::new(File::open(path).map_err(unreadable)?) };
    let mut content = Vec::new();
    reader.take(MAX_FILE_BYTES + 1).read_to_end(&mut content).map_err(unreadable)?;
    let too_large = u64::try_from(content.len()).unwrap_or(u64::MAX) > MAX_FILE_BYTES;
    if too_large { Err(NamingError::TooLarge { path: path.to_owned() }) } else { Ok(content) }
}

/// One row in the format that was asked for; a table of one row is sentences.
fn write<R: 'static>(
    columns: Vec<Column<R>>,
    row: &R,
    config: &Config,
    mut out: impl Write,
    in_words: fn(&R) -> String,
) -> io::Result<()> {
    match config.format {
        Format::Table | Format::Parquet => {
            out.write_all(in_words(row).as_bytes())?;
            out.flush()
        }
        Format::Json | Format::Jsonl => {
            let mut lines = JsonLines::new(out, columns);
            lines.row(row)?;
            lines.end(false)
        }
        Format::Csv => {
            let mut csv = Csv::new(out, columns, config.terminal.is_interactive);
            csv.begin(&Header::default())?;
            csv.row(row)?;
            csv.end(false)
        }
    }
}

fn set_columns() -> Vec<Column<SetDeviceResponse>> {
    type Col = Column<SetDeviceResponse>;
    vec![
        Col::data("device", |it| Cell::text(&it.device)),
        Col::data("name", |it| Cell::text(&it.name)),
        Col::data("name_source", |it| Cell::text(&it.name_source)),
        Col::data("group", |it| Cell::joined(&it.groups)),
    ]
}

fn set_in_words(it: &SetDeviceResponse) -> String {
    let name = if it.name.is_empty() { "has no name".to_owned() } else { format!("is called {}", safe(&it.name)) };
    let groups = match it.groups.as_slice() {
        [] => "in no group".to_owned(),
        [one] => format!("in group {}", safe(one)),
        all => format!("in groups {}", safe(&all.join(", "))),
    };
    format!("{} {name}, {groups}\n", safe(&it.device))
}

fn import_columns() -> Vec<Column<ImportDevicesResponse>> {
    type Col = Column<ImportDevicesResponse>;
    vec![
        Col::data("format", |it| Cell::text(format_keyword(it.format()))),
        Col::data("entries", |it| Cell::Count(it.entries)),
        Col::data("named", |it| Cell::Count(it.named)),
        Col::data("known", |it| Cell::Count(it.known)),
        Col::data("skipped", |it| Cell::texts(&it.skipped)),
    ]
}

fn import_in_words(it: &ImportDevicesResponse) -> String {
    let mut text = format!(
        "read as {}: {} entries, {} with a name taken over, {} of them for devices seen already\n",
        format_keyword(it.format()),
        it.entries,
        it.named,
        it.known
    );
    for line in &it.skipped {
        text.push_str(&format!("skipped: {}\n", safe(line)));
    }
    text
}

/// As `--as` takes it.
fn format_keyword(format: ImportFormat) -> &'static str {
    match format {
        ImportFormat::Unspecified => "",
        ImportFormat::Isc => "isc",
        ImportFormat::Kea => "kea",
        ImportFormat::Dnsmasq => "dnsmasq",
        ImportFormat::Pfsense => "pfsense",
        ImportFormat::Csv => "csv",
    }
}

/// What the analyzer takes (`ImportDevicesRequest.content`); leases of 20,000 devices are some 6 MiB.
const MAX_FILE_BYTES: u64 = 8 << 20;
