//! The workbook's command, as a library: so that tests and later commands use the same parts.
//!
//! Setting up is the business of `scripts/setup` and `scripts/env`; what they have decided comes in as an [`Environment`].

#[cfg(feature = "checks")]
pub mod build;
#[cfg(feature = "checks")]
pub mod checks;
#[cfg(feature = "learner")]
pub mod cli;
pub mod cluster;
#[cfg(feature = "learner")]
mod compiler;
#[cfg(feature = "learner")]
pub mod course;
#[cfg(feature = "learner")]
pub mod doctor;
pub mod environment;
pub mod error;
#[cfg(feature = "learner")]
pub mod judge;
#[cfg(feature = "learner")]
mod learner;
pub mod log;
pub mod messages;
#[cfg(feature = "learner")]
mod new;
pub mod process;
#[cfg(feature = "learner")]
pub mod progress;
pub mod run;
#[cfg(feature = "learner")]
pub mod said;
#[cfg(feature = "learner")]
pub mod starter;
#[cfg(feature = "learner")]
pub mod text;
#[cfg(feature = "checks")]
pub mod throwaway;
#[cfg(feature = "checks")]
pub mod told;
#[cfg(feature = "checks")]
pub mod transcript;

#[cfg(feature = "learner")]
mod watch;

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

pub use ::cluster::tr;
pub use environment::Environment;
pub use error::{Error, Result};
pub use messages::{Lang, Message};
