//! The settings: `worker_spi.naptime` and the others.

use crate::compat;
use pgrx::prelude::*;
use pgrx::{GucContext, GucFlags, GucRegistry, GucSetting};
use std::ffi::CString;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

// ANCHOR: statics
static NAPTIME: GucSetting<i32> = GucSetting::<i32>::new(10); // in seconds
static DATABASE: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(Some(c"postgres"));
static ROLE: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(None);
static TOTAL_WORKERS: GucSetting<i32> = GucSetting::<i32>::new(2);
// ANCHOR_END: statics

/// Whether `worker_spi.database` has been defined in this process.
static HAS_DATABASE: AtomicBool = AtomicBool::new(false);

// ANCHOR: define
/// Defines the settings. What can be changed only at a start of the server can be defined only then.
pub fn define(preloading: bool) {
    GucRegistry::define_int_guc(
        c"worker_spi.naptime",
        c"Seconds between two cycles of a worker.",
        c"",
        &NAPTIME,
        1,
        i32::MAX,
        GucContext::Sighup,
        GucFlags::default(), // no unit: a plain number of seconds, as in the original
    );
    if preloading || !matches!(compat::DATABASE_CONTEXT, GucContext::Postmaster) {
        HAS_DATABASE.store(true, Ordering::Relaxed);
        GucRegistry::define_string_guc(
            c"worker_spi.database",
            c"The database to connect to.",
            c"",
            &DATABASE,
            compat::DATABASE_CONTEXT,
            GucFlags::default(),
        );
    }
    if compat::HAS_ROLE {
        GucRegistry::define_string_guc(
            c"worker_spi.role",
            c"The role to connect as.",
            c"Not set, it is the bootstrap superuser.",
            &ROLE,
            GucContext::Sighup,
            GucFlags::default(),
        );
    }
    if !preloading {
        return;
    }
    GucRegistry::define_int_guc(
        c"worker_spi.total_workers",
        c"How many workers start with the server.",
        c"",
        &TOTAL_WORKERS,
        1,
        100,
        GucContext::Postmaster,
        GucFlags::default(),
    );
    // SAFETY: after the definitions, as it throws away what it finds undefined.
    unsafe { pg_sys::MarkGUCPrefixReserved(c"worker_spi".as_ptr()) };
}
// ANCHOR_END: define

/// How long a worker sleeps. A wait is given in milliseconds as an `int`: 24 days are the most.
pub fn naptime() -> Duration {
    Duration::from_secs(NAPTIME.get().max(1) as u64)
}

/// The database to connect to. `None`, no database at all, is what 15 and 16 do where the setting does not exist.
pub fn database() -> Option<CString> {
    HAS_DATABASE.load(Ordering::Relaxed).then(|| DATABASE.get()).flatten()
}

/// The role to connect as; `None` is the bootstrap superuser.
pub fn role() -> Option<CString> {
    ROLE.get()
}

/// How many workers start with the server.
pub fn total_workers() -> i32 {
    TOTAL_WORKERS.get()
}

/// Reads the configuration files again. A signal handler may only note that this is due; the loop does it.
pub fn reload() {
    // SAFETY: outside of a transaction, on the main thread.
    unsafe {
        pg_sys::ConfigReloadPending = 0;
        pg_sys::ProcessConfigFile(pg_sys::GucContext::PGC_SIGHUP);
    }
}
