//! Step 7: workers start on demand.
//!
//! `SELECT step7.launch(...)` starts a worker while the server runs, in any database and as any role that the caller may be, and
//! waits until it is ready or says why it is not. A launcher keeps one worker running in each database.

mod activity;
mod compat;
mod counted;
mod latch;
mod launch;
mod launcher;
mod settings;
mod tx;
mod wake;

use pgrx::bgworkers::{BackgroundWorker, BackgroundWorkerBuilder, BgWorkerStartTime};
use pgrx::prelude::*;
use std::time::{Duration, Instant};

::pgrx::pg_module_magic!(name, version);

// ANCHOR: consts
/// The name of the library, of the extension and of the workers' type.
const NAME: &str = "step7_dynamic_launch";

/// How long the postmaster waits before it starts a worker again that has exited with code 1. Whole seconds only:
/// PostgreSQL's `bgw_restart_time` has no smaller unit, and half a second would become none at all.
const RESTART_TIME: Duration = Duration::from_secs(1);
// ANCHOR_END: consts

// ANCHOR: init
/// PostgreSQL calls this when it loads the library.
#[pg_guard]
pub extern "C-unwind" fn _PG_init() {
    let preloading = is_preloading();
    settings::define(preloading);
    // pg_upgrade starts the server too, to move the catalogs. A worker has no business there.
    // SAFETY: a plain variable, set before any library is loaded, and we are on the only thread.
    if !preloading || unsafe { pg_sys::IsBinaryUpgrade } {
        return;
    }
    wake::init();
    // On a standby the first one starts as soon as the database can be read ...
    register(1, BgWorkerStartTime::ConsistentState);
    for number in 2..=settings::total_workers() {
        // ... and the others only after the promotion, when it can be written. On a primary the two moments are one.
        register(number, BgWorkerStartTime::RecoveryFinished);
    }
    if settings::launcher() {
        launcher::register();
    }
}
// ANCHOR_END: init

// ANCHOR: preload
/// Static workers can be registered only while the postmaster loads `shared_preload_libraries`, and only then can a library ask
/// for a part of the main shared memory. But a worker that is launched needs neither: its process loads the library itself, when it starts. So we no
/// longer refuse, and say what there will not be.
fn is_preloading() -> bool {
    // SAFETY: plain variables, written only by the process that reads them.
    let (preloading, in_worker) =
        unsafe { (pg_sys::process_shared_preload_libraries_in_progress, !pg_sys::MyBgworkerEntry.is_null()) };
    if !preloading && !in_worker {
        notice!("{NAME} is not in shared_preload_libraries: no worker starts with the server, and a commit wakes none");
    }
    preloading
}

// Without this line, CREATE EXTENSION would not load the library, and nobody would see that notice.
extension_sql!("LOAD 'MODULE_PATHNAME';", name = "load_library", bootstrap);
// ANCHOR_END: preload

// ANCHOR: register
/// Tells the postmaster what to start, when, and what to do when it ends. Worker `number` gets it as its argument.
fn register(number: i32, start_time: BgWorkerStartTime) {
    BackgroundWorkerBuilder::new(&format!("{NAME} worker {number}")) // bgw_name: in ps and in the log
        .set_type(NAME) // bgw_type: the same for all our workers
        .set_library(NAME) // bgw_library_name: the file to load, without .so
        .set_function("step7_dynamic_launch_main") // bgw_function_name: the symbol to call in it
        .set_argument(number.into_datum()) // bgw_main_arg: one Datum, by value
        .enable_spi_access() // BGWORKER_BACKEND_DATABASE_CONNECTION, and start time RecoveryFinished: so it stands before ...
        .set_start_time(start_time) // ... bgw_start_time (PostmasterStart is too early for a database connection)
        .set_restart_time(Some(RESTART_TIME)) // bgw_restart_time: None would mean never again
        .load();
}
// ANCHOR_END: register

// ANCHOR: main
/// The main function of a worker that starts with the server. It runs in a process of its own, forked by the postmaster.
///
/// PostgreSQL finds it by name, so it must be exported: `no_mangle` is not decoration.
#[pg_guard]
#[unsafe(no_mangle)]
pub extern "C-unwind" fn step7_dynamic_launch_main(arg: pg_sys::Datum) {
    let number = begin(arg);
    // Now the process becomes a backend. No database would mean: shared catalogs only. No role means the bootstrap superuser, the
    // one who ran initdb: no password is asked, and pg_hba.conf is not read.
    // If this fails (no such database or role, no slot), the error is FATAL: exit code 1, and another try after RESTART_TIME.
    let (database, role) = (settings::database(), settings::role());
    BackgroundWorker::connect_worker_to_spi(Some(&database), role.as_deref());
    work(number, true);
}

/// The main function of a worker that [`launch`] has started.
#[pg_guard]
#[unsafe(no_mangle)]
pub extern "C-unwind" fn step7_dynamic_launch_on_demand(arg: pg_sys::Datum) {
    let number = begin(arg);
    // Whoever wanted this worker has given up: leave, without a word and for good (exit code 0).
    let Some(job) = launch::accept(number) else { return };
    launch::connect(&job);
    work(number, job.install);
}

/// The main function of the launcher.
#[pg_guard]
#[unsafe(no_mangle)]
pub extern "C-unwind" fn step7_dynamic_launch_launcher(arg: pg_sys::Datum) {
    begin(arg);
    BackgroundWorker::connect_worker_to_spi(Some(&settings::database()), None);
    activity::set_name(BackgroundWorker::get_name());
    tx::pin_search_path();
    log!("{}: started", BackgroundWorker::get_name());
    serve(|_| launcher::round());
}

/// What every worker does first. Returns its argument.
fn begin(arg: pg_sys::Datum) -> i32 {
    // A worker starts with its signals blocked.
    latch::install_handlers();
    // Until here a SIGHUP was ignored. A reload may have come since the fork, so the files are read once now.
    settings::reload();
    // SAFETY: whoever registered the worker made this Datum from an i32, and the postmaster passes it on unchanged.
    unsafe { i32::from_polymorphic_datum(arg, false, pg_sys::INT4OID) }.unwrap_or_default()
}

/// What a connected worker does until it is told to stop.
fn work(number: i32, install: bool) -> ! {
    let name = BackgroundWorker::get_name();
    activity::set_name(name);
    tx::pin_search_path();
    if install {
        counted::install().unwrap_or_else(|error| error.log(name));
    }
    wake::register();
    launch::ready();
    let database = tx::database().unwrap_or_else(|error| error.raise());
    log!("{name}: started with argument {number}, connected to database {database}");
    serve(|name| {
        if let Some(total) = counted::cycle()?.filter(|_| settings::log_totals()) {
            log!("{name}: the total is now {total}");
        }
        Ok(())
    })
}

/// The loop: one cycle, then a nap, until the process is told to stop. There is no way out of it: SIGTERM and the end of the
/// postmaster are seen inside, and end the process there.
fn serve(mut cycle: impl FnMut(&str) -> Result<(), tx::TxError>) -> ! {
    let name = BackgroundWorker::get_name();
    let mut rest = Rest::default();
    loop {
        if rest.is_over() {
            wake::begin_to_look();
            match cycle(name) {
                Ok(()) => rest.end(),
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
