//! Stamps the program with the commit it is built from: `ASSET_GATEWAY_COMMIT` where the sources
//! come without their history, else git's word.

use std::process::Command;

#[expect(
    clippy::disallowed_methods,
    reason = "how a program is built is no setting of the service"
)]
fn main() {
    println!("cargo::rerun-if-env-changed=ASSET_GATEWAY_COMMIT");
    println!("cargo::rerun-if-changed=build.rs");
    let given = std::env::var("ASSET_GATEWAY_COMMIT").ok();
    let is_release = std::env::var("PROFILE").as_deref() == Ok("release");
    let commit = match given.filter(|commit| !commit.is_empty()) {
        Some(commit) => Some(commit),
        // Only for a program that is delivered: else each commit would compile everything again.
        None if is_release => head(),
        None => None,
    };
    let commit = commit.as_deref().unwrap_or("unknown");
    println!("cargo::rustc-env=ASSET_GATEWAY_COMMIT={commit}");
}

/// The commit of the work tree, built again when it changes.
fn head() -> Option<String> {
    let log = git(&["rev-parse", "--git-path", "logs/HEAD"])?;
    println!("cargo::rerun-if-changed={log}");
    git(&["rev-parse", "--short=12", "HEAD"])
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}
