//! The calls that a tenant's plan allows: exact token buckets and a count a month and method.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::operation::SandboxOperation;

/// Calls a second on average, and at once after a pause.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PlanRate {
    /// On average; above zero.
    pub per_second: f64,
    /// At once; at least one.
    pub burst: u32,
}

/// What a tenant bought (eGain's published OpenAPI source).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Plan {
    /// For `POST /assets` and `GET /assets/{id}` together.
    pub assets: PlanRate,
    /// For every other route together.
    pub other: PlanRate,
    /// Calls a month of each method. The stand-in's month begins with it and never ends.
    pub monthly: u64,
}

impl Plan {
    /// The smallest.
    pub const DEVELOPER: Self = Self {
        assets: PlanRate {
            per_second: 0.16,
            burst: 1,
        },
        other: PlanRate {
            per_second: 0.16,
            burst: 1,
        },
        monthly: 1_000,
    };
    /// The middle one.
    pub const BASIC: Self = Self {
        assets: PlanRate {
            per_second: 1.0,
            burst: 3,
        },
        other: PlanRate {
            per_second: 0.5,
            burst: 2,
        },
        monthly: 100_000,
    };
    /// The largest.
    pub const ENTERPRISE: Self = Self {
        assets: PlanRate {
            per_second: 5.0,
            burst: 15,
        },
        other: PlanRate {
            per_second: 1.0,
            burst: 30,
        },
        monthly: 500_000,
    };

    /// The plan that eGain calls so: `developer`, `basic` or `enterprise`.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "developer" => Some(Self::DEVELOPER),
            "basic" => Some(Self::BASIC),
            "enterprise" => Some(Self::ENTERPRISE),
            _ => None,
        }
    }
}

/// Too many calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RateExceeded {
    /// Calls at once.
    pub(super) limit: u32,
    /// Until another one is allowed.
    pub(super) wait: Duration,
}

/// A month, near enough to say that waiting for it is pointless.
const MONTH: Duration = Duration::from_secs(30 * 24 * 3600);

#[derive(Debug)]
pub(super) struct SandboxLimits {
    plan: Option<Plan>,
    spent: Mutex<Spent>,
}

#[derive(Debug, Default)]
struct Spent {
    assets: TokenBucket,
    other: TokenBucket,
    this_month: [u64; SandboxOperation::ALL.len()],
}

impl SandboxLimits {
    pub(super) fn of(plan: Option<Plan>) -> Self {
        Self {
            plan,
            spent: Mutex::default(),
        }
    }

    /// Spends one call. A refused one costs nothing.
    pub(super) fn spend(&self, operation: SandboxOperation) -> Result<(), RateExceeded> {
        let Some(plan) = &self.plan else {
            return Ok(());
        };
        let spent = &mut *self.spent.lock();
        let (rate, bucket) = match operation {
            SandboxOperation::CreateAsset | SandboxOperation::GetAsset => {
                (plan.assets, &mut spent.assets)
            }
            _ => (plan.other, &mut spent.other),
        };
        let this_month = &mut spent.this_month[operation as usize];
        if *this_month >= plan.monthly {
            return Err(RateExceeded {
                limit: rate.burst,
                wait: MONTH,
            });
        }
        bucket
            .take(rate, Instant::now())
            .map_err(|wait| RateExceeded {
                limit: rate.burst,
                wait,
            })?;
        *this_month += 1;
        Ok(())
    }

    pub(super) fn reset(&self) {
        *self.spent.lock() = Spent::default();
    }
}

/// A token bucket, stored as the time at which it is full again: exact, with nothing to refill.
#[derive(Debug, Default)]
struct TokenBucket {
    full_at: Option<Instant>,
}

impl TokenBucket {
    /// Takes a token, or says how long until there is one.
    fn take(&mut self, rate: PlanRate, now: Instant) -> Result<(), Duration> {
        let drop = Duration::from_secs_f64(1.0 / rate.per_second);
        let full_at = self.full_at.map_or(now, |at| at.max(now)) + drop;
        let wait = (full_at - now).saturating_sub(drop * rate.burst);
        if !wait.is_zero() {
            return Err(wait);
        }
        self.full_at = Some(full_at);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_burst_calls_go_at_the_rate() {
        let (mut bucket, now) = (TokenBucket::default(), Instant::now());
        let rate = Plan::ENTERPRISE.assets;
        assert!((0..15).all(|_| bucket.take(rate, now).is_ok()));
        assert_eq!(bucket.take(rate, now), Err(Duration::from_millis(200)));
        assert_eq!(
            bucket.take(rate, now + Duration::from_millis(199)),
            Err(Duration::from_millis(1))
        );
        assert_eq!(bucket.take(rate, now + Duration::from_millis(200)), Ok(()));
        assert!(bucket.take(rate, now + Duration::from_millis(200)).is_err());
    }

    #[test]
    fn a_bucket_never_holds_more_than_its_burst() {
        let (mut bucket, now) = (TokenBucket::default(), Instant::now());
        let later = now + Duration::from_secs(3600);
        assert_eq!(bucket.take(Plan::BASIC.other, now), Ok(()));
        assert_eq!(
            (0..9)
                .filter(|_| bucket.take(Plan::BASIC.other, later).is_ok())
                .count(),
            2
        );
    }

    #[test]
    fn routes_have_their_own_buckets_and_methods_months() {
        let generous = PlanRate {
            per_second: 1e6,
            burst: 1000,
        };
        let limits = SandboxLimits::of(Some(Plan {
            assets: generous,
            other: generous,
            monthly: 2,
        }));
        for operation in [
            SandboxOperation::CreateAsset,
            SandboxOperation::GetAsset,
            SandboxOperation::DeleteAsset,
        ] {
            assert!(limits.spend(operation).is_ok() && limits.spend(operation).is_ok());
            assert_eq!(limits.spend(operation).unwrap_err().wait, MONTH);
        }
        limits.reset();
        assert!(limits.spend(SandboxOperation::GetAsset).is_ok());
    }
}
