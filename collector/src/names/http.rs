//! HTTP/1 requests: whom the client asks for.

use super::Progress;

/// The Host of the request these octets begin with (RFC 9112, section 3.2).
#[must_use]
pub fn host(_prefix: &[u8]) -> Progress<String> {
    Progress::No
}
