//! `cargo xtask`: see `cargo xtask --help`. `scripts/test` and others start it.

mod bench;
mod book;
mod book_check;
mod ci;
mod handout;
mod languages;
mod mdbook;
mod measure;
mod problem;
mod propagate;
mod prose;
mod report;
mod serve;
mod shell;
mod transcript;
mod transcripts;
mod update;
mod upstream;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use cluster::archive::unpack_wheel;
use cluster::{Lang, tr};
use problem::Problem;
use std::path::PathBuf;
use std::process::ExitCode;

/// The maintainers' commands.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// The language of the messages: en or ja
    #[arg(long, global = true)]
    lang: Option<String>,
}

#[derive(Subcommand)]
enum Command {
    /// Build worker_spi and PostgreSQL's sample in C, and measure one against the other: what scripts/bench calls
    Bench(bench::Arguments),
    /// Run all tests, or some of them: what scripts/test calls
    Ci(ci::Arguments),
    /// What bench does once they are built
    Measure(measure::Arguments),
    /// Carry a change of a step through the steps after it
    Propagate(propagate::Arguments),
    /// Print the book, its cheat sheet and its rescue cards as PDFs: what scripts/handout calls
    Handout(handout::Arguments),
    /// Read the prose of both languages: textlint, spelling, rules of our own; takes cargo test's arguments
    Prose(libtest_mimic::Arguments),
    /// Give out the book, the offline packs and the PDFs in a room: what scripts/serve --lan calls
    Serve(serve::Arguments),
    /// Unpack a wheel
    Unpack { wheel: PathBuf, folder: PathBuf },
    /// Look for what mdBook lets pass: a page or a note in one language only, a dead link, a typed listing
    BookCheck,
    /// The renderer of the landing page's book, which builds the books of both languages: mdBook calls it
    Languages(languages::Arguments),
    /// The book's preprocessor: mdBook calls it
    Mdbook(mdbook::Arguments),
    /// Bring up to date what is made from other files and has to be committed
    Update(update::Arguments),
    /// Execute the transcripts of the steps and compare what is printed with what is committed
    Transcripts(transcripts::Arguments),
    /// Run PostgreSQL's own tests of worker_spi against ours: what scripts/upstream-tests calls
    UpstreamTests(upstream::Arguments),
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    let lang = language(&arguments).map_or_else(Lang::from_env, |value| Lang::named(&value));
    let cli = Cli::command()
        .mut_subcommand("bench", |it| it.override_help(bench::usage(lang)))
        .mut_subcommand("ci", |it| it.override_help(ci::usage(lang)))
        .mut_subcommand("upstream-tests", |it| it.override_help(upstream::usage(lang)));
    let cli = match cli.try_get_matches_from(arguments).and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) => cli,
        Err(error) => return problem::refused(&error, lang),
    };
    let done = match cli.command {
        Command::Bench(arguments) => bench::run(&arguments, lang).map(|()| ExitCode::SUCCESS),
        Command::BookCheck => book_check::run().map(|()| ExitCode::SUCCESS),
        Command::Languages(arguments) => languages::run(&arguments).map(|()| ExitCode::SUCCESS),
        Command::Mdbook(arguments) => mdbook::run(&arguments).map(|()| ExitCode::SUCCESS),
        Command::Update(arguments) => update::run(&arguments).map(|()| ExitCode::SUCCESS),
        Command::Ci(arguments) => ci::run(&arguments, lang).map(report::Sum::close),
        Command::Handout(arguments) => handout::run(&arguments).map(|()| ExitCode::SUCCESS),
        Command::Measure(arguments) => measure::run(&arguments).map(|()| ExitCode::SUCCESS),
        Command::Propagate(arguments) => propagate::run(&arguments, cluster::checkout()).map(|()| ExitCode::SUCCESS),
        Command::Prose(tests) => prose::run(&tests).map(|()| ExitCode::SUCCESS),
        Command::Serve(arguments) => serve::run(arguments).map(|()| ExitCode::SUCCESS),
        Command::Unpack { wheel, folder } => {
            unpack_wheel(&wheel, &folder, &[""]).map(|()| ExitCode::SUCCESS).map_err(anyhow::Error::from)
        }
        Command::Transcripts(arguments) => transcripts::run(arguments).map(|()| ExitCode::SUCCESS),
        Command::UpstreamTests(arguments) => upstream::run(&arguments, lang).map(report::Sum::close),
    };
    done.unwrap_or_else(|error| {
        match error.downcast_ref::<Problem>() {
            Some(problem) => eprintln!("{problem}"),
            None => eprintln!("{}", tr!(lang, "error: {error:#}", "エラー: {error:#}")),
        }
        ExitCode::FAILURE
    })
}

/// `--lang ja` or `--lang=ja`: what clap has to say of the other arguments is said in this language, too.
fn language(arguments: &[String]) -> Option<String> {
    arguments.iter().enumerate().find_map(|(i, argument)| match argument.strip_prefix("--lang")? {
        "" => arguments.get(i + 1).cloned(),
        value => value.strip_prefix('=').map(str::to_owned),
    })
}

#[cfg(test)]
mod tests {
    /// clap looks for such things as two options of one name only when a program runs.
    #[test]
    fn the_commands_fit_together() {
        <super::Cli as clap::CommandFactory>::command().debug_assert();
    }
}
