//! What an operator and a caller rely on: commands, permissions, logs, metrics, shutdown.

mod accounts;
mod admin;
pub(crate) mod callers;
mod channels;
mod check_command;
mod client_commands;
mod commands;
mod drain;
mod fault_table;
mod jwt;
mod live_rules;
mod operator_commands;
mod probe;
mod request_log;
mod routes;
mod secrets;
mod stuck_log;
mod traces;
mod try_page;
