//! `groups`: which there are, and who is in them.

use std::collections::BTreeMap;

use iotq_proto::v1;

use super::{Analyst, AskError, Asked, Out, Pieces};

pub(super) async fn answer(analyst: &Analyst, asked: &Asked, out: &Out) -> Result<(), AskError> {
    out.header(asked).await?;
    let mut groups = BTreeMap::<String, v1::Group>::new();
    let mut keys: Vec<_> = asked.directory.iter().map(|(key, _)| key).collect();
    keys.sort_unstable();
    for key in keys {
        let naming = analyst.naming(asked, key);
        for group in naming.groups {
            let row = groups.entry(group).or_default();
            row.devices.push(key.to_string());
            row.device_names.push(naming.name.clone());
        }
    }
    for (group, member) in asked.names.group_members() {
        groups.entry(group).or_default().members.push(member);
    }
    let mut pieces = Pieces::new(out, asked.scope.limit, |groups| v1::Rows { groups, ..v1::Rows::default() });
    for (group, row) in groups {
        if !pieces.push(v1::Group { group, ..row }).await? {
            break;
        }
    }
    pieces.end().await
}
