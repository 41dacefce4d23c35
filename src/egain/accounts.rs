//! The Account and Channel APIs: accounts are written by operators, and their channels say what may
//! be attached.

mod account;
mod account_api;
mod attribute;
mod channel;
mod field_reader;
mod live_rules;
#[cfg(test)]
mod tests;
mod variant;

pub use account::{Account, CaseManagement, ChatConfigurations, ObjectReference, without_secrets};
pub use attribute::{Attribute, is_secret};
pub use channel::Channel;
pub use field_reader::FieldError;
pub use live_rules::LiveRules;
pub use variant::AccountVariant;
