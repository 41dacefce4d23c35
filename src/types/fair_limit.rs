//! A limit that callers share fairly (noisy neighbour, fair share): permits, or bytes of a buffer.
//!
//! While little of it is taken, everybody may have what there is. Once more than half is taken, no
//! caller may have more than its share, and the last part is for callers that hold little, so that
//! one caller never shuts the others out.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

/// What of a limit is for callers that hold little: a newcomer finds room beside one that takes all
/// it can get.
const RESERVED: u64 = 8;

/// A limit on units of any kind, shared by callers. Refuses at once, and never waits.
#[derive(Debug)]
pub struct FairLimit {
    most: u64,
    least_share: u64,
    usage: Mutex<Usage>,
}

#[derive(Debug, Default)]
struct Usage {
    taken: u64,
    by_caller: HashMap<Arc<str>, u64>,
}

/// Why there is no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoRoom {
    /// All callers together have everything.
    Full,
    /// This caller has its share; others still find room.
    ShareTaken,
}

impl FairLimit {
    /// `most` units for all callers together; `least_share` is what a caller may always hold while
    /// there is room.
    pub fn new(most: u64, least_share: u64) -> Arc<Self> {
        Arc::new(Self {
            most,
            least_share,
            usage: Mutex::default(),
        })
    }

    /// A limit that isn't shared out, as callers can't be distinguished.
    pub fn unshared(most: u64) -> Arc<Self> {
        Self::new(most, most)
    }

    /// Takes `units` for a caller, until the returned share is dropped.
    ///
    /// # Errors
    /// There is no room, for anybody or for this caller.
    pub fn take(self: &Arc<Self>, caller: &str, units: u64) -> Result<FairShare, NoRoom> {
        let caller = match self.usage.lock().by_caller.get_key_value(caller) {
            Some((known, _)) => known.clone(),
            None => caller.into(),
        };
        let mut share = FairShare {
            limit: self.clone(),
            caller,
            units: 0,
        };
        share.grow(units)?;
        Ok(share)
    }

    /// Units that are taken, by all callers together.
    pub fn taken(&self) -> u64 {
        self.usage.lock().taken
    }

    fn check(&self, usage: &Usage, caller: &str, units: u64) -> Result<(), NoRoom> {
        let held = usage.by_caller.get(caller).copied();
        let others = usage.by_caller.len() - usize::from(held.is_some());
        let would_have = held.unwrap_or(0).saturating_add(units);
        let would_be_taken = usage.taken.saturating_add(units);
        if would_be_taken > self.most {
            return Err(NoRoom::Full);
        }
        if would_be_taken <= self.most / 2 || would_have <= self.least_share {
            return Ok(());
        }
        let share = self.most / (others as u64 + 1);
        let in_reserve = would_be_taken > self.most - self.most.div_ceil(RESERVED);
        if would_have > share || in_reserve {
            Err(NoRoom::ShareTaken)
        } else {
            Ok(())
        }
    }
}

/// What one caller's piece of work holds of a limit. Dropped, it gives it back.
#[derive(Debug)]
pub struct FairShare {
    limit: Arc<FairLimit>,
    caller: Arc<str>,
    units: u64,
}

impl FairShare {
    /// Takes `units` more; without room it still has what it had.
    ///
    /// # Errors
    /// As [`FairLimit::take`].
    pub fn grow(&mut self, units: u64) -> Result<(), NoRoom> {
        let mut usage = self.limit.usage.lock();
        self.limit.check(&usage, &self.caller, units)?;
        usage.taken += units;
        if units > 0 {
            *usage.by_caller.entry(self.caller.clone()).or_default() += units;
        }
        self.units += units;
        Ok(())
    }

    /// Units that it holds.
    pub fn units(&self) -> u64 {
        self.units
    }
}

impl Drop for FairShare {
    fn drop(&mut self) {
        let mut usage = self.limit.usage.lock();
        usage.taken -= self.units;
        if let Some(held) = usage.by_caller.get_mut(&self.caller) {
            *held -= self.units;
            if *held == 0 {
                usage.by_caller.remove(&self.caller);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// One unit after the other, until there is no more.
    fn as_many_as_possible(limit: &Arc<FairLimit>, caller: &str) -> Vec<FairShare> {
        std::iter::from_fn(|| limit.take(caller, 1).ok()).collect()
    }

    #[test]
    fn a_newcomer_finds_room_beside_a_greedy_caller() {
        let limit = FairLimit::new(64, 4);
        let hog = as_many_as_possible(&limit, "hog");
        assert_eq!(
            (hog.len(), limit.take("hog", 1).unwrap_err()),
            (56, NoRoom::ShareTaken)
        );
        let others: Vec<_> = (0..2)
            .map(|id| as_many_as_possible(&limit, &format!("other {id}")))
            .collect();
        assert_eq!(others.iter().map(Vec::len).collect::<Vec<_>>(), [4, 4]);
        assert_eq!(limit.take("late", 1).unwrap_err(), NoRoom::Full);
    }

    #[test]
    fn a_hogs_returns_go_to_others_until_shares_equal() {
        let limit = FairLimit::new(64, 4);
        let mut hog = as_many_as_possible(&limit, "hog");
        let mut other = as_many_as_possible(&limit, "other");
        while other.len() < 24 && hog.pop().is_some() {
            assert_eq!(limit.take("hog", 1).unwrap_err(), NoRoom::ShareTaken);
            other.extend(limit.take("other", 1));
        }
        assert_eq!(
            (hog.len(), other.len()),
            (32, 24),
            "the rest is for newcomers"
        );
    }

    #[test]
    fn shares_bind_only_known_callers_above_half_use() {
        let limit = FairLimit::new(64, 4);
        let _other = limit.take("other", 1).unwrap();
        let _third = limit.take("third", 1).unwrap();
        assert_eq!(as_many_as_possible(&limit, "busy").len(), 30);
        assert_eq!(
            as_many_as_possible(&FairLimit::unshared(64), "anyone").len(),
            64
        );
    }

    #[test]
    fn units_grow_and_return_and_refusals_take_none() {
        let limit = FairLimit::new(100, 40);
        let mut share = limit.take("a", 30).unwrap();
        share.grow(30).unwrap();
        assert_eq!(
            (share.grow(41), share.grow(40), share.units()),
            (Err(NoRoom::Full), Err(NoRoom::ShareTaken), 60)
        );
        let other = limit.take("b", 40).unwrap();
        assert_eq!(limit.taken(), 100);
        drop((share, other));
        assert_eq!((limit.taken(), limit.usage.lock().by_caller.len()), (0, 0));
    }

    proptest! {
        #[test]
        fn whatever_is_taken_and_given_back_the_limit_holds(
            most in 0_u64..50,
            least in 0_u64..10,
            steps in prop::collection::vec((0_u8..5, 0_u64..8, any::<bool>()), 0..200),
        ) {
            let limit = FairLimit::new(most, least);
            let mut held = Vec::new();
            for (caller, units, gives_back) in steps {
                if gives_back && !held.is_empty() {
                    held.swap_remove(usize::from(caller) % held.len());
                } else {
                    held.extend(limit.take(&caller.to_string(), units));
                }
                prop_assert!(limit.taken() <= most);
                prop_assert_eq!(limit.taken(), held.iter().map(FairShare::units).sum::<u64>());
            }
            drop(held);
            prop_assert!(limit.usage.lock().by_caller.is_empty());
        }
    }
}
