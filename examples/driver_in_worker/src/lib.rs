//! A worker that asks another server, or this one, through a client driver.
//!
//! The driver is asynchronous and lives in a thread of its own. That thread never calls PostgreSQL, and no signal handler ever runs
//! in it. The main thread waits for its latch, as in every worker.

mod driver;

use driver::Driver;
use pgrx::bgworkers::{BackgroundWorker, BackgroundWorkerBuilder, BgWorkerStartTime, SignalWakeFlags};
use pgrx::prelude::*;
use pgrx::{GucContext, GucFlags, GucRegistry, GucSetting};
use std::ffi::CString;
use std::time::Duration;

::pgrx::pg_module_magic!(name, version);

const NAME: &str = "driver_in_worker";

static CONNINFO: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(None);
static QUESTION: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(Some(c"SELECT version()"));
static NAPTIME: GucSetting<i32> = GucSetting::<i32>::new(1000); // in milliseconds

/// PostgreSQL calls this when it loads the library.
#[pg_guard]
pub extern "C-unwind" fn _PG_init() {
    // SAFETY: plain variables, written only by the process that reads them.
    let (preloading, upgrading) =
        unsafe { (pg_sys::process_shared_preload_libraries_in_progress, pg_sys::IsBinaryUpgrade) };
    if !preloading {
        error!("{NAME} must be loaded by shared_preload_libraries");
    }
    GucRegistry::define_string_guc(
        c"driver.conninfo",
        c"Which server to ask.",
        c"",
        &CONNINFO,
        GucContext::Postmaster,
        GucFlags::SUPERUSER_ONLY, // there may be a password in it
    );
    GucRegistry::define_string_guc(
        c"driver.question",
        c"What to ask.",
        c"",
        &QUESTION,
        GucContext::Postmaster,
        GucFlags::default(),
    );
    GucRegistry::define_int_guc(
        c"driver.naptime",
        c"How long to wait before asking again.",
        c"",
        &NAPTIME,
        1,
        i32::MAX,
        GucContext::Postmaster,
        GucFlags::UNIT_MS,
    );
    if upgrading {
        return;
    }
    // No thread is started here: this is the postmaster, and a fork takes only the thread that forks.
    BackgroundWorkerBuilder::new(NAME)
        .set_type(NAME)
        .set_library(NAME)
        .set_function("driver_in_worker_main")
        .enable_spi_access()
        .set_start_time(BgWorkerStartTime::ConsistentState)
        .set_restart_time(Some(Duration::from_secs(1)))
        .load();
}

// ANCHOR: main
/// The worker's main function.
#[pg_guard]
#[unsafe(no_mangle)]
pub extern "C-unwind" fn driver_in_worker_main(_arg: pg_sys::Datum) {
    let text = |setting: &GucSetting<Option<CString>>| {
        setting.get().map(|value| value.to_string_lossy().into_owned()).unwrap_or_default()
    };
    // The signals are still blocked, and a thread inherits that. So the thread comes first, and only then are they unblocked: each
    // handler runs in the main thread, where it belongs.
    let mut driver = Driver::start(text(&CONNINFO)).unwrap_or_else(|error| error!("{NAME}: no thread: {error}"));
    BackgroundWorker::attach_signal_handlers(SignalWakeFlags::SIGTERM);
    BackgroundWorker::connect_worker_to_spi(Some("postgres"), None);
    log!("{NAME}: started");
    driver.ask(text(&QUESTION));
    while BackgroundWorker::wait_latch(Some(Duration::from_millis(NAPTIME.get() as u64))) {
        // The latch was set by the thread, by the time or by somebody else: look what there is.
        while let Some(answer) = driver.answer() {
            match answer {
                Ok(text) => log!("{NAME}: {text}"),
                Err(reason) => warning!("{NAME}: {reason}"),
            }
            driver.waiting = false;
        }
        if driver.has_died() {
            error!("{NAME}: the thread has died"); // exit code 1: a new process has a new thread
        }
        if !driver.waiting {
            driver.ask(text(&QUESTION));
        }
    }
    // First the thread, then the process: what ends a process also ends what a thread is using.
    let ended = driver.stop(Duration::from_millis(500));
    log!("{NAME}: stopped, the thread {}", if ended { "first" } else { "has not ended" });
    // SAFETY: nothing here waits to be dropped.
    unsafe { pg_sys::proc_exit(1) };
}
// ANCHOR_END: main
