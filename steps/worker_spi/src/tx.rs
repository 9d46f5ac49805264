//! A transaction of a worker, seen from outside: it runs, then the worker is idle.

use pgrx::pg_sys;
use std::ffi::CStr;
use std::ptr;

/// How a transaction shall end.
pub enum End {
    /// What it did stays.
    Commit,
    /// What it did is undone.
    RollBack,
}

// ANCHOR: run
/// Runs `body` in a transaction of its own, connected to SPI. `activity` is what `pg_stat_activity` shows meanwhile.
///
/// An ERROR in here is not caught: it ends the worker with exit code 1, and PostgreSQL rolls the transaction back.
pub fn run(activity: &CStr, body: impl FnOnce() -> End) {
    // SAFETY: the worker is connected, and no transaction is open. Each call has its counterpart below.
    unsafe {
        pg_sys::SetCurrentStatementStartTimestamp();
        pg_sys::StartTransactionCommand();
        pg_sys::SPI_connect();
        pg_sys::PushActiveSnapshot(pg_sys::GetTransactionSnapshot());
        pg_sys::pgstat_report_activity(pg_sys::BackendState::STATE_RUNNING, activity.as_ptr());
    }
    let end = body();
    // SAFETY: as above. The statistics are handed over outside of the transaction.
    unsafe {
        pg_sys::SPI_finish();
        pg_sys::PopActiveSnapshot();
        match end {
            End::Commit => pg_sys::CommitTransactionCommand(),
            End::RollBack => pg_sys::AbortCurrentTransaction(),
        }
        pg_sys::debug_query_string = ptr::null();
        pg_sys::pgstat_report_stat(true);
        pg_sys::pgstat_report_activity(pg_sys::BackendState::STATE_IDLE, ptr::null());
    }
}
// ANCHOR_END: run

/// Notes the statement that runs now. The log shows it below what it has to say.
pub fn statement(sql: &'static CStr) {
    // SAFETY: the text lives as long as the process, so nobody finds a dangling pointer.
    unsafe { pg_sys::debug_query_string = sql.as_ptr() };
}
