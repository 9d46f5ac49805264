//! Signals, and the sleep that they end.

use crate::{compat, settings};
use pgrx::prelude::*;

// ANCHOR: handlers
/// PostgreSQL's own signal handlers, as the C functions that they are (step 6 says why not those of `pg_sys`).
mod handlers {
    use core::ffi::c_int;
    #[cfg(feature = "pg19")]
    use pgrx::pg_sys::pg_signal_info; // since 19: who has sent the signal

    unsafe extern "C-unwind" {
        pub fn die(signal: c_int, #[cfg(feature = "pg19")] sender: *const pg_signal_info);
        pub fn SignalHandlerForConfigReload(signal: c_int, #[cfg(feature = "pg19")] sender: *const pg_signal_info);
    }
}

/// Installs the handlers and unblocks the signals. SIGTERM ends the worker where interrupts are looked at, with exit code 1.
pub fn install_handlers() {
    compat::pqsignal(pg_sys::SIGHUP, Some(handlers::SignalHandlerForConfigReload));
    compat::pqsignal(pg_sys::SIGTERM, Some(handlers::die));
    // SAFETY: the handlers are in place.
    unsafe { pg_sys::BackgroundWorkerUnblockSignals() };
}
// ANCHOR_END: handlers

// ANCHOR: sleep
/// Sleeps until the latch is set, at most `naptime`. What it was set for is looked for after the wait, and before it: a wait inside
/// the cycle, for a lock for example, uses the same latch and resets it.
pub fn sleep() {
    look();
    let milliseconds = settings::naptime().as_millis().min(i32::MAX as u128) as core::ffi::c_long;
    let events = pg_sys::WL_LATCH_SET | pg_sys::WL_TIMEOUT | pg_sys::WL_EXIT_ON_PM_DEATH;
    // SAFETY: MyLatch is ours from the start to the end of this process. When the postmaster dies, the process ends in here.
    unsafe {
        pg_sys::WaitLatch(pg_sys::MyLatch, events as i32, milliseconds, compat::wait_event());
        pg_sys::ResetLatch(pg_sys::MyLatch);
    }
    look();
}

/// Shall the worker end? Is a reload due?
fn look() {
    check_for_interrupts!();
    // SAFETY: a flag that only the signal handler sets. It may change at any time, so it is read as volatile.
    if unsafe { (&raw const pg_sys::ConfigReloadPending).read_volatile() } != 0 {
        settings::reload();
    }
}
// ANCHOR_END: sleep
