//! Step 5: a worker can be watched.
//!
//! It reports what it does: its state, its statement and the time when it began are in `pg_stat_activity`, in the process title
//! and, when the statement fails, in the server log.

mod activity;
mod compat;
mod counted;
mod settings;
mod tx;

use pgrx::bgworkers::{BackgroundWorker, BackgroundWorkerBuilder, BgWorkerStartTime, SignalWakeFlags};
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use std::time::{Duration, Instant};

::pgrx::pg_module_magic!(name, version);

// ANCHOR: consts
/// The name of the library, of the extension and of the workers' type.
const NAME: &str = "step5_pg_stat_activity";

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
    settings::define();
    // On a standby the first one starts as soon as the database can be read ...
    register(1, BgWorkerStartTime::ConsistentState);
    for number in 2..=settings::total_workers() {
        // ... and the others only after the promotion, when it can be written. On a primary the two moments are one.
        register(number, BgWorkerStartTime::RecoveryFinished);
    }
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
fn register(number: i32, start_time: BgWorkerStartTime) {
    BackgroundWorkerBuilder::new(&format!("{NAME} worker {number}")) // bgw_name: in ps and in the log
        .set_type(NAME) // bgw_type: the same for all our workers
        .set_library(NAME) // bgw_library_name: the file to load, without .so
        .set_function("step5_pg_stat_activity_main") // bgw_function_name: the symbol to call in it
        .set_argument(number.into_datum()) // bgw_main_arg: one Datum, by value
        .enable_spi_access() // BGWORKER_BACKEND_DATABASE_CONNECTION, and start time RecoveryFinished: so it stands before ...
        .set_start_time(start_time) // ... bgw_start_time (PostmasterStart is too early for a database connection)
        .set_restart_time(Some(RESTART_TIME)) // bgw_restart_time: None would mean never again
        .load();
}
// ANCHOR_END: register

// ANCHOR: main
/// The worker's main function. It runs in a process of its own, forked by the postmaster.
///
/// PostgreSQL finds it by name, so it must be exported: `no_mangle` is not decoration.
#[pg_guard]
#[unsafe(no_mangle)]
pub extern "C-unwind" fn step5_pg_stat_activity_main(arg: pg_sys::Datum) {
    // SAFETY: `register` made this Datum from an i32, and the postmaster passes it on unchanged.
    let number = unsafe { i32::from_polymorphic_datum(arg, false, pg_sys::INT4OID) };
    // A worker starts with its signals blocked. This installs the handlers, then unblocks them.
    BackgroundWorker::attach_signal_handlers(SignalWakeFlags::SIGHUP | SignalWakeFlags::SIGTERM);
    // Until here a SIGHUP was ignored. A reload may have come since the fork, so the files are read once now.
    settings::reload();
    let name = BackgroundWorker::get_name();
    // Now the process becomes a backend. No database would mean: shared catalogs only. No role means the bootstrap superuser, the
    // one who ran initdb: no password is asked, and pg_hba.conf is not read.
    // If this fails (no such database or role, no slot), the error is FATAL: exit code 1, and another try after RESTART_TIME.
    let (database, role) = (settings::database(), settings::role());
    BackgroundWorker::connect_worker_to_spi(Some(&database), role.as_deref());
    activity::set_name(name);
    tx::pin_search_path();
    counted::install().unwrap_or_else(|error| error.log(name));
    log!("{name}: started with argument {}, connected to database {database}", number.unwrap_or_default());

    let mut failed: Option<Instant> = None;
    loop {
        // The latch may be set at any time, so a wake-up is not yet the end of the nap. After an error the worker rests for a
        // whole nap: one line in the log for each, and no CPU burnt on what will fail again.
        if failed.is_none_or(|at| at.elapsed() >= settings::naptime()) {
            failed = match counted::cycle() {
                Ok(total) => {
                    if let Some(total) = total.filter(|_| settings::log_totals()) {
                        log!("{name}: the total is now {total}");
                    }
                    None
                }
                Err(error) => {
                    error.log(name);
                    Some(Instant::now())
                }
            };
        }
        // The cycle may have waited for a lock. Such a wait resets the latch that the signals have set, so both flags are asked before
        // the nap, too. false means: told to stop (SIGTERM) in the nap, or the postmaster is gone.
        reload_if_due(name);
        if BackgroundWorker::sigterm_received() || !BackgroundWorker::wait_latch(Some(settings::naptime())) {
            break;
        }
        reload_if_due(name);
    }

    log!("{name}: stopped");
    // Exit code 1 is a promise to come back: the postmaster starts the worker again after RESTART_TIME, unless the server is
    // shutting down. To return from here would be exit code 0, and 0 means: never again until the next start of the server.
    // SAFETY: proc_exit may be called anywhere in a backend's main; it does not return, and nothing here waits to be dropped.
    unsafe { pg_sys::proc_exit(1) };
}

/// Reads the settings again if a SIGHUP has come.
fn reload_if_due(name: &str) {
    if BackgroundWorker::sighup_received() {
        settings::reload();
        log!("{name}: settings reloaded, naptime is {:?}", settings::naptime());
    }
}
// ANCHOR_END: main

#[cfg(any(test, feature = "pg_test"))]
mod tests;
#[cfg(test)]
pub use tests::pg_test;
