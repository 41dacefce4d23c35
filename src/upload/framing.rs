//! Which framings are known to end as assumed.
//!
//! A form's part carries no length (RFC 7578 section 4.8), so a size derived from the request's
//! own length is a guess about what follows the file. A framing that was seen to end as assumed is
//! trusted the next time; until then, and after it has ended otherwise, the file is spooled.

use http::HeaderMap;
use http::header::USER_AGENT;
use moka::policy::EvictionPolicy;
use moka::sync::Cache;

use crate::body::multipart::Boundary;

/// How many framings are remembered; a few dozen clients are all that most gateways ever see.
const REMEMBERED: u64 = 10_000;
/// A `User-Agent` is compared up to here.
const LONGEST_AGENT: usize = 200;

/// A kind of client: the caller, its program, and the shape of its boundaries.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Framing(String);

impl Framing {
    /// The framing of a request.
    pub fn of(caller: &str, headers: &HeaderMap, boundary: &Boundary) -> Self {
        let agent = headers.get(USER_AGENT).map_or(&[][..], |agent| agent.as_bytes());
        let agent = String::from_utf8_lossy(&agent[..agent.len().min(LONGEST_AGENT)]);
        let boundary = boundary.as_str();
        let dashes = boundary.bytes().take_while(|byte| *byte == b'-').count();
        Self(format!("{caller}\n{agent}\n{dashes} of {}", boundary.len()))
    }
}

/// The framings seen to end as assumed.
#[derive(Clone)]
pub struct Framings(Cache<Framing, ()>);

impl Framings {
    /// None known.
    pub fn new() -> Self {
        Self(Cache::builder().max_capacity(REMEMBERED).eviction_policy(EvictionPolicy::lru()).build())
    }

    /// Whether its end may be foretold.
    pub fn trusts(&self, framing: &Framing) -> bool {
        self.0.contains_key(framing)
    }

    /// Notes how a form has ended.
    pub fn learn(&self, framing: &Framing, ended_as_assumed: bool) {
        if ended_as_assumed {
            self.0.insert(framing.clone(), ());
        } else {
            self.0.invalidate(framing);
        }
    }
}

impl Default for Framings {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framing(agent: &str, boundary: &str) -> Framing {
        let headers = [(USER_AGENT, agent.parse().unwrap())].into_iter().collect();
        let boundary = Boundary::from_content_type(&format!("multipart/form-data; boundary={boundary}")).unwrap();
        Framing::of("", &headers, &boundary)
    }

    #[test]
    fn a_client_is_known_again_by_its_program_and_the_shape_of_its_boundary() {
        let known = Framings::new();
        known.learn(&framing("curl/8", "------------------------abc123"), true);
        assert!(known.trusts(&framing("curl/8", "------------------------def456")));
        assert!(!known.trusts(&framing("curl/7", "------------------------def456")));
        assert!(!known.trusts(&framing("curl/8", "abc123")));
    }

    #[test]
    fn a_framing_that_ends_otherwise_is_forgotten() {
        let (known, client) = (Framings::new(), framing("x", "y"));
        known.learn(&client, true);
        known.learn(&client, false);
        assert!(!known.trusts(&client));
    }
}
