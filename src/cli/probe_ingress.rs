//! `asset-gateway probe-ingress`: what an ingress or proxy in front of a gateway does to bodies.

pub(super) mod checks;
pub(super) mod finding;
pub(super) mod probe_client;
mod search;

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use jiff::SignedDuration;
use serde_json::json;
use url::Url;

use super::client::caller_key::CallerKey;
use super::client::client_options::base_url;
use super::runtime::{CommandResult, block_on};
use crate::telemetry::log_output::say;
use crate::types::units::ByteSize;
use checks::CheckPlan;
use finding::ProbeFinding;
use probe_client::ProbeClient;

/// The gateway's own bounds (`src/api/probe.rs`), with room for what the network needs.
const LONGEST_CUT_TEST: Duration = Duration::from_secs(110);
const LARGEST_BODY: ByteSize = ByteSize::mib(32);

/// Exit codes beside 0; clap's own for a wrong command line is 2.
const HAS_FINDINGS: u8 = 1;
const NOT_REACHED: u8 = 3;
const WRONG_KEY: u8 = 4;

#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0 everything streams; 1 something should be changed; \
                        2 wrong usage; 3 no gateway was reached; 4 wrong key."
)]
pub(super) struct ProbeIngressArgs {
    /// The gateway as its callers reach it, such as https://gateway.example.com.
    #[arg(value_parser = base_url)]
    url: Url,
    /// A caller's key; the role reader is enough.
    #[arg(long, env = "ASSET_GATEWAY_KEY", hide_env_values = true)]
    key: Option<CallerKey>,
    /// How long slow bodies and responses take, at most 110s: a timeout that is longer isn't found.
    #[arg(long, default_value = "20s", value_parser = duration)]
    duration: Duration,
    /// The largest body that is sent, at most 32MiB: a limit above it isn't found.
    #[arg(long, default_value = "10MiB", value_parser = size)]
    size: ByteSize,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
}

fn duration(text: &str) -> Result<Duration, String> {
    let parsed: Result<SignedDuration, _> = text.parse();
    parsed
        .ok()
        .and_then(|signed| Duration::try_from(signed).ok())
        .filter(|duration| (Duration::from_secs(1)..=LONGEST_CUT_TEST).contains(duration))
        .ok_or_else(|| "expected 1s to 110s".to_owned())
}

fn size(text: &str) -> Result<ByteSize, String> {
    let parsed: Result<ByteSize, _> = text.parse();
    parsed
        .ok()
        .filter(|size| (1..=LARGEST_BODY.as_u64()).contains(&size.as_u64()))
        .ok_or_else(|| "expected 1B to 32MiB".to_owned())
}

/// Probes, prints what it finds, and says it by the exit code.
pub(super) fn run(args: &ProbeIngressArgs) -> ExitCode {
    block_on(probe(args))
}

async fn probe(args: &ProbeIngressArgs) -> CommandResult {
    let client = ProbeClient::new(&args.url, args.key.clone())?;
    let plan = CheckPlan {
        duration: args.duration,
        largest: args.size.as_u64(),
    };
    say(&format!(
        "probing {}: this takes about {} s",
        args.url,
        (args.duration + checks::SHORT).as_secs()
    ));
    let (report, findings) = checks::run(&client, &plan).await;
    if args.json {
        let findings: Vec<_> = findings.iter().map(ProbeFinding::to_json).collect();
        let request = report.map(|report| report.to_json());
        println!(
            "{}",
            json!({"url": args.url.as_str(), "request": request, "findings": findings})
        );
    } else {
        if let Some(report) = report {
            println!("the gateway got: {report}");
        }
        for finding in &findings {
            println!("{finding}");
        }
    }
    Ok(exit_code(&findings))
}

fn exit_code(findings: &[ProbeFinding]) -> ExitCode {
    let codes = findings.iter().map(|finding| match finding {
        ProbeFinding::Streams => 0,
        ProbeFinding::WrongKey { .. } => WRONG_KEY,
        ProbeFinding::NotReachable { .. }
        | ProbeFinding::NotAGateway { .. }
        | ProbeFinding::Refused { .. } => NOT_REACHED,
        _ => HAS_FINDINGS,
    });
    ExitCode::from(codes.max().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_sizes_are_within_what_a_gateway_takes() {
        assert_eq!(duration("20s"), Ok(Duration::from_secs(20)));
        assert_eq!(duration("1m30s"), Ok(Duration::from_secs(90)));
        for text in ["0s", "2m", "-1s", "20"] {
            assert!(duration(text).is_err(), "{text}");
        }
        assert_eq!(size("10MiB"), Ok(ByteSize::mib(10)));
        for text in ["0B", "33MiB", "large"] {
            assert!(size(text).is_err(), "{text}");
        }
    }
}
