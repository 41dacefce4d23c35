//! The whole gateway against the whole sandbox, over real sockets. Names are sentences.

mod digests;
mod house;
mod lengths;
mod mispredictions;
mod refusal;
mod round_trip;
mod sizes;
mod spooling;
mod streaming;
mod wire;
mod wrong_lengths;
