//! `cargo xtask`: see `cargo xtask --help`.

mod bench;
mod transcript;
mod transcripts;

use clap::Parser;
use std::process::ExitCode;

/// The maintainers' commands.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
enum Command {
    /// Measure worker_spi against PostgreSQL's sample in C: what scripts/bench calls
    Bench(bench::Arguments),
    /// Execute the transcripts of the steps and compare what is printed with what is committed
    Transcripts(transcripts::Arguments),
}

fn main() -> ExitCode {
    let result = match Command::parse() {
        Command::Bench(arguments) => bench::run(&arguments),
        Command::Transcripts(arguments) => transcripts::run(arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    /// clap looks for such things as two options of one name only when a program runs.
    #[test]
    fn the_commands_fit_together() {
        <super::Command as clap::CommandFactory>::command().debug_assert();
    }
}
