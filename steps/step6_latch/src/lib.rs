//! Step 6: sleep until there is work, wake at once, stop at once.
//!
//! Part a: the worker waits on its latch with PostgreSQL's own functions and signal handlers. It can be stopped and cancelled in
//! the middle of a query. Part b: a commit in another session wakes it, so that it need not sleep for its whole nap.

mod activity;
mod compat;
mod counted;
mod latch;
mod settings;
mod tx;
mod wake;

use pgrx::bgworkers::{BackgroundWorker, BackgroundWorkerBuilder, BgWorkerStartTime};
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use std::time::{Duration, Instant};

::pgrx::pg_module_magic!(name, version);

// ANCHOR: consts
/// The name of the library, of the extension and of the workers' type.
const NAME: &str = "step6_latch";

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
    wake::init();
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
        .set_function("step6_latch_main") // bgw_function_name: the symbol to call in it
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
pub extern "C-unwind" fn step6_latch_main(arg: pg_sys::Datum) {
    // SAFETY: `register` made this Datum from an i32, and the postmaster passes it on unchanged.
    let number = unsafe { i32::from_polymorphic_datum(arg, false, pg_sys::INT4OID) };
    let number = number.unwrap_or_default();
    // A worker starts with its signals blocked.
    latch::install_handlers();
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
    wake::register();
    log!("{name}: started with argument {number}, connected to database {database}");

    let mut rest = Rest::default();
    loop {
        if rest.is_over() {
            wake::begin_to_look();
            match counted::cycle() {
                Ok(total) => {
                    rest.end();
                    if let Some(total) = total.filter(|_| settings::log_totals()) {
                        log!("{name}: the total is now {total}");
                    }
                }
                Err(error) => rest.begin(error, name),
            }
        }
        // The cycle may have waited for a lock. Such a wait resets the same latch, so what has come meanwhile is asked for here.
        let called = latch::reload_is_due() || (rest.is_over() && wake::is_due());
        if !called {
            latch::sleep(rest.nap());
        }
        if latch::reload_if_due() {
            rest.end();
            log!("{name}: settings reloaded, naptime is {:?}", settings::naptime());
        }
    }
    // There is no way out of the loop: SIGTERM and the end of the postmaster are seen inside, and end the process there.
}
// ANCHOR_END: main

// ANCHOR: rest
/// The rest after an error. A nap may last hours now that a commit ends it, so a worker does not rest for a whole nap any more: one
/// second, then two, four and so on, at most a nap. The log still gets at most one line in a nap.
#[derive(Default)]
struct Rest {
    until: Option<Instant>,
    pause: Duration,
    logged: Option<Instant>,
}

impl Rest {
    fn begin(&mut self, error: tx::TxError, name: &str) {
        self.pause = (self.pause * 2).max(Duration::from_secs(1)).min(settings::naptime());
        self.until = Some(Instant::now() + self.pause);
        if self.logged.is_none_or(|at| at.elapsed() >= settings::naptime()) {
            self.logged = Some(Instant::now());
            error.log(name);
        }
    }

    fn end(&mut self) {
        (self.until, self.pause) = (None, Duration::ZERO);
    }

    fn is_over(&self) -> bool {
        self.until.is_none_or(|until| Instant::now() >= until)
    }

    /// How long to sleep. A rest may run out between two lines of the loop: then not at all, rather than for a whole nap.
    fn nap(&self) -> Duration {
        self.until.map_or_else(settings::naptime, |until| until.saturating_duration_since(Instant::now()))
    }
}
// ANCHOR_END: rest

#[cfg(any(test, feature = "pg_test"))]
mod tests;
#[cfg(test)]
pub use tests::pg_test;
