//! `cargo workbook`: see `cargo workbook --help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    workbook::quiet_pipes();
    workbook::cli::main()
}
