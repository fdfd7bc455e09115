//! Reads values out of rows, and says what is wrong with one that is not as it should be.

use std::{collections::BTreeSet, net::IpAddr};

use serde_json::Value;

/// A text.
///
/// # Panics
/// If it is something else.
#[track_caller]
#[must_use]
pub fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text"))
}

/// A count.
///
/// # Panics
/// If it is something else.
#[track_caller]
#[must_use]
pub fn count(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value} is no count"))
}

/// A number.
///
/// # Panics
/// If it is something else.
#[track_caller]
#[must_use]
pub fn real(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

/// An address.
///
/// # Panics
/// If it is something else.
#[track_caller]
#[must_use]
pub fn address(value: &Value) -> IpAddr {
    text(value).parse().unwrap_or_else(|_| panic!("{value} is no address"))
}

/// Several addresses.
///
/// # Panics
/// If it is something else.
#[track_caller]
#[must_use]
pub fn addresses(value: &Value) -> BTreeSet<IpAddr> {
    value.as_array().unwrap_or_else(|| panic!("{value} is no list")).iter().map(address).collect()
}

/// The groups of a device; of one in no group they are null.
#[must_use]
pub fn groups(value: &Value) -> BTreeSet<&str> {
    value.as_str().unwrap_or_default().split(',').filter(|group| !group.is_empty()).collect()
}

/// An instant in nanoseconds since 1970.
///
/// # Panics
/// If it is not RFC 3339 in UTC with nine decimals.
#[track_caller]
#[must_use]
pub fn nanos(value: &Value) -> i64 {
    let text = text(value);
    assert!(text.len() == 30 && text.ends_with('Z'), "{text} has no nine decimals");
    let at: jiff::Timestamp = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
    i64::try_from(at.as_nanosecond()).unwrap_or_else(|_| panic!("{text} is too far away"))
}

/// Nanoseconds since 1970 as a flag takes them.
///
/// # Panics
/// If the time is beyond what can be written.
#[must_use]
pub fn rfc3339(at_ns: i64) -> String {
    jiff::Timestamp::from_nanosecond(at_ns.into()).expect("64 bits of nanoseconds can be written").to_string()
}

/// Panics unless a number is as near as that.
///
/// # Panics
/// Then.
#[track_caller]
pub fn near(value: &Value, expected: f64, tolerance: f64) {
    assert!((real(value) - expected).abs() <= tolerance, "{value} is not {expected} ± {tolerance}");
}
