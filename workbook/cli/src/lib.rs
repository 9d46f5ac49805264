//! `cargo workbook`, as a library for its tests.

pub mod cli;
pub mod commands;
pub mod learner;
mod present;
pub mod progress;

/// `cargo workbook diff 3 | head`: whoever reads has had enough. That is no error of ours, and needs no words.
pub fn quiet_pipes() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if panic.to_string().contains("failed printing to std") {
            std::process::exit(141); // as by SIGPIPE
        }
        usual(panic);
    }));
}
