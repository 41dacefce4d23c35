//! How many calls eGain allows: by plan, or as the settings say.

use super::egain::EgainSection;
use super::plan::Plan;
use crate::egain::{CallRate, MonthlyQuota};

/// The calls that one replica may make to eGain, by kind of route.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct CallBudgets {
    /// `POST /assets` and `GET /assets/{id}`.
    pub assets: CallRate,
    /// Everything else: deletes, accounts, channels.
    pub other: CallRate,
    /// A month's calls of each method; none where only rates are given.
    pub quota: Option<MonthlyQuota>,
}

/// Without a burst, it is the rate rounded up: what a second allows may come at once.
fn rate(per_second: f64, burst: Option<u32>) -> CallRate {
    let rounded_up = per_second.ceil() as u32;
    CallRate {
        per_second,
        burst: burst.unwrap_or(rounded_up).max(1),
    }
}

/// One replica's part.
fn share(rate: CallRate, replicas: u32) -> CallRate {
    let replicas = replicas.max(1);
    CallRate {
        per_second: rate.per_second / f64::from(replicas),
        burst: (rate.burst / replicas).max(1),
    }
}

/// One replica's part of the month.
fn quota(settings: &EgainSection) -> Option<MonthlyQuota> {
    let calls = match (settings.monthly_quota, settings.plan) {
        (Some(calls), _) => calls,
        (None, plan) => plan?.quota(),
    };
    Some(MonthlyQuota {
        calls: (calls / u64::from(settings.replicas.max(1))).max(1),
        tenant_calls: calls,
        enforced: settings.enforce_quota,
    })
}

impl EgainSection {
    /// The calls that one replica may make; nothing without a plan and a rate.
    pub(in crate::config) fn budgets(&self) -> Option<CallBudgets> {
        let [assets, other] = self.tenant_rates()?;
        Some(CallBudgets {
            assets: share(assets, self.replicas),
            other: share(other, self.replicas),
            quota: quota(self),
        })
    }

    /// The calls that all replicas may make together, to `/assets` and to all other routes: the
    /// plan's rates, with what the settings say more exactly.
    pub(in crate::config) fn tenant_rates(&self) -> Option<[CallRate; 2]> {
        let plan = self.plan.map(Plan::rates);
        let assets = match (self.rate, plan) {
            (Some(per_second), _) => rate(per_second, self.burst),
            (None, Some((assets, _))) => assets,
            (None, None) => return None,
        };
        let other_burst = self.other_burst.or(self.burst);
        let other = match (self.other_rate.or(self.rate), plan) {
            (Some(per_second), _) => rate(per_second, other_burst),
            (None, Some((_, other))) => other,
            (None, None) => return None,
        };
        Some([assets, other])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Settings;

    fn settings(lines: &[(&str, &str)]) -> Settings {
        let variables = lines
            .iter()
            .map(|(key, value)| (format!("ASSET_GATEWAY_EGAIN__{key}"), *value));
        Settings::from_sources(None, variables).unwrap()
    }

    fn budgets(lines: &[(&str, &str)]) -> Option<(CallRate, CallRate)> {
        settings(lines)
            .egain
            .budgets()
            .map(|budgets| (budgets.assets, budgets.other))
    }

    fn rates(assets: (f64, u32), other: (f64, u32)) -> Option<(CallRate, CallRate)> {
        let rate = |(per_second, burst)| CallRate { per_second, burst };
        Some((rate(assets), rate(other)))
    }

    fn quota(lines: &[(&str, &str)]) -> Option<(u64, bool)> {
        settings(lines)
            .egain
            .budgets()
            .unwrap()
            .quota
            .map(|quota| (quota.calls, quota.enforced))
    }

    #[test]
    fn a_plan_gives_both_rates() {
        assert_eq!(
            budgets(&[("PLAN", "enterprise")]),
            rates((5.0, 15), (1.0, 30))
        );
        assert_eq!(budgets(&[]), None);
    }

    #[test]
    fn a_plan_sets_the_shared_quota_and_rates_none() {
        assert_eq!(quota(&[("PLAN", "basic")]), Some((100_000, false)));
        assert_eq!(
            quota(&[
                ("PLAN", "developer"),
                ("REPLICAS", "3"),
                ("ENFORCE_QUOTA", "true")
            ]),
            Some((333, true))
        );
        assert_eq!(
            quota(&[("PLAN", "basic"), ("RATE", "2")]),
            Some((100_000, false))
        );
        assert_eq!(
            quota(&[("PLAN", "basic"), ("MONTHLY_QUOTA", "7")]),
            Some((7, false))
        );
        assert_eq!(quota(&[("RATE", "2")]), None);
        assert_eq!(
            quota(&[("RATE", "2"), ("MONTHLY_QUOTA", "1"), ("REPLICAS", "2")]),
            Some((1, false))
        );
    }

    #[test]
    fn replicas_share_and_keep_at_least_one_call() {
        assert_eq!(
            budgets(&[("PLAN", "basic"), ("REPLICAS", "2")]),
            rates((0.5, 1), (0.25, 1))
        );
    }

    #[test]
    fn other_routes_follow_the_rate_that_is_given() {
        assert_eq!(
            budgets(&[("RATE", "2.5"), ("BURST", "9")]),
            rates((2.5, 9), (2.5, 9))
        );
        assert_eq!(
            budgets(&[("RATE", "2.5"), ("BURST", "9"), ("OTHER_RATE", "1")]),
            rates((2.5, 9), (1.0, 9))
        );
        assert_eq!(
            budgets(&[("RATE", "2.5"), ("OTHER_BURST", "4")]),
            rates((2.5, 3), (2.5, 4))
        );
    }

    #[test]
    fn the_default_burst_is_the_rate_rounded_up() {
        assert_eq!(budgets(&[("RATE", "0.16")]), rates((0.16, 1), (0.16, 1)));
        assert_eq!(budgets(&[("RATE", "4.2")]), rates((4.2, 5), (4.2, 5)));
    }

    #[test]
    fn a_rate_is_more_exact_than_the_plan() {
        assert_eq!(
            budgets(&[("PLAN", "enterprise"), ("OTHER_RATE", "0.5")]),
            rates((5.0, 15), (0.5, 1))
        );
        assert_eq!(
            budgets(&[("PLAN", "enterprise"), ("RATE", "2")]),
            rates((2.0, 2), (2.0, 2))
        );
    }
}
