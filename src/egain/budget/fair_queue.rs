//! Whose turn it is: writes and reads in turn, and of each the callers round robin, each caller's
//! own calls in order.
//!
//! So a call waits behind one call of each other caller at the most for each place that it has in
//! its own caller's queue, and of the other kind behind no more than one for each of those. Nothing
//! is set aside that nobody uses: where only one kind or one caller waits, it has it all.

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

/// One who waits.
pub(super) struct Waiter {
    /// Not the same twice.
    pub(super) number: u64,
    /// Told when it is its turn.
    pub(super) go: oneshot::Sender<()>,
}

/// Those who wait. Callers with nobody waiting aren't in it.
pub(super) struct FairQueue {
    rings: [Ring; 2],
    /// Goes first where both wait.
    first: CallKind,
}

/// One kind's callers, the next one in front.
type Ring = VecDeque<Queue>;

struct Queue {
    claimant: Principal,
    waiting: VecDeque<Waiter>,
}

impl FairQueue {
    pub(super) fn new() -> Self {
        Self {
            rings: Default::default(),
            first: CallKind::Write,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rings.iter().all(Ring::is_empty)
    }

    /// How many would go before one that came now, if nobody came after it.
    pub(super) fn ahead(&self, claimant: &Principal, kind: CallKind) -> usize {
        let (ring, others) = (
            &self.rings[kind as usize],
            &self.rings[kind.other() as usize],
        );
        let same_kind = ahead_in(ring, claimant);
        let head_start = usize::from(self.first != kind);
        let other_kind: usize = others.iter().map(|queue| queue.waiting.len()).sum();
        same_kind + other_kind.min(same_kind + head_start)
    }

    pub(super) fn join(&mut self, claimant: &Principal, kind: CallKind, ticket: Waiter) {
        let ring = &mut self.rings[kind as usize];
        match ring.iter_mut().find(|queue| queue.claimant == *claimant) {
            Some(queue) => queue.waiting.push_back(ticket),
            None => ring.push_back(Queue {
                claimant: claimant.clone(),
                waiting: [ticket].into(),
            }),
        }
    }

    /// Whether it was still waiting.
    pub(super) fn leave(&mut self, claimant: &Principal, kind: CallKind, number: u64) -> bool {
        let ring = &mut self.rings[kind as usize];
        let Some(at) = ring.iter().position(|queue| queue.claimant == *claimant) else {
            return false;
        };
        let waiting = &mut ring[at].waiting;
        let before = waiting.len();
        waiting.retain(|ticket| ticket.number != number);
        let left = waiting.len();
        if left == 0 {
            ring.remove(at);
        }
        left < before
    }

    /// The next one, who doesn't wait any more.
    pub(super) fn next(&mut self) -> Option<Waiter> {
        let kind = if self.rings[self.first as usize].is_empty() {
            self.first.other()
        } else {
            self.first
        };
        let ring = &mut self.rings[kind as usize];
        let mut queue = ring.pop_front()?;
        let ticket = queue.waiting.pop_front();
        if !queue.waiting.is_empty() {
            ring.push_back(queue);
        }
        self.first = kind.other();
        ticket
    }
}

/// Every round lets each caller go once, those in front of this one once more.
fn ahead_in(ring: &Ring, claimant: &Principal) -> usize {
    let at = ring.iter().position(|queue| queue.claimant == *claimant);
    let rounds = at.map_or(0, |at| ring[at].waiting.len());
    let place = at.unwrap_or(ring.len());
    let goes_before = |(position, queue): (usize, &Queue)| match position {
        _ if position == place => rounds,
        _ => queue
            .waiting
            .len()
            .min(rounds + usize::from(position < place)),
    };
    ring.iter().enumerate().map(goes_before).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use CallKind::{Read, Write};

    #[derive(Default)]
    struct Hall {
        turns: Option<FairQueue>,
        names: Vec<String>,
    }

    impl Hall {
        fn join(&mut self, name: &str, kind: CallKind) -> u64 {
            let number = self.names.len() as u64;
            self.names.push(name.to_owned());
            let ticket = Waiter {
                number,
                go: oneshot::channel().0,
            };
            self.turns().join(&Principal::named(name), kind, ticket);
            number
        }

        fn turns(&mut self) -> &mut FairQueue {
            self.turns.get_or_insert_with(FairQueue::new)
        }

        fn order(mut self) -> String {
            std::iter::from_fn(|| {
                self.turns()
                    .next()
                    .map(|ticket| self.names[ticket.number as usize].clone())
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
    fn callers_go_round_robin_and_each_ones_calls_in_order() {
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
    fn the_place_that_is_told_is_the_place_that_one_gets() {
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
            (0..served).for_each(|_| drop(hall.turns().next()));
            let ahead = hall.turns().ahead(&Principal::named(name), kind);
            let number = hall.join(name, kind);
            let went = std::iter::from_fn(|| hall.turns().next())
                .position(|ticket| ticket.number == number);
            assert_eq!(went, Some(ahead), "{name} {kind:?} after {served}");
        }
    }

    #[test]
    fn who_leaves_leaves_nothing_behind() {
        let mut hall = hall(&[("a", Write), ("b", Write), ("b", Write)]);
        assert!(hall.turns().leave(&Principal::named("a"), Write, 0));
        assert!(
            !hall.turns().leave(&Principal::named("a"), Write, 0),
            "it isn't there any more"
        );
        assert!(hall.turns().leave(&Principal::named("b"), Write, 1));
        assert_eq!(
            hall.turns().rings[0].len(),
            1,
            "a caller with nobody waiting has no queue"
        );
        assert_eq!(hall.order(), "b");
    }
}
