//! `asset-gateway completions` and `man`: what a shell and a terminal know of the commands.

use std::io;
use std::process::ExitCode;

use clap::{Args, Command};
use clap_complete::Shell;
use clap_mangen::Man;

use crate::telemetry::log_output::say;

#[derive(Debug, Args)]
pub(super) struct CompletionsArgs {
    /// The shell.
    shell: Shell,
}

#[derive(Debug, Args)]
pub(super) struct ManArgs {
    /// The command, such as put or accounts create; without one, the page of all commands.
    command: Vec<String>,
}

/// Prints a script for the shell.
pub(super) fn completions(args: &CompletionsArgs, mut all: Command) -> ExitCode {
    clap_complete::generate(args.shell, &mut all, "asset-gateway", &mut io::stdout());
    ExitCode::SUCCESS
}

/// Prints a page in roff, for `man -l -`.
pub(super) fn man(args: &ManArgs, mut all: Command) -> ExitCode {
    // Names a command inside another one by both, as pages are.
    all.build();
    let mut command = &all;
    for name in &args.command {
        let Some(inner) = command.find_subcommand(name) else {
            say(&format!("there is no command {name}"));
            return ExitCode::from(2);
        };
        command = inner;
    }
    let title = command.get_display_name().unwrap_or(command.get_name());
    let page = Man::new(command.clone()).title(title.to_owned());
    match page.render(&mut io::stdout()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_nobody_reads) => ExitCode::FAILURE,
    }
}
