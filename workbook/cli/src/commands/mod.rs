//! The commands, one file each. Where one leads on to another, it calls it.

pub mod check;
pub mod diff;
pub mod doctor;
pub mod goto;
pub mod hint;
pub mod list;
pub mod new;
pub mod next;
pub mod reset;
pub mod run;
pub mod solution;
pub mod start;
pub mod watch;
