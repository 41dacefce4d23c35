//! The whole gateway against the whole sandbox, over real sockets. Names are sentences.

mod admin;
mod binary;
mod broken;
mod commands;
mod connections;
mod content;
mod delete;
mod drain;
mod expiry;
mod house;
mod leaving;
mod metadata;
mod pending;
mod ranges;
mod raw;
mod refused;
mod round_trip;
mod routes;
mod secrets;
