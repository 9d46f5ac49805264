//! The workbook's command, as a library: so that tests and later commands use the same parts.
//!
//! Setting up is the business of `scripts/setup` and `scripts/env`; what they have decided comes in as an [`Environment`].

#[cfg(feature = "checks")]
pub mod build;
#[cfg(feature = "checks")]
pub mod checks;
pub mod cluster;
pub mod environment;
pub mod error;
pub mod log;
pub mod messages;
pub mod process;
pub mod run;
#[cfg(feature = "checks")]
pub mod throwaway;

pub use environment::Environment;
pub use error::{Error, Result};
pub use messages::{Lang, Message};
