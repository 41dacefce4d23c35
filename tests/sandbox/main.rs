//! The eGain stand-in over real sockets: every refusal it owes, and every fault it offers.

mod accounts;
mod api;
mod customer;
mod faults;
mod storage;
