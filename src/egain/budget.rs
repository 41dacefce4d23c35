//! The allowance of calls as a token bucket with a bounded first-come queue.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use prometheus::{Gauge, Histogram};
use tokio::time::{Instant, sleep, timeout};

use crate::words::fault::{Code, Fault, Stage};

/// So many calls a second, and so many at once.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    /// Calls a second, above 0.
    pub per_second: f64,
    /// Calls at once, at least 1.
    pub burst: u32,
}

/// A budget of calls. The queue is bounded by time: whoever would wait longer than `max_wait` is refused at once.
pub struct Budget {
    rate: Rate,
    max_wait: Duration,
    bucket: Mutex<Bucket>,
    /// tokio's mutex is fair, which makes it the queue; a waiter that leaves takes nothing with it.
    turnstile: tokio::sync::Mutex<()>,
    queued: AtomicUsize,
    waited: Histogram,
    left: Gauge,
}

struct Bucket {
    tokens: f64,
    filled: Instant,
    /// Set by a 429: nothing is spent before.
    paused_until: Instant,
}

impl Budget {
    /// A full bucket.
    pub fn new(rate: Rate, max_wait: Duration, waited: Histogram, left: Gauge) -> Self {
        let now = Instant::now();
        left.set(f64::from(rate.burst));
        let bucket = Mutex::new(Bucket { tokens: f64::from(rate.burst), filled: now, paused_until: now });
        Self { rate, max_wait, bucket, turnstile: tokio::sync::Mutex::default(), queued: AtomicUsize::new(0), waited, left }
    }

    /// Waits for one call's worth; says how long that took.
    pub async fn spend(&self) -> Result<Duration, Fault> {
        let began = Instant::now();
        let place = Place::take(&self.queued);
        let expected = self.bucket.lock().time_until(place.ahead as f64 + 1.0, self.rate, began);
        if expected > self.max_wait {
            return Err(exhausted(expected));
        }
        let turn = async {
            let _turn = self.turnstile.lock().await;
            while let Some(wait) = self.try_take() {
                sleep(wait).await;
            }
        };
        // A pause that began meanwhile may make the wait longer than expected.
        timeout(self.max_wait, turn).await.map_err(|_| exhausted(self.expected_wait()))?;
        self.waited.observe(began.elapsed().as_secs_f64());
        Ok(began.elapsed())
    }

    /// eGain said 429: nothing is asked for so long.
    pub fn pause(&self, wait: Duration) {
        let mut bucket = self.bucket.lock();
        bucket.paused_until = bucket.paused_until.max(Instant::now() + wait);
        bucket.tokens = 0.0;
    }

    fn expected_wait(&self) -> Duration {
        self.bucket.lock().time_until(1.0, self.rate, Instant::now())
    }

    /// Takes one call, or says how long to wait for it.
    fn try_take(&self) -> Option<Duration> {
        let mut bucket = self.bucket.lock();
        let wait = bucket.time_until(1.0, self.rate, Instant::now());
        if wait.is_zero() {
            bucket.tokens -= 1.0;
        }
        self.left.set(bucket.tokens.max(0.0));
        (!wait.is_zero()).then_some(wait)
    }
}

impl Bucket {
    fn time_until(&mut self, tokens: f64, rate: Rate, now: Instant) -> Duration {
        self.fill(rate, now);
        // Rounded up to a nanosecond: a rest of 1e-17 tokens would otherwise be waited for in a busy loop.
        let missing = (tokens - self.tokens - 1e-9).max(0.0) / rate.per_second;
        let refill = Duration::from_secs_f64(missing.min(1e9));
        self.paused_until.saturating_duration_since(now).max(refill)
    }

    fn fill(&mut self, rate: Rate, now: Instant) {
        let earned = now.saturating_duration_since(self.filled).as_secs_f64() * rate.per_second;
        self.tokens = (self.tokens + earned).min(f64::from(rate.burst));
        self.filled = now;
    }
}

/// A place in the queue, given back when it is dropped.
struct Place<'a> {
    queued: &'a AtomicUsize,
    ahead: usize,
}

impl<'a> Place<'a> {
    fn take(queued: &'a AtomicUsize) -> Self {
        Self { queued, ahead: queued.fetch_add(1, Ordering::AcqRel) }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.queued.fetch_sub(1, Ordering::AcqRel);
    }
}

fn exhausted(wait: Duration) -> Fault {
    let detail = "the allowance of eGain calls is used up for now: try again later, or raise egain.plan with the tenant's plan";
    Fault::gateway(Code::UpstreamBudget, Stage::Budget, detail).retry_after(wait)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signals::metrics::Metrics;
    use std::sync::Arc;

    fn budget(per_second: f64, burst: u32, max_wait: u64) -> Arc<Budget> {
        let metrics = Metrics::new();
        let waited = metrics.upstream_budget_wait.with_label_values(&["assets"]);
        let left = metrics.upstream_budget_tokens.with_label_values(&["assets"]);
        Arc::new(Budget::new(Rate { per_second, burst }, Duration::from_secs(max_wait), waited, left))
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_is_free_and_the_rest_is_paced() {
        let budget = budget(5.0, 15, 60);
        let began = Instant::now();
        for _ in 0..15 {
            budget.spend().await.unwrap();
        }
        assert!(began.elapsed() < Duration::from_millis(10));
        for _ in 0..10 {
            budget.spend().await.unwrap();
        }
        assert_eq!(began.elapsed().as_millis() / 100, 20, "ten calls at five a second");
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_would_wait_too_long_is_refused_at_once_and_told_when_to_come_back() {
        let budget = budget(1.0, 1, 5);
        let spend = |_| {
            tokio::spawn({
                let budget = budget.clone();
                async move { (budget.spend().await.map_err(|fault| fault.wait()), Instant::now()) }
            })
        };
        let began = Instant::now();
        let tasks: Vec<_> = (0..8).map(spend).collect();
        let mut refused = 0;
        for task in tasks {
            if let (Err(wait), at) = task.await.unwrap() {
                refused += 1;
                assert!(at - began < Duration::from_millis(10) && wait.unwrap() > Duration::from_secs(5));
            }
        }
        assert_eq!(refused, 2, "one at once, five within five seconds");
    }

    #[tokio::test(start_paused = true)]
    async fn a_waiter_that_leaves_takes_no_call_with_it() {
        let budget = budget(1.0, 1, 5);
        budget.spend().await.unwrap();
        let began = Instant::now();
        assert!(timeout(Duration::from_millis(500), budget.spend()).await.is_err());
        budget.spend().await.unwrap();
        assert_eq!(began.elapsed().as_millis() / 100, 10);
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_holds_everybody() {
        let budget = budget(100.0, 10, 5);
        budget.pause(Duration::from_secs(3));
        let began = Instant::now();
        budget.spend().await.unwrap();
        assert_eq!(began.elapsed().as_secs(), 3);
    }
}
