//! Lists of owners in JSON. Each of the four known ones has other fields; what is
//! read is only names, owners and categories.

use std::collections::{BTreeMap, HashMap};

use serde::Deserialize;
use serde_json::{Map, Value};

use super::list::{ListBuilder, category};

/// Reads whichever it is.
///
/// # Errors
/// What is wrong with it.
pub(super) fn read(bytes: &[u8], builder: &mut ListBuilder) -> Result<(), String> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let value: Value = serde_json::from_slice(bytes).map_err(|error| format!("no JSON: {error}"))?;
    let has = |key: &str| value.get(key).is_some();
    if value.is_array() {
        entities(value, builder)
    } else if has("trackers") {
        tracker_data_set(value, builder)
    } else if has("patterns") {
        tracker_db(value, builder)
    } else if has("categories") {
        services(&value, builder)
    } else {
        Err("JSON, but none of the known lists (DuckDuckGo, Disconnect, Ghostery, third-party-web)".into())
    }
}

/// `DuckDuckGo`'s tracker data set: `trackers` has what is known of a domain,
/// `domains` the owners of further ones.
fn tracker_data_set(value: Value, builder: &mut ListBuilder) -> Result<(), String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Owner {
        #[serde(default)]
        name: String,
        #[serde(default)]
        display_name: String,
    }
    #[derive(Deserialize)]
    struct Tracker {
        owner: Option<Owner>,
        #[serde(default)]
        categories: Vec<String>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Entity {
        #[serde(default)]
        display_name: String,
    }
    #[derive(Deserialize)]
    struct DataSet {
        trackers: BTreeMap<String, Tracker>,
        #[serde(default)]
        entities: HashMap<String, Entity>,
        #[serde(default)]
        domains: BTreeMap<String, String>,
    }
    let set: DataSet = serde_json::from_value(value).map_err(|error| format!("DuckDuckGo's list: {error}"))?;
    for (domain, tracker) in &set.trackers {
        let owner = tracker
            .owner
            .as_ref()
            .map_or("", |owner| if owner.display_name.is_empty() { &owner.name } else { &owner.display_name });
        builder.add(domain, owner, most_telling(&tracker.categories))?;
    }
    for (domain, entity) in &set.domains {
        let display = set.entities.get(entity).map(|entity| entity.display_name.as_str());
        let owner = display.filter(|name| !name.is_empty()).unwrap_or(entity);
        builder.add(domain, owner, UNKNOWN)?;
    }
    about(builder, "DuckDuckGo Tracker Data Set", "CC BY-NC-SA 4.0");
    Ok(())
}

/// Disconnect's `services.json`: category → companies → home page → domains.
fn services(value: &Value, builder: &mut ListBuilder) -> Result<(), String> {
    let wrong = || "Disconnect's list: `categories` is no map of lists of companies".to_owned();
    let categories = value.get("categories").and_then(Value::as_object).ok_or_else(wrong)?;
    for (name, companies) in categories {
        let category = category(name);
        for company in companies.as_array().ok_or_else(wrong)? {
            for (owner, pages) in company.as_object().ok_or_else(wrong)? {
                // Beside home pages there are marks as text, like `"dnt": "eff"`.
                let domains = pages.as_object().into_iter().flat_map(Map::values).filter_map(Value::as_array).flatten();
                for domain in domains.filter_map(Value::as_str) {
                    builder.add(domain, owner, category)?;
                }
            }
        }
    }
    about(builder, "Disconnect", "CC BY-NC-SA 4.0");
    Ok(())
}

/// Ghostery's `trackerdb.json`.
fn tracker_db(value: Value, builder: &mut ListBuilder) -> Result<(), String> {
    #[derive(Deserialize)]
    struct Pattern {
        #[serde(default)]
        name: Option<String>,
        #[serde(default)]
        category: Option<String>,
        #[serde(default)]
        organization: Option<String>,
        #[serde(default)]
        domains: Option<Vec<String>>,
    }
    #[derive(Deserialize)]
    struct Organization {
        #[serde(default)]
        name: Option<String>,
    }
    #[derive(Deserialize)]
    struct TrackerDb {
        patterns: BTreeMap<String, Pattern>,
        #[serde(default)]
        organizations: HashMap<String, Organization>,
        #[serde(default)]
        domains: BTreeMap<String, String>,
    }
    let db: TrackerDb = serde_json::from_value(value).map_err(|error| format!("Ghostery's list: {error}"))?;
    let owner_of = |pattern: &Pattern| {
        let organization = pattern.organization.as_ref().and_then(|id| db.organizations.get(id));
        let name = organization.and_then(|organization| organization.name.clone());
        name.or_else(|| pattern.name.clone()).unwrap_or_default()
    };
    let category_of = |pattern: &Pattern| pattern.category.as_deref().map_or(UNKNOWN, category);
    for pattern in db.patterns.values() {
        for domain in pattern.domains.iter().flatten() {
            builder.add(domain, &owner_of(pattern), category_of(pattern))?;
        }
    }
    // In the distributed form the domains are beside the patterns.
    for (domain, id) in &db.domains {
        if let Some(pattern) = db.patterns.get(id) {
            builder.add(domain, &owner_of(pattern), category_of(pattern))?;
        }
    }
    about(builder, "Ghostery TrackerDB", "CC BY-NC-SA 4.0");
    Ok(())
}

/// third-party-web's `entities.json`.
fn entities(value: Value, builder: &mut ListBuilder) -> Result<(), String> {
    #[derive(Deserialize)]
    struct Entity {
        name: String,
        #[serde(default)]
        company: Option<String>,
        #[serde(default)]
        category: Option<String>,
        #[serde(default)]
        categories: Vec<String>,
        domains: Vec<String>,
    }
    let entities: Vec<Entity> =
        serde_json::from_value(value).map_err(|error| format!("third-party-web's list: {error}"))?;
    for entity in &entities {
        let owner = entity.company.as_deref().filter(|name| !name.is_empty()).unwrap_or(&entity.name);
        let category = match (entity.category.as_deref(), entity.categories.first().map(String::as_str)) {
            (Some("ad"), _) | (None, Some("ad")) => "ads",
            (Some(word), _) | (None, Some(word)) => category(word),
            (None, None) => UNKNOWN,
        };
        for domain in &entity.domains {
            builder.add(domain, owner, category)?;
        }
    }
    about(builder, "third-party-web", "MIT");
    Ok(())
}

/// Of several categories the one that says most: the first of ours that is not `other`.
fn most_telling(words: &[String]) -> &'static str {
    let known: Vec<_> = words.iter().map(|word| category(word)).collect();
    let by_weight = ["ads", "analytics", "social", "cdn"];
    let telling = by_weight.into_iter().find(|ours| known.contains(ours));
    telling.or_else(|| known.into_iter().find(|ours| *ours != "other")).unwrap_or(UNKNOWN)
}

fn about(builder: &mut ListBuilder, source: &str, licence: &str) {
    let about = builder.about_mut();
    about.source = source.into();
    about.licence = licence.into();
}

/// The list knows the owner only: the next list may know what the name is for.
const UNKNOWN: &str = "";
