//! One list of domains and autonomous systems, and who owns them.

use std::collections::HashMap;

use crate::enrich::about::{About, clean};

/// What a name is for.
///
/// | category | a name that |
/// | --- | --- |
/// | `iot` | devices use to be controlled, to report, to get what they need |
/// | `health`, `energy` | the same, for what is worn, and for what makes or stores electricity |
/// | `network` | routers, switches and network storage use |
/// | `cloud` | customers of a provider have; who the customer is, is not known |
/// | `cdn` | files of many come from |
/// | `time` | tells the time |
/// | `dns`, `security`, `vpn` | resolves names, checks certificates, carries tunnels |
/// | `os` | systems and apps are updated from, and look whether they are online |
/// | `media`, `gaming` | films, music and games come from |
/// | `messaging`, `social`, `search`, `shop`, `weather` | people use for that |
/// | `analytics` | is told how something is used, or that it crashed |
/// | `ads` | chooses and counts advertisements |
/// | `blocked` | is on a list of names to block that says no more |
/// | `other` | is none of these |
pub const CATEGORIES: [&str; 22] = [
    "iot",
    "health",
    "energy",
    "network",
    "cloud",
    "cdn",
    "time",
    "dns",
    "security",
    "vpn",
    "os",
    "media",
    "gaming",
    "messaging",
    "social",
    "search",
    "shop",
    "weather",
    "analytics",
    "ads",
    "blocked",
    "other",
];

/// A list.
#[derive(Clone, Debug)]
pub struct List {
    name: String,
    about: About,
    /// The index into `owners`.
    domains: HashMap<Box<str>, u32>,
    systems: HashMap<u32, u32>,
    owners: Vec<(Box<str>, &'static str)>,
    skipped: usize,
}

impl List {
    /// Owner and category of the longest domain that the name ends with.
    pub(super) fn find(&self, name: &str) -> Option<(&str, &str)> {
        let mut domain = name;
        // A name has at most 127 labels (RFC 1035); a longer text is no name.
        for _ in 0..MAX_LABELS {
            if let Some(index) = self.domains.get(domain) {
                return self.owner(*index);
            }
            domain = domain.split_once('.')?.1;
        }
        None
    }

    pub(super) fn of_asn(&self, asn: u32) -> Option<(&str, &str)> {
        self.owner(*self.systems.get(&asn)?)
    }

    /// What it is called.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it comes from.
    #[must_use]
    pub fn about(&self) -> &About {
        &self.about
    }

    /// Says where it comes from.
    pub fn describe(&mut self, about: About) {
        self.about = about;
    }

    /// How many domains and systems it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.domains.len() + self.systems.len()
    }

    /// Whether it says nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Rules and names in it that could not be used.
    #[must_use]
    pub fn skipped(&self) -> usize {
        self.skipped
    }

    /// All domains in order: domain, owner, category.
    #[must_use]
    pub fn domains(&self) -> Vec<(&str, &str, &str)> {
        let owned = self.domains.iter().filter_map(|(domain, index)| {
            let (owner, category) = self.owner(*index)?;
            Some((&**domain, owner, category))
        });
        let mut domains: Vec<_> = owned.collect();
        domains.sort_unstable();
        domains
    }

    /// All systems in order: number, owner, category.
    #[must_use]
    pub fn systems(&self) -> Vec<(u32, &str, &str)> {
        let owned = self.systems.iter().filter_map(|(asn, index)| {
            let (owner, category) = self.owner(*index)?;
            Some((*asn, owner, category))
        });
        let mut systems: Vec<_> = owned.collect();
        systems.sort_unstable();
        systems
    }

    fn owner(&self, index: u32) -> Option<(&str, &str)> {
        let (owner, category) = self.owners.get(usize::try_from(index).ok()?)?;
        Some((owner, category))
    }
}

/// Takes what a file says.
#[derive(Debug)]
pub struct ListBuilder {
    list: List,
    known: HashMap<(Box<str>, &'static str), u32>,
}

impl ListBuilder {
    /// An empty one.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let list = List {
            name: name.to_owned(),
            about: About::default(),
            domains: HashMap::new(),
            systems: HashMap::new(),
            owners: Vec::new(),
            skipped: 0,
        };
        Self { list, known: HashMap::new() }
    }

    /// What is said of the file as a whole.
    pub fn about_mut(&mut self) -> &mut About {
        &mut self.list.about
    }

    /// Adds a domain; the first owner of a domain stays. What is no domain is
    /// counted and left out.
    ///
    /// # Errors
    /// If there are too many.
    pub fn add(&mut self, domain: &str, owner: &str, category: &'static str) -> Result<(), String> {
        let Some(domain) = domain_of(domain) else {
            self.list.skipped += 1;
            return Ok(());
        };
        if self.list.domains.len() >= MAX_DOMAINS {
            return Err(format!("more than {MAX_DOMAINS} domains"));
        }
        let index = self.index(owner, category)?;
        self.list.domains.entry(domain.into()).or_insert(index);
        Ok(())
    }

    /// Adds an autonomous system.
    ///
    /// # Errors
    /// If there are too many.
    pub fn add_system(&mut self, asn: u32, owner: &str, category: &'static str) -> Result<(), String> {
        let index = self.index(owner, category)?;
        self.list.systems.entry(asn).or_insert(index);
        Ok(())
    }

    /// Counts a rule that cannot be used.
    pub fn skip(&mut self) {
        self.list.skipped += 1;
    }

    /// How many could not be used.
    #[must_use]
    pub fn skipped(&self) -> usize {
        self.list.skipped
    }

    /// Whether nothing was added.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The list.
    #[must_use]
    pub fn finish(mut self) -> List {
        self.list.domains.shrink_to_fit();
        self.list
    }

    fn index(&mut self, owner: &str, category: &'static str) -> Result<u32, String> {
        let owner: String = clean(owner).chars().take(MAX_OWNER_CHARS).collect();
        let key = (owner.into_boxed_str(), category);
        if let Some(index) = self.known.get(&key) {
            return Ok(*index);
        }
        let index = u32::try_from(self.list.owners.len()).map_err(|_| "too many owners".to_owned())?;
        self.list.owners.push(key.clone());
        self.known.insert(key, index);
        Ok(index)
    }
}

/// A domain in our form: lower case, no dot at the ends. `None` for what is none:
/// addresses, single labels, patterns.
fn domain_of(text: &str) -> Option<String> {
    let text = text.trim().trim_start_matches("*.").trim_matches('.').to_ascii_lowercase();
    let label_fits = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    // The last label of an address is a number, of a domain never (RFC 3696, section 2).
    let is_domain = text.contains('.')
        && text.len() <= 253
        && text.split('.').all(label_fits)
        && text.rsplit('.').next().is_some_and(|last| !last.bytes().all(|byte| byte.is_ascii_digit()));
    is_domain.then_some(text)
}

/// The category that a list's own word stands for.
pub(super) fn category(word: &str) -> &'static str {
    let word = word.to_ascii_lowercase();
    if let Some(ours) = CATEGORIES.iter().find(|ours| **ours == word) {
        return ours;
    }
    // Their words are phrases ("Ad Motivated Tracking", "site_analytics"): by what is
    // in them, the more telling first.
    let meaning = MEANINGS.iter().find(|(part, _)| word.contains(part));
    meaning.map_or("other", |(_, ours)| ours)
}

/// In the words of `DuckDuckGo`, Disconnect, Ghostery and third-party-web.
const MEANINGS: [(&str, &str); 24] = [
    ("advert", "ads"),
    ("ad motivated", "ads"),
    ("ad fraud", "ads"),
    ("analytic", "analytics"),
    ("audience", "analytics"),
    ("measurement", "analytics"),
    ("session replay", "analytics"),
    ("tag-manager", "analytics"),
    ("tag manager", "analytics"),
    ("customer-success", "messaging"),
    ("customer_interaction", "messaging"),
    ("fingerprint", "analytics"),
    ("tracking", "analytics"),
    ("social", "social"),
    ("marketing", "ads"),
    ("cdn", "cdn"),
    ("hosting", "cloud"),
    ("audio_video", "media"),
    ("video", "media"),
    ("email", "messaging"),
    ("federated login", "security"),
    ("anti", "analytics"),
    ("ads", "ads"),
    ("utility", "other"),
];

/// RFC 1035, section 2.3.4: 255 octets.
const MAX_LABELS: usize = 128;
/// The largest lists of names to block have some 2 million; 250 MB.
const MAX_DOMAINS: usize = 2_000_000;
/// The longest known is some 60.
const MAX_OWNER_CHARS: usize = 120;
