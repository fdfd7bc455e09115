//! Our own list, and lists in the formats of others, made by hand.

use proptest::prelude::*;

use super::*;

fn list(content: &str) -> Result<List, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("their.list");
    std::fs::write(&path, content).unwrap();
    read(&path, &list_name(&path)).map_err(|error| error.to_string())
}

fn found<'a>(owners: &'a Owners, name: &str) -> (&'a str, &'a str, &'a str) {
    owners.find(name).map_or(("", "", ""), |found| (found.owner, found.category, found.source))
}

#[test]
fn our_own_list_is_in_form() {
    let own = import::own("iotq", OWN).unwrap();
    assert_eq!(own.skipped(), 0);
    assert!(own.len() > 1000, "{}", own.len());
    assert!(!own.about().licence.is_empty() && !own.about().date.is_empty());
    let lines: Vec<_> = OWN.lines().filter(|line| !line.starts_with('#')).collect();
    // Each line counts: no domain is there twice.
    assert_eq!(lines.len(), own.len());
    for line in lines {
        let fields: Vec<_> = line.split('\t').collect();
        assert!(matches!(fields.as_slice(), [_, owner, _] if !owner.is_empty()), "{line}");
        // A public suffix would make everybody's names one owner's; but some suffixes
        // are one owner's, in the private section.
        let [domain, ..] = fields.as_slice() else { unreachable!() };
        assert!(domain.starts_with("AS") || crate::enrich::domain::registrable_domain(domain).is_some(), "{line}");
    }
}

#[test]
fn the_household_is_known() {
    let owners = Owners::default();
    for (name, owner, category) in [
        ("mqtt-us-3.meross.com", "Meross", "iot"),
        ("v2.broker.lifx.co", "LIFX", "iot"),
        ("a2uowfjvhio0fa.iot.us-east-1.amazonaws.com", "Amazon Web Services", "iot"),
        ("disc-prod.iot.irobotapi.com", "iRobot", "iot"),
        ("kindle-time.amazon.com", "Amazon", "iot"),
        ("ec2-192-0-2-1.compute-1.amazonaws.com", "Amazon Web Services", "cloud"),
        ("0.amazon.pool.ntp.org", "Amazon Web Services", "time"),
        ("2.openwrt.pool.ntp.org", "NTP Pool", "time"),
        ("device-metrics-us-2.amazon.com", "Amazon", "analytics"),
        ("WWW.Amazon.com.", "Amazon", "shop"),
    ] {
        assert_eq!(found(&owners, name), (owner, category, "iotq"), "{name}");
    }
    assert_eq!(owners.find("notmeross.com"), None);
    assert_eq!(owners.find("example.org"), None);
    assert_eq!(owners.find("com"), None);
    assert_eq!(owners.of_asn(16509).unwrap().owner, "Amazon Web Services");
    assert_eq!(owners.of_asn(64496), None);
}

#[test]
fn the_users_lists_go_first_and_leave_what_they_do_not_know() {
    let blocked = list("0.0.0.0 meross.com\n0.0.0.0 example.org example.net # both\n").unwrap();
    let theirs = list("example.org\tExample\tads\nmeross.com\tSomebody\tmedia\n").unwrap();
    let owners = Owners::with(vec![blocked, theirs]);
    assert_eq!(found(&owners, "a.example.org"), ("Example", "blocked", "their"));
    assert_eq!(found(&owners, "mqtt.meross.com"), ("Somebody", "blocked", "their"));
    assert_eq!(found(&owners, "example.net"), ("", "blocked", "their"));
}

#[test]
fn lists_of_others_are_read() {
    let data_set = r#"{"trackers": {"ads.example.com": {"domain": "ads.example.com", "owner": {"name": "Example Inc.",
        "displayName": "Example"}, "categories": ["Analytics", "Ad Motivated Tracking"], "default": "block"}},
        "entities": {"Example Inc.": {"domains": ["example.com"], "displayName": "Example"}},
        "domains": {"example.com": "Example Inc."}}"#;
    let services = r#"{"license": "x", "categories": {"Advertising": [{"Example": {"http://example.com/":
        ["ads.example.com"], "performance": "true"}}], "Content": [{"Example": {"http://example.com/": ["example.com"]}}]}}"#;
    let tracker_db = r#"{"categories": {}, "organizations": {"example": {"name": "Example"}},
        "patterns": {"x": {"name": "X", "category": "advertising", "organization": "example",
        "domains": ["ads.example.com"], "filters": []}, "y": {"name": "Example", "organization": null}},
        "domains": {"example.com": "y"}}"#;
    let entities = r#"[{"name": "Example", "category": "ad", "categories": ["ad"], "domains": ["*.ads.example.com"]},
        {"name": "Example", "categories": ["utility"], "domains": ["example.com"]}]"#;
    for content in [data_set, services, tracker_db, entities] {
        let list = list(content).unwrap();
        assert!(!list.about().licence.is_empty());
        let owners = Owners { lists: vec![list] };
        assert_eq!(found(&owners, "a.ads.example.com"), ("Example", "ads", "their"), "{content}");
        assert_eq!(found(&owners, "www.example.com").0, "Example", "{content}");
    }
}

#[test]
fn names_to_block_are_read() {
    let hosts = "# hosts\n127.0.0.1 localhost\n::1 localhost\n0.0.0.0 0.0.0.0\n0.0.0.0 ads.example.com\n";
    let rules = "[Adblock Plus 2.0]\n! title\n||ads.example.com^\n||b.example.com^$third-party\n||c.example.com^/x\n\
                 @@||d.example.com^\nexample.com##.ad\n/banner/*\n";
    let names = "# names\nads.example.com\n*.b.example.com\n";
    for (content, domains) in [(hosts, 1), (rules, 2), (names, 2)] {
        let list = list(content).unwrap();
        assert_eq!(list.domains().len(), domains, "{:?}", list.domains());
        assert_eq!(list.domains().first(), Some(&("ads.example.com", "", "blocked")));
    }
}

#[test]
fn mistakes_are_named() {
    for (content, what) in [
        ("", "has no domains"),
        ("just some prose\n", "has no domains"),
        ("{\"trackers\": 1}", "DuckDuckGo's list"),
        ("{\"categories\": {\"x\": 1}}", "Disconnect's list"),
        ("{\"a\": 1}", "none of the known lists"),
        ("{\"a\": ", "no JSON"),
        ("a.example.com\tExample\tiot\nb.example.com\tExample\tfun\n", "line 2: no category is called so"),
    ] {
        let error = list(content).unwrap_err();
        assert!(error.contains(what), "{content:?}: {error}");
    }
}

#[test]
fn what_is_written_is_read_again() {
    let first = list("# source: x\n# licence: CC0\nexample.com\tEx \u{e4}mple\tiot\nAS64496\tEx\tcloud\n").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.tsv");
    write(&first, &path).unwrap();
    let again = read(&path, "a").unwrap();
    assert_eq!((again.domains(), again.systems(), again.about()), (first.domains(), first.systems(), first.about()));
}

proptest! {
    #[test]
    fn no_content_panics(content in "([ -~\t|^#.{}\\[\\]\":]{0,40}\n?){0,6}") {
        let _ = list(&content);
    }

    #[test]
    fn no_name_panics(name in ".{0,300}") {
        let _ = Owners { lists: vec![list("example.com\tE\tiot").unwrap()] }.find(&name);
    }
}
