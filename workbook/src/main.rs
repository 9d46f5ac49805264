//! `workbook`: see `workbook --help`. Readers call it through `scripts/run`.

use clap::{Parser, Subcommand};
use std::process::ExitCode;
use workbook::{Environment, Lang, run};

#[derive(Parser)]
#[command(version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Build the step that the environment names (. scripts/env STEP), start its server, show its worker, open psql
    Run,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let lang = Lang::from_env();
    let result = Environment::load().and_then(|env| match cli.command {
        Command::Run => run::run(&env, lang),
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprint!("{}", error.show(lang));
            ExitCode::FAILURE
        }
    }
}
