//! Step 1: a background worker is a process that the postmaster starts and watches.
//!
//! The library is loaded by the postmaster (`shared_preload_libraries`). It registers one worker there. The postmaster forks
//! a process for it, runs [`step1_registration_main`] in that process, and decides by its exit code what happens when it ends.

use pgrx::bgworkers::{BackgroundWorker, BackgroundWorkerBuilder, BgWorkerStartTime, SignalWakeFlags};
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use std::time::Duration;

::pgrx::pg_module_magic!(name, version);

// ANCHOR: consts
/// The name of the library, of the extension and of the workers' type.
const NAME: &str = "step1_registration";

/// How long a worker sleeps before it looks for work again.
const NAPTIME: Duration = Duration::from_secs(1);

/// How long the postmaster waits before it starts a worker again that has exited with code 1. Whole seconds only:
/// PostgreSQL's `bgw_restart_time` has no smaller unit, and half a second would become none at all.
const RESTART_TIME: Duration = Duration::from_secs(1);
// ANCHOR_END: consts

// ANCHOR: init
/// PostgreSQL calls this when it loads the library.
#[pg_guard]
pub extern "C-unwind" fn _PG_init() {
    refuse_unless_preloaded();
    // pg_upgrade starts the server too, to move the catalogs. A worker has no business there.
    // SAFETY: a plain variable, set before any library is loaded, and we are on the only thread.
    if unsafe { pg_sys::IsBinaryUpgrade } {
        return;
    }
    register(1);
}
// ANCHOR_END: init

// ANCHOR: preload
/// Static workers can be registered only while the postmaster loads `shared_preload_libraries`. Elsewhere PostgreSQL ignores
/// the registration, up to version 16 without a word. So we refuse, and say what to do.
fn refuse_unless_preloaded() {
    // SAFETY: a plain variable, written only by the process that reads it.
    if unsafe { pg_sys::process_shared_preload_libraries_in_progress } {
        return;
    }
    ErrorReport::new(
        PgSqlErrorCode::ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
        format!("{NAME} must be loaded by shared_preload_libraries"),
        function_name!(),
    )
    .set_detail("A background worker is registered when the server starts, and only then.")
    .set_hint(format!("Add {NAME} to shared_preload_libraries in postgresql.conf and restart the server."))
    .report(PgLogLevel::ERROR);
}

// Without this line, CREATE EXTENSION would not load the library and so would succeed where no worker can run.
extension_sql!("LOAD 'MODULE_PATHNAME';", name = "load_library", bootstrap);
// ANCHOR_END: preload

// ANCHOR: register
/// Tells the postmaster what to start, when, and what to do when it ends. Worker `number` gets it as its argument.
fn register(number: i32) {
    // ANCHOR: hole_register
    BackgroundWorkerBuilder::new(&format!("{NAME} worker {number}")) // bgw_name: in ps and in the log
        .set_type(NAME) // bgw_type: the same for all our workers
        .set_library(NAME) // bgw_library_name: the file to load, without .so
        .set_function("step1_registration_main") // bgw_function_name: the symbol to call in it
        .set_argument(number.into_datum()) // bgw_main_arg: one Datum, by value
        .set_start_time(BgWorkerStartTime::PostmasterStart) // bgw_start_time: as early as possible
        .set_restart_time(Some(RESTART_TIME)) // bgw_restart_time: None would mean never again
        .load();
    // ANCHOR_END: hole_register
}
// ANCHOR_END: register

// ANCHOR: main
/// The worker's main function. It runs in a process of its own, forked by the postmaster.
///
/// PostgreSQL finds it by name, so it must be exported: `no_mangle` is not decoration.
#[pg_guard]
#[unsafe(no_mangle)]
pub extern "C-unwind" fn step1_registration_main(arg: pg_sys::Datum) {
    // SAFETY: `register` made this Datum from an i32, and the postmaster passes it on unchanged.
    let number = unsafe { i32::from_polymorphic_datum(arg, false, pg_sys::INT4OID) };
    // A worker starts with its signals blocked. This installs the handler for SIGTERM, then unblocks them.
    BackgroundWorker::attach_signal_handlers(SignalWakeFlags::SIGTERM);
    let name = BackgroundWorker::get_name();
    log!("{name}: started with argument {}", number.unwrap_or_default());

    // ANCHOR: hole_loop
    loop {
        // Step 3 works here.
        // false means: told to stop (SIGTERM), or the postmaster is gone.
        if !BackgroundWorker::wait_latch(Some(NAPTIME)) {
            break;
        }
    }
    // ANCHOR_END: hole_loop

    log!("{name}: stopped");
    // ANCHOR: hole_exit
    // Exit code 1 is a promise to come back: the postmaster starts the worker again after RESTART_TIME, unless the server is
    // shutting down. To return from here would be exit code 0, and 0 means: never again until the next start of the server.
    // SAFETY: proc_exit may be called anywhere in a backend's main; it does not return, and nothing here waits to be dropped.
    unsafe { pg_sys::proc_exit(1) };
    // ANCHOR_END: hole_exit
}
// ANCHOR_END: main

#[cfg(any(test, feature = "pg_test"))]
mod tests;
#[cfg(test)]
pub use tests::pg_test;
