//! The scripts, started as a reader starts them.

mod bad_input;
mod live;
mod ready;
mod servers;
mod support;
