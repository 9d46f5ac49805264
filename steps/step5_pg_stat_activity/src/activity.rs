//! What others see of the worker: `pg_stat_activity`, the process title, and the statement in the log.
//!
//! A backend that serves a client reports all this by itself. For a worker nobody does.

use pgrx::pg_sys;
use std::ffi::{CStr, CString};
use std::ptr;

// ANCHOR: name
/// Gives the worker its `application_name`. (`%a` in `log_line_prefix` stays empty: it is for processes that serve a client.)
pub fn set_name(worker: &str) {
    let name = CString::new(worker).unwrap_or_default();
    // SAFETY: a known setting; PostgreSQL copies the value. Outside of a transaction it may be set.
    unsafe {
        pg_sys::SetConfigOption(
            c"application_name".as_ptr(),
            name.as_ptr(),
            pg_sys::GucContext::PGC_USERSET,
            pg_sys::GucSource::PGC_S_SESSION,
        );
    }
}
// ANCHOR_END: name

// ANCHOR: statement
/// Reports that this statement is about to run, and returns it. `query_start` and `statement_timestamp()` are now.
pub fn statement(sql: &'static CStr) -> &'static str {
    // ANCHOR: hole_statement
    // SAFETY: the text lives as long as the process, so nobody finds a dangling pointer; the other calls copy.
    unsafe {
        pg_sys::debug_query_string = sql.as_ptr(); // for the STATEMENT line of an error in the log
        pg_sys::SetCurrentStatementStartTimestamp();
        pg_sys::pgstat_report_activity(pg_sys::BackendState::STATE_RUNNING, sql.as_ptr());
        pg_sys::set_ps_display(c"counting".as_ptr());
    }
    // ANCHOR_END: hole_statement
    sql.to_str().unwrap_or_default()
}

/// The statement reported last, if it has not been followed by [`idle`].
pub fn current() -> Option<&'static CStr> {
    // SAFETY: the variable is null or what `statement` wrote there.
    unsafe { pg_sys::debug_query_string.as_ref().map(|sql| CStr::from_ptr(sql)) }
}

/// Runs `report` with this statement as the current one, so that the log shows it below the message.
pub fn with_statement(sql: Option<&'static CStr>, report: impl FnOnce()) {
    // ANCHOR: hole_log
    // SAFETY: the text lives as long as the process.
    unsafe { pg_sys::debug_query_string = sql.map_or(ptr::null(), CStr::as_ptr) };
    report();
    // SAFETY: null means that nothing runs.
    unsafe { pg_sys::debug_query_string = ptr::null() };
    // ANCHOR_END: hole_log
}

/// Reports that nothing runs. The last statement stays visible in `query`, as it does for a client's backend.
pub fn idle() {
    // SAFETY: no statement means a null pointer; the title is copied.
    unsafe {
        pg_sys::debug_query_string = ptr::null();
        pg_sys::pgstat_report_activity(pg_sys::BackendState::STATE_IDLE, ptr::null());
        pg_sys::set_ps_display(c"idle".as_ptr());
    }
}
// ANCHOR_END: statement
