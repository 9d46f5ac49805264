//! The scripts, started as a reader starts them.

mod bad_input;
mod ready;
mod servers;
mod support;
