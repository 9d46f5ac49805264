//! `worker_spi`: what PostgreSQL's own sample of a background worker does, in Rust, for each major as that major's does it.
//!
//! Its tests are PostgreSQL's own. Two things are different on purpose: no delta is lost where there is no total to take it up, and no
//! signal where a wait inside the cycle has reset the latch.

#[cfg(not(any(feature = "pg15", feature = "pg16")))]
mod arguments;
mod compat;
mod counted;
mod latch;
mod launch;
mod settings;
mod tx;

use counted::Counted;
use pgrx::bgworkers::{BackgroundWorker, BackgroundWorkerBuilder};
use pgrx::prelude::*;

::pgrx::pg_module_magic!();

/// The name of the library, of the extension and of the static workers' type.
const NAME: &str = "worker_spi";

// ANCHOR: init
/// PostgreSQL calls this when it loads the library: while it starts, or in a process that calls `worker_spi_launch`, or in a worker.
#[pg_guard]
pub extern "C-unwind" fn _PG_init() {
    // SAFETY: a plain variable, written only by the process that reads it.
    let preloading = unsafe { pg_sys::process_shared_preload_libraries_in_progress };
    settings::define(preloading);
    if preloading {
        (1..=settings::total_workers()).for_each(register);
    }
}

/// Tells the postmaster to start worker `number`, once.
fn register(number: i32) {
    BackgroundWorkerBuilder::new(&format!("{NAME} worker {number}"))
        .set_type(NAME)
        .set_library(NAME)
        .set_function("worker_spi_main")
        .set_argument(number.into_datum())
        .enable_spi_access() // with start time RecoveryFinished
        .set_restart_time(None) // BGW_NEVER_RESTART: what ends stays away
        .load();
}
// ANCHOR_END: init

// ANCHOR: main
/// The main function of all workers, static and dynamic.
#[pg_guard]
#[unsafe(no_mangle)]
pub extern "C-unwind" fn worker_spi_main(arg: pg_sys::Datum) {
    latch::install_handlers();
    launch::connect();
    // SAFETY: whoever registered the worker made this Datum from an i32, and the postmaster passes it on unchanged.
    let number = unsafe { i32::from_polymorphic_datum(arg, false, pg_sys::INT4OID) }.unwrap_or_default();
    let schema = format!("schema{number}");
    log!("{} initialized with {schema}.counted", BackgroundWorker::get_name());
    let mut counted = Counted::open(&schema);
    loop {
        latch::sleep();
        counted.add_up();
    }
}
// ANCHOR_END: main

#[cfg(any(test, feature = "pg_test"))]
mod tests;
#[cfg(test)]
pub use tests::pg_test;
