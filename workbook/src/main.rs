//! `workbook`: see `workbook --help`. Learners call it as `cargo workbook`; `scripts/run` builds it without the learner's part.

use std::process::ExitCode;
use workbook::{Environment, Lang, run};

fn main() -> ExitCode {
    workbook::quiet_pipes();
    // `scripts/run` has chosen a step, and there is nothing else that it could mean.
    if std::env::args().nth(1).as_deref() == Some("run") && std::env::var_os("WORKBOOK_RUN").is_some() {
        return live();
    }
    #[cfg(feature = "learner")]
    return workbook::cli::main();
    #[cfg(not(feature = "learner"))]
    live()
}

/// Builds the step that the environment names, starts its server, shows its worker, opens psql.
fn live() -> ExitCode {
    let lang = Lang::from_env();
    match Environment::load().and_then(|env| run::run(&env, lang)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprint!("{}", error.show(lang));
            ExitCode::FAILURE
        }
    }
}
