//! The steps: what is told about them, their exercises and hints, and the checks that judge a worker.

pub mod bilingual;
pub mod build_dir;
pub mod checks;
pub mod compiler;
pub mod error;
pub mod judge;
pub mod source;
pub mod starter;
pub mod step;
pub mod variant;
