//! The plans that eGain sells, and what each allows.

use crate::config::schema::value::named_values;
use crate::egain::CallRate;

/// The plans that eGain sells.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, strum::EnumString, strum::IntoStaticStr, strum::VariantNames,
)]
#[strum(serialize_all = "kebab-case")]
pub enum Plan {
    /// For trying it out.
    Developer,
    /// The smaller one.
    Basic,
    /// The larger one.
    Enterprise,
}

named_values! { Plan }

impl Plan {
    /// What eGain documents for a whole tenant: calls to `/assets`, and to all other routes.
    pub(super) const fn rates(self) -> (CallRate, CallRate) {
        match self {
            Self::Developer => (
                CallRate {
                    per_second: 0.16,
                    burst: 1,
                },
                CallRate {
                    per_second: 0.16,
                    burst: 1,
                },
            ),
            Self::Basic => (
                CallRate {
                    per_second: 1.0,
                    burst: 3,
                },
                CallRate {
                    per_second: 0.5,
                    burst: 2,
                },
            ),
            Self::Enterprise => (
                CallRate {
                    per_second: 5.0,
                    burst: 15,
                },
                CallRate {
                    per_second: 1.0,
                    burst: 30,
                },
            ),
        }
    }

    /// Calls of each method in a month.
    pub(super) const fn quota(self) -> u64 {
        match self {
            Self::Developer => 1_000,
            Self::Basic => 100_000,
            Self::Enterprise => 500_000,
        }
    }
}
