//! `worker_spi_launch`: a worker on demand.

use crate::{NAME, compat, settings};
use pgrx::bgworkers::{BackgroundWorker, BackgroundWorkerBuilder};
use pgrx::fcinfo::pg_getarg;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use std::ffi::{CStr, CString};
use std::ptr;

// ANCHOR: job
/// What a worker is told when it is started. One that starts with the server is told nothing: the settings count.
#[derive(Default)]
pub struct Job {
    /// The database to connect to; invalid for that of the settings.
    pub database: pg_sys::Oid,
    /// The role to connect as; invalid for the bootstrap superuser.
    pub role: pg_sys::Oid,
    /// `BGWORKER_BYPASS_...`
    pub flags: u32,
}

impl Job {
    /// In the worker: reads what [`launch`] has written.
    fn mine() -> Self {
        let mut words = BackgroundWorker::get_extra().split(' ').map(|word| word.parse::<u32>().unwrap_or_default());
        let mut next = || words.next().unwrap_or_default();
        Self { database: next().into(), role: next().into(), flags: next() }
    }

    /// bgw_extra.
    fn text(&self) -> String {
        format!("{} {} {}", self.database.to_u32(), self.role.to_u32(), self.flags)
    }
}
// ANCHOR_END: job

// ANCHOR: connect
/// In the worker: connects as the job says, or else as the settings say. A failure is FATAL.
pub fn connect() {
    let job = Job::mine();
    // SAFETY: once per process, before anything that needs a database. A null pointer means: none, and the bootstrap superuser.
    unsafe {
        if job.database != pg_sys::InvalidOid {
            pg_sys::BackgroundWorkerInitializeConnectionByOid(job.database, job.role, job.flags);
        } else {
            let (database, role) = (settings::database(), settings::role());
            let pointer = |name: &Option<CString>| name.as_deref().map_or(ptr::null(), CStr::as_ptr);
            pg_sys::BackgroundWorkerInitializeConnection(pointer(&database), pointer(&role), job.flags);
        }
    }
}
// ANCHOR_END: connect

// ANCHOR: launch
/// Starts a worker. Returns its PID, or `None` if no slot is free.
fn launch(number: i32, job: &Job, more_flags: i32) -> Option<i32> {
    // SAFETY: a plain variable of this process.
    let me = unsafe { pg_sys::MyProcPid };
    let builder = BackgroundWorkerBuilder::new(&format!("{} worker {number}", compat::DYNAMIC))
        .set_type(compat::DYNAMIC)
        .set_library(NAME)
        .set_function("worker_spi_main")
        .set_argument(number.into_datum())
        .set_extra(&job.text())
        .enable_spi_access() // with start time RecoveryFinished
        .set_restart_time(None)
        .set_notify_pid(me);
    // pgrx's builder has no method for each flag, so what it has built is registered here.
    let mut worker = pg_sys::BackgroundWorker::from(&builder);
    worker.bgw_flags |= more_flags;
    let (mut handle, mut pid) = (ptr::null_mut(), 0);
    // SAFETY: `worker` is copied; the handle is set where the registration has succeeded, and lives as long as the memory context.
    let status = unsafe {
        if !pg_sys::RegisterDynamicBackgroundWorker(&mut worker, &mut handle) {
            return None;
        }
        pg_sys::WaitForBackgroundWorkerStartup(handle, &mut pid)
    };
    // "Started" means that there is a process. What happens to it (it has still to connect) is in the server's log.
    let (message, hint) = match status {
        pg_sys::BgwHandleStatus::BGWH_STARTED => return Some(pid),
        pg_sys::BgwHandleStatus::BGWH_POSTMASTER_DIED => (
            "cannot start background processes without postmaster",
            "Kill all remaining database processes and restart the database.",
        ),
        _ => ("could not start background process", "More details may be available in the server log."),
    };
    ErrorReport::new(PgSqlErrorCode::ERRCODE_INSUFFICIENT_RESOURCES, message, "launch")
        .set_hint(hint)
        .report(PgLogLevel::ERROR);
    unreachable!("an ERROR does not return")
}
// ANCHOR_END: launch

// ANCHOR: export
/// The SQL function. pgrx could export it from an ordinary Rust function, under a name of its own choice; but the install script
/// of the original asks for this one, and for the next, which says how it is to be called.
///
/// # Safety
/// PostgreSQL calls this, with the arguments of the SQL function.
#[pg_guard]
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn worker_spi_launch(arguments: pg_sys::FunctionCallInfo) -> pg_sys::Datum {
    // SAFETY: as above. The function is STRICT, so no argument is null.
    let started = unsafe {
        let number = pg_getarg(arguments, 0).unwrap_or_default();
        launch(number, &compat::job(arguments), compat::more_flags(arguments))
    };
    match started {
        Some(pid) => pg_sys::Datum::from(pid),
        // SAFETY: says in the same place that the result is NULL.
        None => unsafe { pgrx::fcinfo::pg_return_null(arguments) },
    }
}

/// Version 1 of the calling convention, the only one that there is.
#[unsafe(no_mangle)]
#[doc(hidden)]
pub extern "C" fn pg_finfo_worker_spi_launch() -> &'static pg_sys::Pg_finfo_record {
    const VERSION_1: pg_sys::Pg_finfo_record = pg_sys::Pg_finfo_record { api_version: 1 };
    &VERSION_1
}
// ANCHOR_END: export
