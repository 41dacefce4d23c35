//! Learns how forms end.
//!
//! A form's part carries no length (RFC 7578 section 4.8), so a size derived from the request's own
//! length is a guess: it assumes that the file is followed by what followed it in earlier forms of
//! the same framing. The file of an unknown framing is spooled. The file of a known one is derived,
//! and at first it goes to the spool as well, so that a wrong guess (a misprediction) can be
//! corrected without the client noticing.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use http::header::USER_AGENT;
use moka::ops::compute::Op;
use moka::policy::EvictionPolicy;
use moka::sync::Cache;

use crate::body::multipart::{Boundary, FormEnding};
use crate::types::error::{Error, ErrorCode, Stage};

/// How many framings are remembered, at about 200 bytes each. Most gateways only ever see a few
/// dozen client programs.
const REMEMBERED: u64 = 10_000;
/// A safety copy is made until this number of forms in a row have ended alike.
const COPIED: u32 = 16;
/// How often the requirements of a framing double at most: 64 forms in a row that end alike before
/// it is derived, and 1024 with a copy.
const MOST_DOUBLINGS: u32 = 6;
/// Doublings for a wrong guess without a copy: at least the next 8 forms are spooled, and the retry
/// is one of them.
const REFUSED: u32 = 3;

/// A kind of form: its caller, the program that sends it, and its fields before the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Framing(u64);

/// How a form will end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Prediction {
    /// The guess.
    pub ending: FormEnding,
    /// What is done in case the guess is wrong.
    pub safety: SafetyCopy,
}

/// Whether a file whose size is a guess also goes to the spool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SafetyCopy {
    /// No: forms of its framing have ended alike often enough.
    None,
    /// Where there is room.
    Copy,
    /// Without room for a copy its size isn't guessed at all: its framing was mispredicted before.
    CopyOrSpool,
}

/// What is known of framings.
#[derive(Clone)]
pub(super) struct KnownFramings {
    seen: Cache<Framing, Seen>,
    hasher: Arc<RandomState>,
}

#[derive(Debug, Clone, Copy)]
struct Seen {
    ending: FormEnding,
    /// How many forms in a row have ended like this.
    in_a_row: u32,
    /// How often the requirements were doubled, for guesses that were wrong.
    doublings: u32,
}

impl KnownFramings {
    /// No framing is known yet.
    pub(super) fn new() -> Self {
        let seen = Cache::builder()
            .max_capacity(REMEMBERED)
            .eviction_policy(EvictionPolicy::lru())
            .build();
        Self {
            seen,
            hasher: Arc::default(),
        }
    }

    /// The framing of a form whose fields before the file have names of this hash.
    pub(super) fn framing(&self, caller: &str, headers: &HeaderMap, field_names: u64) -> Framing {
        Framing(
            self.hasher
                .hash_one((caller, headers.get(USER_AGENT), field_names)),
        )
    }

    /// How a form will end; None where that isn't certain enough.
    pub(super) fn predict(&self, framing: Framing) -> Option<Prediction> {
        let seen = self.seen.get(&framing)?;
        let doublings = seen.doublings.min(MOST_DOUBLINGS);
        if seen.in_a_row < 1 << doublings {
            return None;
        }
        let safety = if seen.in_a_row >= COPIED << doublings {
            SafetyCopy::None
        } else if doublings == 0 {
            SafetyCopy::Copy
        } else {
            SafetyCopy::CopyOrSpool
        };
        Some(Prediction {
            ending: seen.ending,
            safety,
        })
    }

    /// Notes how a form has ended.
    pub(super) fn learn(&self, framing: Framing, ending: FormEnding) {
        self.change(framing, |seen| match seen {
            Some(seen) if seen.ending == ending => Some(Seen {
                in_a_row: seen.in_a_row.saturating_add(1),
                ..seen
            }),
            seen => Some(Seen {
                ending,
                in_a_row: 1,
                doublings: match seen {
                    Some(seen) => seen.doublings,
                    None => 0,
                },
            }),
        });
    }

    /// Notes that a guess was wrong.
    pub(super) fn mispredicted(&self, framing: Framing) {
        self.distrust(framing, 1);
    }

    /// Notes that a form was refused because of a wrong guess.
    pub(super) fn refused(&self, framing: Framing) {
        self.distrust(framing, REFUSED);
    }

    fn distrust(&self, framing: Framing, doublings: u32) {
        self.change(framing, |seen| {
            seen.map(|seen| Seen {
                in_a_row: 0,
                doublings: seen.doublings.saturating_add(doublings),
                ..seen
            })
        });
    }

    fn change(&self, framing: Framing, change: impl FnOnce(Option<Seen>) -> Option<Seen>) {
        self.seen.entry(framing).and_compute_with(|entry| {
            match change(entry.map(moka::Entry::into_value)) {
                Some(seen) => Op::Put(seen),
                None => Op::Nop,
            }
        });
    }
}

/// A length that was derived from a framing: a guess.
#[derive(Clone)]
pub(super) struct DerivedLength {
    /// Bytes.
    pub size: u64,
    /// What is done in case the guess is wrong.
    pub safety: SafetyCopy,
    framing: Framing,
    framings: KnownFramings,
}

impl DerivedLength {
    /// For a form whose framing is known, and whose file begins at `file_start` of `total` bytes.
    pub(super) fn of(
        framings: &KnownFramings,
        framing: Framing,
        total: u64,
        file_start: u64,
        boundary: &Boundary,
    ) -> Option<Self> {
        let Prediction { ending, safety } = framings.predict(framing)?;
        let size = ending.file_size(total, file_start, boundary)?;
        Some(Self {
            size,
            safety,
            framing,
            framings: framings.clone(),
        })
    }

    /// Notes that the guess was wrong, and returns the error for it.
    pub(super) fn mispredicted(&self) -> Error {
        self.framings.mispredicted(self.framing);
        let detail = "the form didn't end as earlier ones of this client did, so the file's \
                      length was misjudged: send it again, or declare size";
        Error::gateway(ErrorCode::FramingMispredicted, Stage::Read, detail)
            .with_retry_after(Duration::from_secs(1))
    }

    /// Notes that the caller has to send the form again. That one will be spooled, and the forms
    /// after it.
    pub(super) fn refused(&self) {
        self.framings.refused(self.framing);
    }
}

impl Default for KnownFramings {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::multipart::FormParser;
    use bytes::Bytes;

    /// The ending of a form with this number of bytes behind the last boundary.
    fn ending(bytes: usize) -> FormEnding {
        let boundary = Boundary::from_content_type("multipart/form-data; boundary=b").unwrap();
        let mut parser = FormParser::new(&boundary);
        let before = "--b\r\n\r\nx";
        parser.push(Bytes::from(format!(
            "{before}\r\n--b--\n{}",
            "x".repeat(bytes)
        )));
        while parser.next_event().unwrap().is_some() {}
        parser.ending(1, before.len() as u64).unwrap()
    }

    fn framing(
        known: &KnownFramings,
        caller: &str,
        agent: &'static str,
        field_names: u64,
    ) -> Framing {
        let headers = [(USER_AGENT, agent.parse().unwrap())].into_iter().collect();
        known.framing(caller, &headers, field_names)
    }

    fn learn(known: &KnownFramings, framing: Framing, ending: FormEnding, times: u32) {
        (0..times).for_each(|_| known.learn(framing, ending));
    }

    fn safety(known: &KnownFramings, framing: Framing) -> Option<SafetyCopy> {
        known.predict(framing).map(|prediction| prediction.safety)
    }

    #[test]
    fn a_framing_is_caller_program_and_fields() {
        let known = KnownFramings::new();
        let one = framing(&known, "me", "curl/8", 1);
        learn(&known, one, ending(0), 1);
        assert_eq!(
            known
                .predict(framing(&known, "me", "curl/8", 1))
                .map(|known| known.ending),
            Some(ending(0))
        );
        for (caller, agent, names) in [
            ("you", "curl/8", 1),
            ("me", "curl/7", 1),
            ("me", "curl/8", 2),
        ] {
            assert_eq!(known.predict(framing(&known, caller, agent, names)), None);
        }
    }

    #[test]
    fn sixteen_forms_that_end_alike_need_no_copy() {
        let known = KnownFramings::new();
        let client = framing(&known, "", "x", 0);
        learn(&known, client, ending(2), 15);
        assert_eq!(safety(&known, client), Some(SafetyCopy::Copy));
        learn(&known, client, ending(2), 1);
        assert_eq!(safety(&known, client), Some(SafetyCopy::None));
        learn(&known, client, ending(4), 1);
        assert_eq!(
            known.predict(client),
            Some(Prediction {
                ending: ending(4),
                safety: SafetyCopy::Copy
            })
        );
    }

    #[test]
    fn each_surprise_doubles_what_a_framing_must_show() {
        let known = KnownFramings::new();
        let client = framing(&known, "", "x", 0);
        learn(&known, client, ending(0), 1);
        for (needed, copied) in [
            (2, 32),
            (4, 64),
            (8, 128),
            (16, 256),
            (32, 512),
            (64, 1024),
            (64, 1024),
        ] {
            known.mispredicted(client);
            learn(&known, client, ending(0), needed - 1);
            assert_eq!(safety(&known, client), None, "{needed}");
            learn(&known, client, ending(0), 1);
            assert_eq!(
                safety(&known, client),
                Some(SafetyCopy::CopyOrSpool),
                "{needed}"
            );
            learn(&known, client, ending(0), copied - needed - 1);
            assert_eq!(
                safety(&known, client),
                Some(SafetyCopy::CopyOrSpool),
                "{needed}"
            );
            learn(&known, client, ending(0), 1);
            assert_eq!(safety(&known, client), Some(SafetyCopy::None), "{needed}");
        }
    }

    #[test]
    fn after_a_refusal_eight_forms_are_spooled() {
        let known = KnownFramings::new();
        let client = framing(&known, "", "x", 0);
        learn(&known, client, ending(0), 16);
        known.refused(client);
        learn(&known, client, ending(0), 7);
        assert_eq!(safety(&known, client), None);
        learn(&known, client, ending(0), 1);
        assert_eq!(safety(&known, client), Some(SafetyCopy::CopyOrSpool));
    }

    #[test]
    fn endings_that_alternate_are_not_guessed_for_long() {
        let known = KnownFramings::new();
        let client = framing(&known, "", "x", 0);
        let mut wrong = 0;
        for turn in 0..1000 {
            let ends = ending(turn % 2);
            if known
                .predict(client)
                .is_some_and(|guess| guess.ending != ends)
            {
                wrong += 1;
                known.mispredicted(client);
            }
            known.learn(client, ends);
        }
        assert_eq!(wrong, 1);
    }
}
