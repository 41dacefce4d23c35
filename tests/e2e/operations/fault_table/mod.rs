//! What every fault looks like from outside: provoked one after the other and written down in
//! `docs/faults.md`.
//!
//! `FAULTS=write cargo test --test e2e fault_table` rewrites the file; without it, the file has
//! to be what happens.

mod callers;
mod case;
mod fetching;
mod gateway;
mod managing;
mod sign_in;
mod signing;
mod storing;

use std::fmt::Write;

use asset_gateway::types::error::ErrorCode;
use futures_util::{StreamExt, stream};

use case::Row;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/faults.md");

const INTRODUCTION: &str = "# What goes wrong, and what the client gets

Each row was provoked through sockets, against the embedded stand-in for eGain or against raw \
ones, and is what came back.
`FAULTS=write cargo test --test e2e fault_table` rewrites this file; `cargo test` compares it with \
what happens.

- **calls**: how many calls of `POST /assets` and `GET /assets/{id}` it took, which count against \
the plan's rate.
- **left behind**: what is in eGain afterwards that wasn't there before. Deletions are in the \
background and don't count as
  calls.
- A small file has 20 kB and fits in the look-ahead; a large one has 1 MB and streams.
";

#[tokio::test]
async fn every_fault_is_told_as_it_is_written_down() {
    let mut text = INTRODUCTION.to_owned();
    for (heading, rows) in [
        ("The token endpoint", sign_in::rows()),
        ("eGain, called for an asset", signing::rows()),
        ("Storage, sent a file", storing::rows()),
        ("Downloads", fetching::rows()),
        ("Callers", callers::rows()),
        ("Accounts, and the rules they bring", managing::rows()),
        ("The gateway's own limits", gateway::rows()),
    ] {
        write!(text, "\n## {heading}\n\n").unwrap();
        text += "| fault | request | status | code | blame | stage | retryable | calls | left \
                 behind |\n|---|---|---|---|---|---|---|---|---|\n";
        // Many of them wait for something most of the time.
        let lines: Vec<String> = stream::iter(rows)
            .map(Row::line)
            .buffered(6)
            .collect()
            .await;
        text += &lines.concat();
    }
    for code in ErrorCode::ALL {
        assert!(
            text.contains(&format!("| `{}` |", code.name())),
            "no row has {}",
            code.name()
        );
    }
    if std::env::var("FAULTS").as_deref() == Ok("write") {
        return std::fs::write(FILE, text).unwrap();
    }
    let written = std::fs::read_to_string(FILE).unwrap();
    let (is, was): (Vec<_>, Vec<_>) = (text.lines().collect(), written.lines().collect());
    let new: Vec<_> = is.iter().filter(|line| !was.contains(line)).collect();
    let gone: Vec<_> = was.iter().filter(|line| !is.contains(line)).collect();
    assert!(
        is == was,
        "FAULTS=write rewrites it; is: {new:#?}, was: {gone:#?}"
    );
}
