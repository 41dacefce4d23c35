//! The whole gateway against the whole sandbox, over real sockets. Names are sentences.

mod broken_forms;
mod callers_that_leave;
mod digests;
mod house;
mod lengths;
mod mispredictions;
mod refusal;
mod round_trip;
mod sign_in_faults;
mod signing_faults;
mod sizes;
mod spooling;
mod storage_faults;
mod streaming;
mod wire;
mod wrong_lengths;
mod wrong_requests;
