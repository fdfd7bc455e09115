//! `config.xml` of pfSense and `OPNsense`: the devices to which the user gave fixed
//! addresses. In `<dhcpd>` and `<dhcpdv6>` each interface has `<staticmap>`s;
//! `OPNsense`'s newer services have `<reservation>` (Kea) and `<hosts>` (dnsmasq).

use roxmltree::{Document, Node, ParsingOptions};

use super::{Found, Lease, LeasesError, mac_of_duid};

/// Reads all static mappings.
pub(super) fn parse(content: &str, found: &mut Found) -> Result<(), LeasesError> {
    check_depth(content, found)?;
    // A document type could define entities that grow without end; these files have none.
    let options = ParsingOptions { allow_dtd: false, nodes_limit: MAX_NODES, ..ParsingOptions::default() };
    let document =
        Document::parse_with_options(content, options).map_err(|error| found.malformed(error.to_string()))?;
    let root = document.root_element();
    if !matches!(root.tag_name().name(), "pfsense" | "opnsense") {
        return Err(found.malformed("it begins with neither <pfsense> nor <opnsense>"));
    }
    for node in root.descendants().filter(|node| MAPPINGS.contains(&node.tag_name().name())) {
        let text = |names: &[&str]| {
            let children = names.iter().filter_map(|name| node.children().find(|child| child.has_tag_name(*name)));
            let texts = children.filter_map(|child| child.text()).map(str::trim);
            texts.filter(|text| !text.is_empty()).map(str::to_owned).next()
        };
        let mac = text(&["mac", "hw_address", "hwaddr"]).and_then(|mac| mac.parse().ok());
        let mac = mac.or_else(|| text(&["duid"]).and_then(|duid| mac_of_duid(&duid)));
        let ip = text(&["ipaddr", "ipaddrv6", "ip_address", "ip"]).and_then(|ip| ip.parse().ok());
        let name = text(&["hostname", "host", "descr", "description"]).unwrap_or_default();
        // A <hosts> without address is something else's.
        if mac.is_none() && ip.is_none() && name.is_empty() {
            continue;
        }
        found.take(line_of(&document, node), Lease { mac, ip, name, ..Lease::default() })?;
    }
    Ok(())
}

fn line_of(document: &Document<'_>, node: Node<'_, '_>) -> usize {
    usize::try_from(document.text_pos_at(node.range().start).row).unwrap_or(0)
}

/// The parser goes down by calling itself, so that elements in elements without end
/// would be too much for the stack: they are counted first, more than it would.
fn check_depth(content: &str, found: &Found) -> Result<(), LeasesError> {
    let mut depth = 0_usize;
    for piece in content.split('<').skip(1) {
        let end = piece.find('>').and_then(|at| piece.get(..at)).unwrap_or(piece);
        if piece.starts_with('/') {
            depth = depth.saturating_sub(1);
        } else if !piece.starts_with(['!', '?']) && !end.ends_with('/') {
            depth += 1;
        }
        if depth > MAX_DEPTH {
            return Err(found.malformed("elements in elements in elements"));
        }
    }
    Ok(())
}

const MAPPINGS: [&str; 3] = ["staticmap", "reservation", "hosts"];
/// The largest known files have some 100,000.
const MAX_NODES: u32 = 2_000_000;
/// These files have some ten.
const MAX_DEPTH: usize = 200;
