//! `cluster installation FOLDER LOGS MAJOR...` and `cluster worker_spi FOLDER LOGS MAJOR...`: for scripts/setup, which holds the lock.
//! `cluster run`: for scripts/run, which has chosen a step.
//!
//! How code 4: programs are missing; LOGS/needs names each with its Debian package. With `--as-it-is` none is asked for.

use cluster::environment::Environment;
use cluster::origin::Failure;
use cluster::{Lang, Store, Table};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Builds the step that the environment names, starts its server, shows its worker, opens psql.
fn run() -> ExitCode {
    let lang = Lang::from_env();
    match Environment::load().and_then(|env| cluster::run::run(&env, lang)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprint!("{}", error.show(lang));
            ExitCode::FAILURE
        }
    }
}

fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some("run") {
        return run();
    }
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let may_ask = !arguments.iter().any(|argument| argument == "--as-it-is");
    arguments.retain(|argument| argument != "--as-it-is");
    let [what, folder, logs, majors @ ..] = arguments.as_slice() else {
        eprintln!("usage: cluster run\n       cluster installation|worker_spi|fetch FOLDER LOGS MAJOR... [--as-it-is]");
        return ExitCode::from(2);
    };
    let path = std::env::var_os("WORKBOOK_POSTGRESQL")
        .map_or_else(|| cluster::checkout().join("postgresql.toml"), PathBuf::from);
    let table = match Table::read(&path) {
        Ok(table) => table,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::FAILURE;
        }
    };
    let store = Store { table, folder: folder.into(), may_ask, lang: Lang::from_env(), logs: logs.into() };
    for major in majors {
        let number = major.parse().unwrap_or_default();
        let done = match what.as_str() {
            "worker_spi" => store.worker_spi(number).map(drop),
            "fetch" => store.fetch_only(number).map(|name| println!("fetched  {name}")),
            _ => store.installation(number).map(drop),
        };
        match done {
            Ok(()) => {}
            Err(Failure::Missing(programs)) => {
                let lines: String =
                    programs.iter().map(|(program, package)| format!("{program} {package}\n")).collect();
                if let Err(error) = std::fs::write(Path::new(logs).join("needs"), lines) {
                    eprintln!("error: {logs}/needs: {error}");
                    return ExitCode::FAILURE;
                }
                return ExitCode::from(4);
            }
            Err(Failure::Nowhere(text)) => {
                eprintln!("{text}");
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}
