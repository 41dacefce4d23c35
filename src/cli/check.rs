//! `asset-gateway check`: whether a gateway of these settings would work, and if not, why.

mod certificate_end;
mod egain_checks;
mod machine_checks;
mod network_checks;
mod redis_check;
mod trial_gateway;
mod verdict;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use serde_json::json;
use tokio::time::sleep;
use url::Url;

use super::client::caller_key::CallerKey;
use super::client::client_options::base_url;
use super::client::command_output::print_line;
use super::probe_ingress::checks::{self, CheckPlan};
use super::probe_ingress::finding::ProbeFinding;
use super::probe_ingress::probe_client::ProbeClient;
use super::runtime::block_on;
use crate::config::Settings;
use egain_checks::EgainProbe;
use trial_gateway::TrialGateway;
use verdict::{CheckResult, CheckVerdict};

/// How long and how large the transfers through the ingress are: `probe-ingress` does more.
const INGRESS: CheckPlan = CheckPlan {
    duration: Duration::from_secs(5),
    largest: 1024 * 1024,
};

#[derive(Debug, Args)]
#[command(
    after_help = "It spends up to 20 calls of eGain's budget, and stores and deletes one small \
                  file.\n\nExit codes: 0 it works; 1 something doesn't; 2 wrong usage."
)]
pub(super) struct CheckArgs {
    /// The settings' TOML file; else the one that ASSET_GATEWAY_CONFIG names.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The channel that the file of the round trip is for.
    #[arg(long, default_value = "sms")]
    channel: String,
    /// A running gateway as its callers reach it: whether its ingress lets bodies stream.
    #[arg(long, env = "ASSET_GATEWAY_URL", value_parser = base_url)]
    url: Option<Url>,
    /// A caller's key for that.
    #[arg(long, env = "ASSET_GATEWAY_KEY", hide_env_values = true)]
    key: Option<CallerKey>,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
}

/// Prints a line for each check as it ends.
pub(super) fn run(args: &CheckArgs) -> ExitCode {
    block_on(async {
        let mut report = CheckReport {
            json: args.json,
            verdicts: Vec::new(),
        };
        check(args, &mut report).await;
        Ok(report.finish())
    })
}

struct CheckReport {
    json: bool,
    verdicts: Vec<CheckVerdict>,
}

impl CheckReport {
    fn add(&mut self, verdicts: impl IntoIterator<Item = CheckVerdict>) {
        for verdict in verdicts {
            if !self.json {
                print_line(&verdict.to_string());
            }
            self.verdicts.push(verdict);
        }
    }

    fn has_failed(&self, check: &str) -> bool {
        let failed = |verdict: &CheckVerdict| verdict.result == CheckResult::Failed;
        self.verdicts
            .iter()
            .any(|verdict| failed(verdict) && (check.is_empty() || verdict.check == check))
    }

    fn finish(&self) -> ExitCode {
        let failed = self.has_failed("");
        if self.json {
            print_line(&json!({"ok": !failed, "checks": self.verdicts}).to_string());
        }
        if failed {
            ExitCode::FAILURE
        } else {
            ExitCode::SUCCESS
        }
    }
}

async fn check(args: &CheckArgs, report: &mut CheckReport) {
    match Settings::load_for_serve(args.config.as_deref()) {
        Ok(settings) => {
            report.add([CheckVerdict::ok("settings", "they are complete and valid")]);
            check_settings(args, &settings, report).await;
        }
        Err(mistakes) => report.add(
            mistakes
                .to_string()
                .lines()
                .map(|mistake| CheckVerdict::failed("settings", mistake, "see docs/settings.md")),
        ),
    }
    match &args.url {
        Some(url) => report.add(ingress(url, args.key.clone()).await),
        None => report.add([CheckVerdict::skipped(
            "ingress",
            "no --url of a running gateway is given",
        )]),
    }
}

async fn check_settings(args: &CheckArgs, settings: &Settings, report: &mut CheckReport) {
    report.add([machine_checks::spool(settings)]);
    report.add(machine_checks::own_certificate(settings));
    report.add(network_checks::run(settings).await);
    let probe = match settings.build() {
        Ok(configs) => {
            report.add([redis_check::run(&configs).await]);
            EgainProbe::new(&configs)
        }
        Err(mistakes) => Err(mistakes.to_string()),
    };
    let probe = match probe {
        Ok(probe) => probe,
        Err(error) => {
            report.add([CheckVerdict::failed("token", error, "see docs/settings.md")]);
            return;
        }
    };
    let (verdicts, signed_in) = probe.sign_in().await;
    report.add(verdicts);
    let Some(signed_in) = signed_in else {
        let detail = "nothing works without a token";
        report.add(["plan", "upload", "rules"].map(|name| CheckVerdict::skipped(name, detail)));
        return;
    };
    report.add([probe.plan(&signed_in).await]);
    sleep(probe.refill_time()).await;
    match TrialGateway::start(settings) {
        Ok(trial) => {
            report.add(trial.round_trip(&args.channel).await);
            report.add(trial.live_rules(settings).await);
            trial.stop().await;
        }
        Err(error) => report.add([CheckVerdict::failed(
            "upload",
            error,
            "correct the setting that it names",
        )]),
    }
}

async fn ingress(url: &Url, key: Option<CallerKey>) -> Vec<CheckVerdict> {
    let client = match ProbeClient::new(url, key) {
        Ok(client) => client,
        Err(error) => return vec![CheckVerdict::failed("ingress", error, "check --url")],
    };
    let (_, findings) = checks::run(&client, &INGRESS).await;
    let verdicts = findings.iter().map(|finding| {
        let detail = format!("{}: {}", finding.name(), finding.detail());
        match (finding, finding.change()) {
            (ProbeFinding::Streams, _) | (_, None) => CheckVerdict::ok("ingress", detail),
            (_, Some(change)) => CheckVerdict::failed("ingress", detail, change),
        }
    });
    verdicts.collect()
}
