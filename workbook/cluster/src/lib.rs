//! PostgreSQL: an installation, where it comes from, and a server.

pub mod archive;
mod command;
pub mod debian;
pub mod environment;
pub mod error;
pub mod failure;
pub mod lang;
pub mod log;
pub mod messages;
pub mod origin;
pub mod process;
pub mod run;
pub mod server;
pub mod table;
pub mod text;
pub mod throwaway;

pub use command::Progress;
pub use failure::Failure;
pub use lang::Lang;
pub use origin::Store;
pub use table::Table;
pub use text::Text;

use std::path::Path;

/// The checkout in which this was compiled.
pub fn checkout() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap_or(Path::new("/"))
}
