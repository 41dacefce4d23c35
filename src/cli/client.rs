//! The HTTP client of a gateway: what the commands that call one have in common.

pub(super) mod caller_key;
pub(super) mod client_error;
pub(super) mod client_options;
pub(super) mod command_output;
pub(super) mod command_run;
pub(super) mod gateway_client;
pub(super) mod retry;
pub(super) mod transfer_progress;
