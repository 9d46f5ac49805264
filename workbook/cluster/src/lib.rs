//! An installation of PostgreSQL, and where it comes from.

mod archive;
mod command;
pub mod debian;
pub mod lang;
pub mod origin;
pub mod table;

pub use command::Progress;
pub use lang::Lang;
pub use origin::Store;
pub use table::Table;
