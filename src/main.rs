//! The command `asset-gateway`.
#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    asset_gateway::cli::run()
}
