//! The groups, and who is in them.

use iotq_proto::v1::{self, Group, question::Ask};

use super::Question;
use crate::{
    config::{Config, InvalidConfig},
    render::{Cell, Column},
};

/// The groups, and which devices are in each
///
/// MADE OF are the networks, MACs and names that the user wrote down for it.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Example:\n  iotq groups --since 7d")]
pub struct Groups {}

impl Question for Groups {
    type Row = Group;

    fn ask(&self, _config: &Config) -> Result<Ask, InvalidConfig> {
        Ok(Ask::Groups(v1::GroupsQuestion {}))
    }

    fn rows(rows: v1::Rows) -> Vec<Group> {
        rows.groups
    }

    fn columns(&self) -> Vec<Column<Group>> {
        type Col = Column<Group>;
        vec![
            Col::left("group", "GROUP", |it| Cell::text(&it.group)).shortest(10),
            Col::data("devices", |it| Cell::texts(&it.devices)),
            Col::drawn("DEVICES", |it| Cell::Count(u64::try_from(it.devices.len()).unwrap_or(u64::MAX))).on_the_right(),
            Col::drawn("WHO", who).shortest(20),
            Col::data("device_names", |it| Cell::texts(&it.device_names)),
            Col::left("members", "MADE OF", |it| Cell::texts(&it.members))
                .shows(|it| Cell::text(&it.members.join(", ")))
                .shortest(12),
        ]
    }
}

/// The devices as people call them.
fn who(it: &Group) -> Cell {
    let name = |(index, device): (usize, &String)| match it.device_names.get(index) {
        Some(name) if !name.is_empty() => name.clone(),
        _ => device.clone(),
    };
    Cell::text(&it.devices.iter().enumerate().map(name).collect::<Vec<_>>().join(", "))
}
