//! Whose a name is, and what it is for: from our own list of what devices talk to,
//! and from lists of others that the user loaded, which go first.
//!
//! The words are neutral. A category says what a name is for as far as its owner
//! says, not whether a packet to it is wanted.

mod import;
mod json;
mod list;

use std::path::Path;

pub use self::{
    import::{OwnersError, read, write},
    list::{CATEGORIES, List, ListBuilder},
};
use super::About;

/// All lists, the one that goes first first.
#[derive(Debug)]
pub struct Owners {
    lists: Vec<List>,
}

/// Whose a name is.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Owner<'a> {
    /// Empty: no list says.
    pub owner: &'a str,
    /// One of [`CATEGORIES`]; empty: no list says.
    pub category: &'a str,
    /// The list that says it: `iotq`, or the name under which the user loaded it.
    pub source: &'a str,
}

impl Default for Owners {
    /// Our own list alone.
    fn default() -> Self {
        Self::with(Vec::new())
    }
}

impl Owners {
    /// The user's lists, the first of them going first, and our own.
    #[must_use]
    pub fn with(mut lists: Vec<List>) -> Self {
        // A broken list is a broken build: a unit test reads it.
        if let Ok(own) = import::own(OWN_NAME, OWN) {
            lists.push(own);
        }
        Self { lists }
    }

    /// Whose a name is: the longest domain counts that it ends with. A list that
    /// knows no owner (of names to block, say) leaves the owner to the next one.
    #[must_use]
    pub fn find(&self, fqdn: &str) -> Option<Owner<'_>> {
        let lower = fqdn.bytes().any(|byte| byte.is_ascii_uppercase()).then(|| fqdn.to_ascii_lowercase());
        let name = lower.as_deref().unwrap_or(fqdn).trim_end_matches('.');
        self.merge(|list| list.find(name))
    }

    /// Whose an autonomous system is, for addresses without a name.
    #[must_use]
    pub fn of_asn(&self, asn: u32) -> Option<Owner<'_>> {
        self.merge(|list| list.of_asn(asn))
    }

    /// The lists, the one that goes first first.
    pub fn lists(&self) -> impl Iterator<Item = &List> {
        self.lists.iter()
    }

    fn merge<'a>(&'a self, find: impl Fn(&'a List) -> Option<(&'a str, &'a str)>) -> Option<Owner<'a>> {
        let mut merged: Option<Owner<'a>> = None;
        for list in &self.lists {
            let Some((owner, category)) = find(list) else { continue };
            let merged = merged.get_or_insert(Owner { source: list.name(), ..Owner::default() });
            if merged.owner.is_empty() && !owner.is_empty() {
                (merged.owner, merged.source) = (owner, list.name());
            }
            if merged.category.is_empty() {
                merged.category = category;
            }
            if !merged.owner.is_empty() && !merged.category.is_empty() {
                break;
            }
        }
        merged
    }
}

/// The name of an imported list: its file's, without what it ends in.
#[must_use]
pub fn list_name(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let name = name.split('.').next().unwrap_or_default();
    let fits = |each: char| each.is_ascii_alphanumeric() || matches!(each, '-' | '_');
    let name: String = name.chars().map(|each| if fits(each) { each } else { '_' }).take(MAX_LIST_NAME_CHARS).collect();
    if name.is_empty() || name == OWN_NAME { format!("list_{name}") } else { name }
}

/// Where our own list comes from.
#[must_use]
pub fn about_own() -> About {
    import::own(OWN_NAME, OWN).map(|list| list.about().clone()).unwrap_or_default()
}

const OWN: &str = include_str!("../../data/owners.tsv");
const OWN_NAME: &str = "iotq";
/// It becomes a file's name.
const MAX_LIST_NAME_CHARS: usize = 64;

#[cfg(test)]
mod tests;
