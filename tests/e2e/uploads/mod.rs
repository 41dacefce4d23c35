//! Files on their way to eGain.

mod broken_forms;
mod callers_that_leave;
mod deployed_forms;
mod digests;
mod idempotency;
mod lengths;
mod mispredictions;
mod names_and_types;
mod orphans;
mod own_fields;
mod receipts;
mod round_trip;
mod sizes;
mod slow_callers;
mod small_pieces;
mod spooling;
mod storage_faults;
mod streaming;
mod wrong_lengths;
mod wrong_requests;
