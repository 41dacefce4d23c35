//! The whole gateway against the whole sandbox, over real sockets. Names are sentences.

mod house;
mod round_trip;
