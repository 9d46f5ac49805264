//! The steps: what is told about them, their exercises and hints, and the checks that judge a worker.

pub mod build;
pub mod checks;
pub mod compiler;
pub mod judge;
pub mod said;
pub mod starter;
pub mod step;
pub mod text;
pub mod variant;
