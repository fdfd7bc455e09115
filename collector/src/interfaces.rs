//! `interfaces`: what can be captured from, as a list.

use std::{
    fmt::Write as _,
    io::{self, Write},
    net::IpAddr,
};

use serde::Serialize;

use crate::{
    args::OutputFormat,
    capture::live::{Interface, ListError, interfaces},
};

/// Why there is no list.
#[derive(Debug, thiserror::Error)]
pub enum InterfacesError {
    /// The system does not tell.
    #[error(transparent)]
    List(#[from] ListError),
    /// It cannot be written.
    #[error("standard output not written")]
    Output(#[from] io::Error),
}

/// Writes the list; a reader that has gone is no failure.
///
/// # Errors
/// If there is no list, or it cannot be written.
pub fn list(format: OutputFormat, mut to: impl Write) -> Result<(), InterfacesError> {
    let interfaces = interfaces()?;
    let text = match format {
        OutputFormat::Table => as_table(&interfaces),
        OutputFormat::Json => as_json(&interfaces)?,
    };
    match to.write_all(text.as_bytes()).and_then(|()| to.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

#[derive(Serialize)]
struct Json<'a> {
    interfaces: Vec<Row<'a>>,
}

#[derive(Serialize)]
struct Row<'a> {
    name: &'a str,
    description: Option<&'a str>,
    addresses: &'a [IpAddr],
    up: bool,
    running: bool,
    /// `null`: it cannot be told.
    connected: Option<bool>,
    loopback: bool,
    wireless: bool,
}

impl<'a> From<&'a Interface> for Row<'a> {
    fn from(interface: &'a Interface) -> Self {
        Self {
            name: &interface.name,
            description: interface.description.as_deref(),
            addresses: &interface.addresses,
            up: interface.is_up,
            running: interface.is_running,
            connected: interface.is_connected,
            loopback: interface.is_loopback,
            wireless: interface.is_wireless,
        }
    }
}

fn as_json(interfaces: &[Interface]) -> io::Result<String> {
    let json = Json { interfaces: interfaces.iter().map(Row::from).collect() };
    Ok(serde_json::to_string(&json)? + "\n")
}

fn as_table(interfaces: &[Interface]) -> String {
    if interfaces.is_empty() {
        return "nothing can be captured from: try again as root\n".to_owned();
    }
    let rows: Vec<[String; 4]> = interfaces
        .iter()
        .map(|interface| {
            let addresses: Vec<String> = interface.addresses.iter().map(ToString::to_string).collect();
            [
                interface.name.clone(),
                state(interface).to_owned(),
                if addresses.is_empty() { "-".to_owned() } else { addresses.join(" ") },
                interface.description.clone().unwrap_or_default(),
            ]
        })
        .collect();
    let width = |column: usize, title: &str| {
        rows.iter()
            .filter_map(|row| row.get(column))
            .map(|cell| cell.chars().count())
            .max()
            .unwrap_or(0)
            .max(title.len())
    };
    let (names, states) = (width(0, "INTERFACE"), width(1, "STATE"));
    let mut text = format!("{:<names$}  {:<states$}  ADDRESSES\n", "INTERFACE", "STATE");
    for [name, state, addresses, description] in &rows {
        let line = format!("{name:<names$}  {state:<states$}  {addresses}  {description}");
        // Writing to a `String` cannot fail.
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

fn state(interface: &Interface) -> &'static str {
    match interface {
        Interface { is_up: false, .. } => "down",
        Interface { is_connected: Some(false), .. } | Interface { is_running: false, .. } => "no link",
        Interface { is_loopback: true, .. } => "loopback",
        _ => "up",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interface(name: &str) -> Interface {
        Interface {
            name: name.to_owned(),
            description: None,
            addresses: vec!["192.0.2.1".parse().unwrap()],
            is_up: true,
            is_running: true,
            is_loopback: false,
            is_wireless: false,
            is_connected: None,
        }
    }

    #[test]
    fn the_table_is_aligned() {
        let down = Interface { is_up: false, addresses: Vec::new(), ..interface("enp0s31f6") };
        let any = Interface { description: Some("all of them".into()), addresses: Vec::new(), ..interface("any") };
        let table = "\
INTERFACE  STATE  ADDRESSES
lan        up     192.0.2.1
enp0s31f6  down   -
any        up     -  all of them
";
        assert_eq!(as_table(&[interface("lan"), down, any]), table);
    }

    #[test]
    fn json_is_one_object_on_one_line() {
        assert_eq!(
            as_json(&[interface("lan")]).unwrap(),
            "{\"interfaces\":[{\"name\":\"lan\",\"description\":null,\"addresses\":[\"192.0.2.1\"],\"up\":true,\
             \"running\":true,\"connected\":null,\"loopback\":false,\"wireless\":false}]}\n"
        );
    }
}
