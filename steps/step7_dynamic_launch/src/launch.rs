//! Workers on demand: started, listed and stopped by SQL functions, from any session.

use crate::tx::TxError;
use crate::{NAME, activity, compat};
use core::ptr;
use pgrx::bgworkers::{BackgroundWorker, BackgroundWorkerBuilder, BackgroundWorkerStatus, BgWorkerStartTime};
use pgrx::pg_sys::ffi::pg_guard_ffi_boundary;
use pgrx::prelude::*;
use std::ffi::{CStr, CString};
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicI32, AtomicPtr, AtomicU8, AtomicU32, Ordering};
use std::time::{Duration, Instant};

// ANCHOR: job
/// What a worker is told when it is started.
pub struct Job {
    /// Its number, part of its name.
    pub number: i32,
    /// The database to connect to.
    pub database: pg_sys::Oid,
    /// The role to work as; invalid for the bootstrap superuser.
    pub role: pg_sys::Oid,
    /// `BGWORKER_BYPASS_...`
    pub flags: u32,
    /// Whether to create the extension where it is missing.
    pub install: bool,
}

/// How long to wait for a worker to become ready.
const PATIENCE: Duration = Duration::from_secs(60);
// ANCHOR_END: job

// ANCHOR: report
/// What a worker tells the one that started it, in a segment of dynamic shared memory that lives as long as somebody waits. That a
/// process has been forked (`BGWH_STARTED`) says nothing: it has still to connect, and can fail.
pub struct Report {
    state: AtomicU32,
    pid: AtomicI32,
    launcher: AtomicPtr<pg_sys::Latch>,
    code: AtomicI32,
    message: [AtomicU8; 512],
}

const STARTING: u32 = 0;
pub const READY: u32 = 1;
const FAILED: u32 = 2;

impl Report {
    pub fn new(launcher: *mut pg_sys::Latch) -> Self {
        Self {
            state: AtomicU32::new(STARTING),
            pid: AtomicI32::new(0),
            launcher: AtomicPtr::new(launcher),
            code: AtomicI32::new(0),
            message: std::array::from_fn(|_| AtomicU8::new(0)),
        }
    }

    /// Written last, so that whoever sees the state sees all the rest.
    pub fn finish(&self, state: u32) {
        self.state.store(state, Ordering::Release);
        // SAFETY: a latch in shared memory. If its owner has gone, somebody else wakes for nothing.
        unsafe { pg_sys::SetLatch(self.launcher.load(Ordering::Relaxed)) };
    }

    fn error(&self) -> TxError {
        let bytes = self
            .message
            .iter()
            .map(|byte| byte.load(Ordering::Relaxed))
            .take_while(|byte| *byte != 0)
            .collect::<Vec<_>>();
        TxError::new(self.code.load(Ordering::Relaxed).into(), String::from_utf8_lossy(&bytes))
    }
}
// ANCHOR_END: report

// ANCHOR: start
/// Starts a worker and waits until it is ready. Returns its PID, or the reason why it is not running.
///
/// `kind` is added to the type, which `pg_stat_activity` shows as `backend_type`. The postmaster never starts it again: who wants
/// that starts another.
pub fn start(kind: &str, job: &Job) -> Result<i32, TxError> {
    // SAFETY: all of this is for a process with a latch, a backend or a connected worker. The segment is valid until it is
    // detached below; an ERROR on the way is caught.
    unsafe {
        let segment = pg_sys::dsm_create(size_of::<Report>(), 0);
        let report: *mut Report = pg_sys::dsm_segment_address(segment).cast();
        report.write(Report::new(pg_sys::MyLatch));
        // ANCHOR: hole_launch
        let extra = format!(
            "{} {} {} {} {}",
            job.database.to_u32(),
            job.role.to_u32(),
            job.flags,
            job.install as u8,
            pg_sys::dsm_segment_handle(segment)
        );
        let started = BackgroundWorkerBuilder::new(&format!("{NAME} {kind} worker {}", job.number))
            .set_type(&format!("{NAME} {kind}"))
            .set_library(NAME)
            .set_function("step7_dynamic_launch_on_demand")
            .set_argument(job.number.into_datum())
            .set_extra(&extra) // bgw_extra: 128 bytes for whatever one Datum cannot say
            .enable_spi_access()
            .set_start_time(BgWorkerStartTime::ConsistentState)
            .set_notify_pid(pg_sys::MyProcPid) // so that the postmaster tells us when it starts and ends
            .load_dynamic();
        // ANCHOR_END: hole_launch
        let result = match started {
            Err(_) => Err(no_slot()),
            Ok(worker) => {
                let wait = AssertUnwindSafe(|| wait_until_ready(|| worker.pid(), &*report));
                let result = PgTryBuilder::new(wait).catch_others(|error| Err(error.into())).execute();
                if result.is_err() {
                    // Whoever gave up (a cancel, for example) shall not leave a worker behind that nobody knows.
                    worker.terminate();
                }
                result
            }
        };
        pg_sys::dsm_detach(segment);
        result
    }
}

fn no_slot() -> TxError {
    TxError::new(PgSqlErrorCode::ERRCODE_CONFIGURATION_LIMIT_EXCEEDED, "no slot is left for another background worker")
        .hint("Stop a worker, or raise max_worker_processes and restart the server.")
}

pub fn wait_until_ready(
    pid: impl Fn() -> Result<i32, BackgroundWorkerStatus>,
    report: &Report,
) -> Result<i32, TxError> {
    let limit = Instant::now() + PATIENCE;
    loop {
        // First what the postmaster says, then what the worker has said: it speaks before it ends.
        let status = pid();
        let unknown = matches!(status, Err(BackgroundWorkerStatus::NotYetStarted));
        let ended = matches!(status, Err(BackgroundWorkerStatus::Stopped | BackgroundWorkerStatus::PostmasterDied));
        match report.state.load(Ordering::Acquire) {
            // The postmaster notes the PID after the fork, and the worker may be ready before that. Until then it has no
            // backend_type in pg_stat_activity, and `stop` would not know it. We are signalled when the PID is noted.
            READY if !unknown => return Ok(report.pid.load(Ordering::Relaxed)),
            FAILED => return Err(report.error()),
            _ if ended => {
                let error =
                    TxError::new(PgSqlErrorCode::ERRCODE_INTERNAL_ERROR, "the worker has ended before it was ready");
                return Err(error.hint("The server log may say why."));
            }
            _ if Instant::now() >= limit => {
                let message = format!("the worker was not ready within {} s", PATIENCE.as_secs());
                return Err(TxError::new(PgSqlErrorCode::ERRCODE_QUERY_CANCELED, message));
            }
            _ => {}
        }
        let events = pg_sys::WL_LATCH_SET | pg_sys::WL_TIMEOUT | pg_sys::WL_EXIT_ON_PM_DEATH;
        // SAFETY: our own latch. The worker sets it, and so does the postmaster's signal.
        unsafe {
            pg_sys::WaitLatch(pg_sys::MyLatch, events as i32, 1000, pg_sys::PG_WAIT_EXTENSION);
            pg_sys::ResetLatch(pg_sys::MyLatch);
        }
        check_for_interrupts!();
    }
}
// ANCHOR_END: start

// ANCHOR: worker
static REPORT: AtomicPtr<Report> = AtomicPtr::new(ptr::null_mut());
static SEGMENT: AtomicPtr<pg_sys::dsm_segment> = AtomicPtr::new(ptr::null_mut());
static mut NEXT_LOG_HOOK: pg_sys::emit_log_hook_type = None;

/// In the worker: reads its job. `None` if whoever started it has gone meanwhile.
pub fn accept(number: i32) -> Option<Job> {
    let mut words = BackgroundWorker::get_extra().split(' ').map(|word| word.parse::<u32>().ok());
    let mut next = || words.next().flatten();
    let job = Job { number, database: next()?.into(), role: next()?.into(), flags: next()?, install: next()? != 0 };
    // SAFETY: the handle is that of the segment made in `start`; no segment means that it has been given up.
    unsafe {
        let segment = pg_sys::dsm_attach(next()?);
        if segment.is_null() {
            return None;
        }
        SEGMENT.store(segment, Ordering::Relaxed);
        REPORT.store(pg_sys::dsm_segment_address(segment).cast(), Ordering::Relaxed);
        NEXT_LOG_HOOK = pg_sys::emit_log_hook;
        pg_sys::emit_log_hook = Some(report_the_end);
    }
    Some(job)
}

/// In the worker: says that it is ready. What happens from now on is in the log only.
pub fn ready() {
    // SAFETY: null, or the segment attached in `accept`.
    unsafe {
        if let Some(report) = REPORT.swap(ptr::null_mut(), Ordering::Relaxed).as_ref() {
            report.pid.store(pg_sys::MyProcPid, Ordering::Relaxed);
            report.finish(READY);
            pg_sys::dsm_detach(SEGMENT.load(Ordering::Relaxed));
        }
    }
}

/// PostgreSQL calls this for each message to the log. The error that ends a worker before it is ready (no such database, the role
/// may not log in) is the reason that `start` returns.
#[pg_guard]
unsafe extern "C-unwind" fn report_the_end(error: *mut pg_sys::ErrorData) {
    // SAFETY: PostgreSQL passes a valid error, and the report stays mapped until `ready`. Nothing here allocates or fails.
    unsafe {
        if (*error).elevel >= PgLogLevel::ERROR as i32
            && let Some(report) = REPORT.swap(ptr::null_mut(), Ordering::Relaxed).as_ref()
        {
            report.code.store((*error).sqlerrcode, Ordering::Relaxed);
            if !(*error).message.is_null() {
                // What does not fit is cut; the last byte stays zero and ends the text.
                let text = CStr::from_ptr((*error).message).to_bytes();
                for (to, from) in report.message.iter().zip(text).take(report.message.len() - 1) {
                    to.store(*from, Ordering::Relaxed);
                }
            }
            report.finish(FAILED);
        }
        if let Some(next) = NEXT_LOG_HOOK {
            pg_guard_ffi_boundary(|| next(error));
        }
    }
}
// ANCHOR_END: worker

// ANCHOR: sql
#[pg_schema]
mod step7 {
    use super::*;

    /// Starts a worker and returns its PID when it is ready. A ROLLBACK does not undo it: the postmaster has started a process.
    ///
    /// Without a database it works in this one, without a role as the one who calls. Another role takes the right to become it.
    #[pg_extern]
    fn launch(
        number: i32,
        database: default!(Option<&str>, "NULL"),
        role: default!(Option<&str>, "NULL"),
        flags: default!(Vec<Option<String>>, "'{}'"),
    ) -> i32 {
        // SAFETY: in a transaction; the names are looked up, and an unknown one is an ERROR.
        let job = unsafe {
            let caller = pg_sys::GetUserId();
            let database = match database {
                Some(name) => pg_sys::get_database_oid(c_name(name).as_ptr(), false),
                None => pg_sys::MyDatabaseId,
            };
            let role = match role {
                Some(name) => pg_sys::get_role_oid(c_name(name).as_ptr(), false),
                None => caller,
            };
            // ANCHOR: hole_rights
            if !compat::may_become(caller, role) {
                let code = PgSqlErrorCode::ERRCODE_INSUFFICIENT_PRIVILEGE;
                TxError::new(code, "permission denied to start a worker as another role")
                    .hint("You must be able to SET ROLE to it.")
                    .raise();
            }
            // ANCHOR_END: hole_rights
            let flags = flags.iter().fold(0, |flags, flag| flags | bypass(flag.as_deref()));
            if flags != 0 && !pg_sys::superuser() {
                let code = PgSqlErrorCode::ERRCODE_INSUFFICIENT_PRIVILEGE;
                TxError::new(code, "permission denied to use flags").hint("Only a superuser may.").raise();
            }
            Job { number, database, role, flags, install: true }
        };
        start("dynamic", &job).unwrap_or_else(|error| error.raise())
    }

    fn c_name(name: &str) -> CString {
        CString::new(name).unwrap_or_default()
    }

    /// The flag of that name.
    fn bypass(name: Option<&str>) -> u32 {
        let code = PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE;
        name.and_then(compat::bypass_flag).unwrap_or_else(|| {
            let known = "Known are ALLOWCONN and, since PostgreSQL 17, ROLELOGINCHECK.";
            TxError::new(code, format!("unknown flag \"{}\"", name.unwrap_or("NULL"))).hint(known).raise()
        })
    }

    /// Stops a worker that `launch` has started, from any session, and waits up to 10 s until it is gone. Returns whether it is.
    /// Who may stop it is who may use `pg_terminate_backend` on it.
    #[pg_extern]
    fn stop(pid: i32) -> bool {
        if backend_type(pid) != Some(format!("{NAME} dynamic")) {
            let code = PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE;
            TxError::new(code, format!("process {pid} is not a worker that step7.launch has started"))
                .hint("SELECT * FROM step7.workers() shows them.")
                .raise();
        }
        let stopped = "SELECT pg_catalog.pg_terminate_backend($1, 10000)";
        ask(stopped, pid) == Some(true)
    }

    /// One value, if there is a row. `Spi::get_one` would take a transaction ID, and on a standby there is none.
    fn ask<T: FromDatum + IntoDatum>(sql: &str, pid: i32) -> Option<T> {
        Spi::connect(|client| client.select(sql, Some(1), &[pid.into()]).ok()?.first().get_one().ok()?)
    }

    /// What kind of process this is, whoever asks.
    fn backend_type(pid: i32) -> Option<String> {
        let asked = "SELECT a.backend_type FROM pg_catalog.pg_stat_get_activity($1) a";
        let (mut user, mut context) = (pg_sys::InvalidOid, 0);
        // SAFETY: in a transaction, whose abort would undo the change of the user, too. What runs as superuser is fixed text.
        unsafe {
            pg_sys::GetUserIdAndSecContext(&mut user, &mut context);
            let inside = context | pg_sys::SECURITY_LOCAL_USERID_CHANGE as i32;
            pg_sys::SetUserIdAndSecContext(pg_sys::BOOTSTRAP_SUPERUSERID.into(), inside);
            let answer = ask(asked, pid);
            pg_sys::SetUserIdAndSecContext(user, context);
            answer
        }
    }
}

// These read what every session shares: pg_stat_activity. It hides other roles' processes, so the functions run as their owner.
extension_sql!(
    r#"
CREATE FUNCTION step7.workers(OUT pid integer, OUT worker text, OUT kind text, OUT database name, OUT role name,
                              OUT state text, OUT since timestamptz) RETURNS SETOF record
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT pid, application_name, coalesce(nullif(substr(backend_type, length('step7_dynamic_launch ') + 1), ''), 'static'),
           datname, usename, state, backend_start
    FROM pg_stat_activity WHERE starts_with(backend_type, 'step7_dynamic_launch') ORDER BY backend_start, pid
$$;
CREATE FUNCTION step7.status(pid integer) RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$ SELECT CASE WHEN EXISTS (SELECT FROM step7.workers() w WHERE w.pid = $1) THEN 'running' ELSE 'stopped' END $$;
"#,
    name = "workers",
    requires = ["counted"]
);

// Who may start processes is for the administrator to say: GRANT EXECUTE ON FUNCTION step7.launch TO ...
extension_sql!("REVOKE ALL ON ALL FUNCTIONS IN SCHEMA step7 FROM PUBLIC;", name = "not_for_everybody", finalize);
// ANCHOR_END: sql

/// In the worker: connects as the job says.
pub fn connect(job: &Job) {
    // SAFETY: once per process, before anything that needs a database. Whatever is wrong is FATAL, and reported.
    unsafe { pg_sys::BackgroundWorkerInitializeConnectionByOid(job.database, job.role, job.flags) };
    activity::idle();
}
