//! Calls to eGain: sign-in, quota, errors and retries.

mod allowance;
mod causes;
mod egress_proxy;
mod expiry;
mod fairness;
mod oddities;
mod outages;
mod pauses;
mod preconnect;
mod quota;
mod sign_in_faults;
mod signed_urls;
mod signing_faults;
