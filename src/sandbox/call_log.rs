//! The latest calls, one by one: what a person or a test sees of what the gateway did.

use std::collections::VecDeque;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use http::StatusCode;
use parking_lot::Mutex;
use serde::Serialize;

use super::operation::SandboxOperation;

/// Calls that are remembered: more than a page shows, and little memory.
const MOST: usize = 256;

/// One call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RecordedCall {
    /// Grows by one with each call.
    pub number: u64,
    /// What was called.
    pub operation: SandboxOperation,
    /// The id in its path, or the one that it created; empty for none.
    pub id: String,
    /// The status of the response; none while there is none, and for a connection that was cut.
    pub status: Option<u16>,
    /// Whether it met a fault.
    pub faulted: bool,
    /// When it began, in milliseconds of Unix time.
    pub began_ms: u64,
    /// How long it took until its response, in microseconds; none while it runs.
    pub duration_us: Option<u64>,
}

#[derive(Debug, Default)]
pub(super) struct CallLog(Mutex<Recorded>);

#[derive(Debug, Default)]
struct Recorded {
    calls: VecDeque<RecordedCall>,
    last: u64,
}

/// A call that is recorded and not over.
#[derive(Debug)]
pub(super) struct OpenCall {
    number: u64,
    since: Instant,
}

impl CallLog {
    pub(super) fn begin(&self, operation: SandboxOperation, id: &str, faulted: bool) -> OpenCall {
        let mut recorded = self.0.lock();
        recorded.last += 1;
        let number = recorded.last;
        if recorded.calls.len() == MOST {
            recorded.calls.pop_front();
        }
        recorded.calls.push_back(RecordedCall {
            number,
            operation,
            id: id.to_owned(),
            status: None,
            faulted,
            began_ms: unix_ms(),
            duration_us: None,
        });
        OpenCall {
            number,
            since: Instant::now(),
        }
    }

    /// Ends a call, without a status if its connection is cut. `created` is the id that it gave
    /// out.
    pub(super) fn end(&self, call: &OpenCall, status: Option<StatusCode>, created: Option<&str>) {
        let mut recorded = self.0.lock();
        let mut calls = recorded.calls.iter_mut().rev();
        let Some(found) = calls.find(|each| each.number == call.number) else {
            return;
        };
        found.status = status.map(|status| status.as_u16());
        found.duration_us = u64::try_from(call.since.elapsed().as_micros()).ok();
        if let Some(id) = created {
            id.clone_into(&mut found.id);
        }
    }

    /// The latest calls, the oldest first.
    pub(super) fn all(&self) -> Vec<RecordedCall> {
        self.0.lock().calls.iter().cloned().collect()
    }

    /// Forgets the calls; numbers go on.
    pub(super) fn clear(&self) {
        self.0.lock().calls.clear();
    }
}

fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_has_its_status_once_it_is_over() {
        let log = CallLog::default();
        let first = log.begin(SandboxOperation::CreateAsset, "", false);
        let second = log.begin(SandboxOperation::Upload, "b", true);
        log.end(&first, Some(StatusCode::OK), Some("a"));
        let calls = log.all();
        assert_eq!((calls[0].status, calls[0].id.as_str()), (Some(200), "a"));
        assert!(calls[0].duration_us.is_some());
        assert_eq!((calls[1].status, calls[1].duration_us), (None, None));
        log.end(&second, None, None);
        assert!(log.all()[1].status.is_none() && log.all()[1].duration_us.is_some());
    }

    #[test]
    fn only_the_latest_calls_are_remembered() {
        let log = CallLog::default();
        let first = log.begin(SandboxOperation::Token, "", false);
        for _ in 0..MOST {
            log.begin(SandboxOperation::Token, "", false);
        }
        log.end(&first, Some(StatusCode::OK), None);
        let calls = log.all();
        assert_eq!((calls.len(), calls[0].number), (MOST, 2));
        log.clear();
        log.begin(SandboxOperation::Token, "", false);
        assert_eq!(log.all()[0].number, MOST as u64 + 2);
    }
}
