//! The settings: `step4.naptime` and the others. The postmaster defines them before it starts the first worker.

use core::ffi::{c_char, c_void};
use pgrx::prelude::*;
use pgrx::{GucContext, GucFlags, GucRegistry, GucSetting};
use std::ffi::{CStr, CString};
use std::time::Duration;

// ANCHOR: statics
static NAPTIME: GucSetting<i32> = GucSetting::<i32>::new(1000); // in milliseconds
static LOG_TOTALS: GucSetting<bool> = GucSetting::<bool>::new(false);
static DATABASE: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(Some(c"postgres"));
static ROLE: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(None);
static TOTAL_WORKERS: GucSetting<i32> = GucSetting::<i32>::new(2);

/// As many workers as the server can be told to start with us.
pub const MAX_WORKERS: usize = 64;
// ANCHOR_END: statics

// ANCHOR: define
/// Defines the settings. Their contexts say when they may change: `Sighup` at a reload, `Postmaster` at a start only. What a
/// worker reads once, to connect, must not seem to change afterwards. `Userset` would mean: in a session, and a worker has none.
pub fn define() {
    // ANCHOR: hole_naptime
    GucRegistry::define_int_guc(
        c"step4.naptime",
        c"How long a worker sleeps before it looks for work again.",
        c"Also how long it rests after an error.",
        &NAPTIME,
        1,
        i32::MAX,
        GucContext::Sighup,
        GucFlags::UNIT_MS, // the value may be written as '1h', and SHOW gives it that way
    );
    // ANCHOR_END: hole_naptime
    GucRegistry::define_bool_guc(
        c"step4.log_totals",
        c"Whether each new total is written to the server log.",
        c"",
        &LOG_TOTALS,
        GucContext::Sighup,
        GucFlags::default(),
    );
    // SAFETY: the hook is guarded, and it is of the type that the definition of a string takes.
    unsafe {
        GucRegistry::define_string_guc_with_hooks(
            c"step4.database",
            c"The database that the workers connect to.",
            c"",
            &DATABASE,
            GucContext::Postmaster,
            GucFlags::default(),
            Some(check_name),
            None,
            None,
        );
        GucRegistry::define_string_guc_with_hooks(
            c"step4.role",
            c"The role that the workers work as.",
            c"Not set, it is the bootstrap superuser, who may do everything.",
            &ROLE,
            GucContext::Postmaster,
            GucFlags::default(),
            Some(check_name),
            None,
            None,
        );
    }
    GucRegistry::define_int_guc(
        c"step4.total_workers",
        c"How many workers the server starts.",
        c"Each takes one of max_worker_processes.",
        &TOTAL_WORKERS,
        1,
        MAX_WORKERS as i32,
        GucContext::Postmaster,
        GucFlags::default(),
    );
    // From here on a setting step4.something that is not ours is a mistake, not a placeholder for later.
    // SAFETY: after the definitions, as it throws away what it finds undefined.
    unsafe { pg_sys::MarkGUCPrefixReserved(c"step4".as_ptr()) };
}
// ANCHOR_END: define

// ANCHOR: hook
/// The check hook: refuses a name that PostgreSQL would cut. It runs for a value from any source, also in the postmaster, and
/// must not raise an ERROR: it answers no, and leaves the reason in a variable.
#[pg_guard]
unsafe extern "C-unwind" fn check_name(
    value: *mut *mut c_char,
    _extra: *mut *mut c_void,
    _source: pg_sys::GucSource::Type,
) -> bool {
    // SAFETY: PostgreSQL passes the address of a C string, or of a null pointer where there is no value.
    unsafe {
        if (*value).is_null() || CStr::from_ptr(*value).count_bytes() < pg_sys::NAMEDATALEN as usize {
            return true;
        }
        // ANCHOR: hole_hook
        // The message is read, and its memory context is cleared, by the function that called this hook.
        pg_sys::GUC_check_errdetail_string = pg_sys::pstrdup(c"A name has at most 63 bytes.".as_ptr());
        false
        // ANCHOR_END: hole_hook
    }
}
// ANCHOR_END: hook

// ANCHOR: get
/// How long a worker sleeps.
pub fn naptime() -> Duration {
    Duration::from_millis(NAPTIME.get().max(1) as u64)
}

/// Whether each new total is logged.
pub fn log_totals() -> bool {
    LOG_TOTALS.get()
}

/// The database to connect to.
pub fn database() -> String {
    text(DATABASE.get()).unwrap_or_else(|| "postgres".into())
}

/// The role to work as; `None` is the bootstrap superuser.
pub fn role() -> Option<String> {
    text(ROLE.get())
}

/// How many workers to start.
pub fn total_workers() -> i32 {
    TOTAL_WORKERS.get()
}

fn text(value: Option<CString>) -> Option<String> {
    value.map(|value| value.to_string_lossy().into_owned()).filter(|value| !value.is_empty())
}
// ANCHOR_END: get

// ANCHOR: reload
/// Reads the configuration files again. A signal handler may only note that this is due; the loop does it.
pub fn reload() {
    // SAFETY: outside of a transaction, on the main thread, with the handlers installed.
    unsafe {
        pg_sys::ConfigReloadPending = 0;
        pg_sys::ProcessConfigFile(pg_sys::GucContext::PGC_SIGHUP);
    }
}
// ANCHOR_END: reload
