//! eGain's API: an access token, a budget of calls, and the calls to assets, accounts and channels.
//!
//! The scarce resource is calls, not bytes: the best plan allows five `/assets` calls a second. So
//! every call goes through a budget, and a request that can be refused without a call is.

pub mod accounts;
mod api_request;
mod budget;
mod call_error;
mod client;
mod config;
mod credentials;
mod egain_client;
mod fields;
mod operation;
mod orphan_takeover;
mod orphan_worker;
mod orphans;
mod own_field;
mod plain_name;
mod quota;
mod response;
mod token;
mod transport;

pub use budget::CallRate;
pub use config::EgainConfig;
pub use credentials::ClientCredentials;
pub use egain_client::{Asset, CreatedAsset, EgainClient, NewAsset};
pub use orphan_takeover::take_over_orphans;
pub use orphan_worker::OrphanWorker;
pub use orphans::{Orphan, OrphanQueue, UncommittedAsset};
pub use quota::MonthlyQuota;
#[doc(hidden)] // Public for `fuzz/targets/answers.rs` only.
pub use response::ApiResponse;
