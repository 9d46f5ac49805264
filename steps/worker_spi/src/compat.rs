//! What differs between PostgreSQL's major versions, and nothing else: of the server, and of its own `worker_spi`, which changed
//! with 17.

use pgrx::pg_sys;

/// Installs a signal handler.
pub fn pqsignal(signal: u32, handler: pg_sys::pqsigfunc) {
    // SAFETY: the handler is one of PostgreSQL's own, made for this.
    unsafe {
        // Since 18 the library for clients has a function of that name, too, so the server's was given another.
        #[cfg(any(feature = "pg15", feature = "pg16", feature = "pg17"))]
        pg_sys::pqsignal(signal as i32, handler);
        #[cfg(any(feature = "pg18", feature = "pg19"))]
        pg_sys::pqsignal_be(signal as i32, handler);
    }
}

// ANCHOR: old
#[cfg(any(feature = "pg15", feature = "pg16"))]
mod version {
    use super::pg_sys;
    use crate::launch::Job;
    use pgrx::{GucContext, extension_sql};

    /// The setting `worker_spi.database`: it exists only where the library is preloaded.
    pub const DATABASE_CONTEXT: GucContext = GucContext::Postmaster;

    /// There is no setting `worker_spi.role`.
    pub const HAS_ROLE: bool = false;

    /// Launched workers are named as the static ones are.
    pub const DYNAMIC: &str = "worker_spi";

    /// `pg_stat_activity.wait_event` cannot have a name of its own yet.
    pub fn wait_event() -> u32 {
        pg_sys::PG_WAIT_EXTENSION
    }

    /// A worker is told nothing but its number.
    ///
    /// # Safety
    /// The arguments are those of `worker_spi_launch`.
    pub unsafe fn job(_arguments: pg_sys::FunctionCallInfo) -> Job {
        Job::default()
    }

    extension_sql!(
        "CREATE FUNCTION worker_spi_launch(pg_catalog.int4) RETURNS pg_catalog.int4 STRICT AS 'MODULE_PATHNAME' LANGUAGE C;",
        name = "worker_spi_launch"
    );
}
// ANCHOR_END: old

// ANCHOR: new
#[cfg(not(any(feature = "pg15", feature = "pg16")))]
mod version {
    use super::pg_sys;
    pub use crate::arguments::job;
    use pgrx::{GucContext, extension_sql};

    /// The setting `worker_spi.database`: launched workers need it, too, so it always exists.
    pub const DATABASE_CONTEXT: GucContext = GucContext::Sighup;

    /// There is a setting `worker_spi.role`.
    pub const HAS_ROLE: bool = true;

    /// The type of launched workers, and the beginning of their names.
    pub const DYNAMIC: &str = "worker_spi dynamic";

    /// What `pg_stat_activity.wait_event` shows while a worker sleeps.
    pub fn wait_event() -> u32 {
        static EVENT: std::sync::OnceLock<u32> = std::sync::OnceLock::new();
        // SAFETY: takes a lock in shared memory, to which the worker is attached. Once per process: the name is looked up by lock.
        *EVENT.get_or_init(|| unsafe { pg_sys::WaitEventExtensionNew(c"WorkerSpiMain".as_ptr()) })
    }

    #[cfg(not(feature = "pg19"))]
    extension_sql!(
        r#"
CREATE FUNCTION worker_spi_launch(index int4, dboid oid DEFAULT 0, roleoid oid DEFAULT 0, flags text[] DEFAULT '{}')
RETURNS pg_catalog.int4 STRICT AS 'MODULE_PATHNAME' LANGUAGE C;
"#,
        name = "worker_spi_launch"
    );

    #[cfg(feature = "pg19")]
    extension_sql!(
        r#"
CREATE FUNCTION worker_spi_launch(index int4, dboid oid DEFAULT 0, roleoid oid DEFAULT 0, flags text[] DEFAULT '{}',
  interruptible boolean DEFAULT false)
RETURNS pg_catalog.int4 STRICT AS 'MODULE_PATHNAME' LANGUAGE C;
"#,
        name = "worker_spi_launch"
    );
}
// ANCHOR_END: new

pub use version::*;

// ANCHOR: flags
/// What is added to `bgw_flags`, which the postmaster reads: since 19, whether it may end the worker for a command that needs the
/// worker's database for itself.
///
/// # Safety
/// The arguments are those of `worker_spi_launch`.
#[cfg(feature = "pg19")]
pub unsafe fn more_flags(arguments: pg_sys::FunctionCallInfo) -> i32 {
    // SAFETY: as the caller says; the function is STRICT, so no argument is null.
    let interruptible = unsafe { pgrx::fcinfo::pg_getarg(arguments, 4) }.unwrap_or(false);
    if interruptible { pg_sys::BGWORKER_INTERRUPTIBLE as i32 } else { 0 }
}
#[cfg(not(feature = "pg19"))]
pub unsafe fn more_flags(_arguments: pg_sys::FunctionCallInfo) -> i32 {
    0
}
// ANCHOR_END: flags
