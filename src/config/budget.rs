//! How many calls eGain allows: by plan, or as the settings say.

use super::egain::Egain;
use super::setting::words;
use crate::egain::Rate;

/// What one replica may ask of eGain, by kind of route.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Budgets {
    /// `POST /assets` and `GET /assets/{id}`.
    pub assets: Rate,
    /// Everything else: deletes, accounts, channels.
    pub other: Rate,
}

/// The plans that eGain sells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plan {
    /// For trying it out.
    Developer,
    /// The smaller one.
    Basic,
    /// The larger one.
    Enterprise,
}

words! {
    Plan {
        Developer = "developer",
        Basic = "basic",
        Enterprise = "enterprise",
    }
}

impl Plan {
    /// What eGain documents for a whole tenant.
    const fn budgets(self) -> Budgets {
        let (assets, other) = match self {
            Self::Developer => (Rate { per_second: 0.16, burst: 1 }, Rate { per_second: 0.16, burst: 1 }),
            Self::Basic => (Rate { per_second: 1.0, burst: 3 }, Rate { per_second: 0.5, burst: 2 }),
            Self::Enterprise => (Rate { per_second: 5.0, burst: 15 }, Rate { per_second: 1.0, burst: 30 }),
        };
        Budgets { assets, other }
    }
}

/// A burst that nobody gave is the rate rounded up: what a second allows may come at once.
fn rate(per_second: f64, burst: Option<u32>) -> Rate {
    let whole = per_second.ceil() as u32;
    Rate { per_second, burst: burst.unwrap_or(whole).max(1) }
}

/// One replica's part.
fn share(rate: Rate, replicas: u32) -> Rate {
    let replicas = replicas.max(1);
    Rate { per_second: rate.per_second / f64::from(replicas), burst: (rate.burst / replicas).max(1) }
}

impl Budgets {
    /// The plan's rates, with what the settings say more exactly, as one replica's share.
    pub(super) fn resolve(settings: &Egain) -> Option<Self> {
        let plan = settings.plan.map(Plan::budgets);
        let assets = settings.rate.map(|per_second| rate(per_second, settings.burst)).or(plan.map(|plan| plan.assets))?;
        let other_rate = settings.other_rate.or(settings.rate);
        let other_burst = settings.other_burst.or(settings.burst);
        let other = other_rate.map(|per_second| rate(per_second, other_burst)).or(plan.map(|plan| plan.other))?;
        Some(Self { assets: share(assets, settings.replicas), other: share(other, settings.replicas) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Settings;

    fn budgets(lines: &[(&str, &str)]) -> Option<Budgets> {
        let variables = lines.iter().map(|(key, value)| (format!("ASSET_GATEWAY_EGAIN__{key}"), *value));
        Settings::from_sources(None, variables).unwrap().egain.budgets()
    }

    fn rates(assets: (f64, u32), other: (f64, u32)) -> Option<Budgets> {
        let rate = |(per_second, burst)| Rate { per_second, burst };
        Some(Budgets { assets: rate(assets), other: rate(other) })
    }

    #[test]
    fn a_plan_gives_both_rates() {
        assert_eq!(budgets(&[("PLAN", "enterprise")]), rates((5.0, 15), (1.0, 30)));
        assert_eq!(budgets(&[]), None);
    }

    #[test]
    fn replicas_share_and_keep_at_least_one_call() {
        assert_eq!(budgets(&[("PLAN", "basic"), ("REPLICAS", "2")]), rates((0.5, 1), (0.25, 1)));
    }

    #[test]
    fn other_routes_follow_the_rate_that_is_given() {
        assert_eq!(budgets(&[("RATE", "2.5"), ("BURST", "9")]), rates((2.5, 9), (2.5, 9)));
        assert_eq!(budgets(&[("RATE", "2.5"), ("BURST", "9"), ("OTHER_RATE", "1")]), rates((2.5, 9), (1.0, 9)));
        assert_eq!(budgets(&[("RATE", "2.5"), ("OTHER_BURST", "4")]), rates((2.5, 3), (2.5, 4)));
    }

    #[test]
    fn a_burst_that_is_not_given_is_the_rate_rounded_up() {
        assert_eq!(budgets(&[("RATE", "0.16")]), rates((0.16, 1), (0.16, 1)));
        assert_eq!(budgets(&[("RATE", "4.2")]), rates((4.2, 5), (4.2, 5)));
    }

    #[test]
    fn a_rate_is_more_exact_than_the_plan() {
        assert_eq!(budgets(&[("PLAN", "enterprise"), ("OTHER_RATE", "0.5")]), rates((5.0, 15), (0.5, 1)));
        assert_eq!(budgets(&[("PLAN", "enterprise"), ("RATE", "2")]), rates((2.0, 2), (2.0, 2)));
    }
}
