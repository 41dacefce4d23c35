//! The order of calls, a fair queue: writes and reads alternate, within each kind the callers go
//! round robin, and each caller's own calls go in order.
//!
//! So for each place in its own caller's queue, a call waits behind one call of each other caller
//! at most, and behind no more calls of the other kind than of its own. Nothing is set aside
//! unused: if only one kind or one caller waits, it gets every call.

use std::collections::VecDeque;

use tokio::sync::oneshot;

use crate::types::caller::Principal;

/// What a call does at eGain. Neither kind can use up the other's half.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallKind {
    /// Creates or deletes, as uploads do.
    Write,
    /// Reads, as downloads do.
    Read,
}

impl CallKind {
    const fn other(self) -> Self {
        match self {
            Self::Write => Self::Read,
            Self::Read => Self::Write,
        }
    }
}

/// A call that waits.
pub(super) struct Waiter {
    /// Unique.
    pub(super) number: u64,
    /// Sent when it is admitted.
    pub(super) admit: oneshot::Sender<()>,
}

/// Waiting calls. A caller without any has no queue in it.
pub(super) struct FairQueue {
    kinds: [CallerQueues; 2],
    /// The kind that goes first if both wait.
    first: CallKind,
}

/// One kind's callers, the next one in front.
type CallerQueues = VecDeque<CallerQueue>;

struct CallerQueue {
    principal: Principal,
    waiting: VecDeque<Waiter>,
}

impl FairQueue {
    pub(super) fn new() -> Self {
        Self {
            kinds: Default::default(),
            first: CallKind::Write,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.kinds.iter().all(CallerQueues::is_empty)
    }

    pub(super) fn len(&self) -> usize {
        let callers = self.kinds.iter().flatten();
        callers.map(|queue| queue.waiting.len()).sum()
    }

    /// How many calls would go before one that joined now, if no other call joined after it.
    pub(super) fn ahead(&self, principal: &Principal, kind: CallKind) -> usize {
        let callers = &self.kinds[kind as usize];
        let others = &self.kinds[kind.other() as usize];
        let same_kind = ahead_in(callers, principal);
        let head_start = usize::from(self.first != kind);
        let other_kind: usize = others.iter().map(|queue| queue.waiting.len()).sum();
        same_kind + other_kind.min(same_kind + head_start)
    }

    pub(super) fn join(&mut self, principal: &Principal, kind: CallKind, waiter: Waiter) {
        let callers = &mut self.kinds[kind as usize];
        match callers
            .iter_mut()
            .find(|queue| queue.principal == *principal)
        {
            Some(queue) => queue.waiting.push_back(waiter),
            None => callers.push_back(CallerQueue {
                principal: principal.clone(),
                waiting: [waiter].into(),
            }),
        }
    }

    /// Removes a call. Returns whether it was still waiting.
    pub(super) fn leave(&mut self, principal: &Principal, kind: CallKind, number: u64) -> bool {
        let callers = &mut self.kinds[kind as usize];
        let Some(at) = callers
            .iter()
            .position(|queue| queue.principal == *principal)
        else {
            return false;
        };
        let waiting = &mut callers[at].waiting;
        let before = waiting.len();
        waiting.retain(|waiter| waiter.number != number);
        let left = waiting.len();
        if left == 0 {
            callers.remove(at);
        }
        left < before
    }

    /// Takes the next call out of the queue.
    pub(super) fn next(&mut self) -> Option<Waiter> {
        let kind = if self.kinds[self.first as usize].is_empty() {
            self.first.other()
        } else {
            self.first
        };
        let callers = &mut self.kinds[kind as usize];
        let mut queue = callers.pop_front()?;
        let waiter = queue.waiting.pop_front();
        if !queue.waiting.is_empty() {
            callers.push_back(queue);
        }
        self.first = kind.other();
        waiter
    }
}

/// Every round admits one call of each caller, and one more of the callers in front of this one.
fn ahead_in(callers: &CallerQueues, principal: &Principal) -> usize {
    let at = callers
        .iter()
        .position(|queue| queue.principal == *principal);
    let rounds = match at {
        Some(at) => callers[at].waiting.len(),
        None => 0,
    };
    let place = at.unwrap_or(callers.len());
    let mut ahead = 0;
    for (position, queue) in callers.iter().enumerate() {
        let turns = rounds + usize::from(position < place);
        // The caller's own queue has exactly `rounds` calls.
        ahead += queue.waiting.len().min(turns);
    }
    ahead
}

#[cfg(test)]
mod tests {
    use super::*;
    use CallKind::{Read, Write};

    #[derive(Default)]
    struct Hall {
        queue: Option<FairQueue>,
        names: Vec<String>,
    }

    impl Hall {
        fn join(&mut self, name: &str, kind: CallKind) -> u64 {
            let number = self.names.len() as u64;
            self.names.push(name.to_owned());
            let waiter = Waiter {
                number,
                admit: oneshot::channel().0,
            };
            self.queue().join(&Principal::named(name), kind, waiter);
            number
        }

        fn queue(&mut self) -> &mut FairQueue {
            self.queue.get_or_insert_with(FairQueue::new)
        }

        fn order(mut self) -> String {
            std::iter::from_fn(|| {
                self.queue()
                    .next()
                    .map(|waiter| self.names[waiter.number as usize].clone())
            })
            .collect()
        }
    }

    fn hall(waiting: &[(&str, CallKind)]) -> Hall {
        let mut hall = Hall::default();
        for (name, kind) in waiting {
            hall.join(name, *kind);
        }
        hall
    }

    #[test]
    fn callers_go_round_robin_with_calls_in_order() {
        assert_eq!(
            hall(&["a", "a", "a", "b", "c", "c"].map(|name| (name, Write))).order(),
            "abcaca"
        );
    }

    #[test]
    fn kinds_alternate_where_both_wait() {
        let mut waiting = vec![("w", Write); 5];
        waiting.extend([("r", Read), ("r", Read)]);
        assert_eq!(hall(&waiting).order(), "wrwrwww");
    }

    #[test]
    fn a_call_gets_the_place_that_was_expected() {
        let crowd = [
            ("a", Write),
            ("a", Write),
            ("b", Write),
            ("r", Read),
            ("a", Write),
            ("c", Write),
            ("r", Read),
            ("b", Read),
        ];
        let newcomers = ["a", "b", "c", "new"]
            .into_iter()
            .flat_map(|name| [(name, Read), (name, Write)]);
        for (served, (name, kind)) in
            (0..5).flat_map(|served| newcomers.clone().map(move |one| (served, one)))
        {
            let mut hall = hall(&crowd);
            (0..served).for_each(|_| drop(hall.queue().next()));
            let ahead = hall.queue().ahead(&Principal::named(name), kind);
            let number = hall.join(name, kind);
            let went = std::iter::from_fn(|| hall.queue().next())
                .position(|waiter| waiter.number == number);
            assert_eq!(went, Some(ahead), "{name} {kind:?} after {served}");
        }
    }

    #[test]
    fn a_call_that_leaves_leaves_nothing_behind() {
        let mut hall = hall(&[("a", Write), ("b", Write), ("b", Write)]);
        assert!(hall.queue().leave(&Principal::named("a"), Write, 0));
        assert!(
            !hall.queue().leave(&Principal::named("a"), Write, 0),
            "it isn't there any more"
        );
        assert!(hall.queue().leave(&Principal::named("b"), Write, 1));
        assert_eq!(
            hall.queue().kinds[0].len(),
            1,
            "a caller with nobody waiting has no queue"
        );
        assert_eq!(hall.order(), "b");
    }
}
