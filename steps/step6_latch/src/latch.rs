//! Signals, and the sleep that ends when there is work.

use crate::{compat, settings};
use pgrx::prelude::*;
use std::time::Duration;

// ANCHOR: handlers
/// PostgreSQL's own signal handlers, as the C functions that they are. `pg_sys` has Rust functions of these names: those are made
/// to be called, and as a handler they would be called with the wrong convention, in the middle of anything.
mod handlers {
    use core::ffi::c_int;
    #[cfg(feature = "pg19")]
    use pgrx::pg_sys::pg_signal_info; // since 19: who has sent the signal

    unsafe extern "C-unwind" {
        pub fn die(signal: c_int, #[cfg(feature = "pg19")] sender: *const pg_signal_info);
        pub fn SignalHandlerForConfigReload(signal: c_int, #[cfg(feature = "pg19")] sender: *const pg_signal_info);
    }
}

/// Installs the handlers and unblocks the signals. Each handler sets a flag and the latch, and nothing else.
///
/// SIGTERM makes the worker end at the next place where interrupts are looked at: in [`sleep`], and all over PostgreSQL, so also
/// in the middle of a query. The exit code is 1. SIGINT, the cancel, has its handler already, as the worker has a connection.
pub fn install_handlers() {
    // ANCHOR: hole_handlers
    compat::pqsignal(pg_sys::SIGHUP, Some(handlers::SignalHandlerForConfigReload));
    compat::pqsignal(pg_sys::SIGTERM, Some(handlers::die));
    // ANCHOR_END: hole_handlers
    // SAFETY: the handlers are in place.
    unsafe { pg_sys::BackgroundWorkerUnblockSignals() };
}
// ANCHOR_END: handlers

// ANCHOR: sleep
/// Sleeps until the latch is set, at most `nap`. Wait, reset, and only then check what happened: whatever sets the latch after
/// the reset ends the next wait at once. But other waits use the same latch, and some of them reset it without a look. So we look
/// before the wait as well. For what is no interrupt, a reload for example, the caller does the same.
pub fn sleep(nap: Duration) {
    // ANCHOR: hole_sleep
    look_for_interrupts();
    let milliseconds = nap.as_millis().min(i32::MAX as u128) as core::ffi::c_long;
    let events = pg_sys::WL_LATCH_SET | pg_sys::WL_TIMEOUT | pg_sys::WL_EXIT_ON_PM_DEATH;
    // SAFETY: MyLatch is ours from the start to the end of this process. When the postmaster dies, the process ends in here.
    unsafe {
        pg_sys::WaitLatch(pg_sys::MyLatch, events as i32, milliseconds, compat::wait_event());
        pg_sys::ResetLatch(pg_sys::MyLatch);
    }
    look_for_interrupts();
    // ANCHOR_END: hole_sleep
}

/// Ends the worker if it was told to stop. A cancel that comes while nothing runs has nothing to cancel. PostgreSQL raises an ERROR
/// all the same, as the worker is not a backend that reads from a client. So it is caught: it must not end the worker.
fn look_for_interrupts() {
    PgTryBuilder::new(|| {
        check_for_interrupts!();
    })
    .catch_when(PgSqlErrorCode::ERRCODE_QUERY_CANCELED, |_| ())
    .execute();
}

/// Has a SIGHUP come?
pub fn reload_is_due() -> bool {
    // SAFETY: a flag that only the signal handler sets. It may change at any time, so it is read as volatile.
    unsafe { (&raw const pg_sys::ConfigReloadPending).read_volatile() != 0 }
}

/// Reads the settings again if a reload is due, and says whether it was.
pub fn reload_if_due() -> bool {
    let due = reload_is_due();
    if due {
        settings::reload();
    }
    due
}
// ANCHOR_END: sleep
