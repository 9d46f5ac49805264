//! Tests that run inside a PostgreSQL which has this library preloaded: `cargo pgrx test pg18`.
//! What only shows from outside (restarts, crashes, standbys, shutdown) is tested by the `workbook` crate.

use pgrx::prelude::*;
use std::time::{Duration, Instant};

/// PostgreSQL 15's postmaster works out how long to sleep and only then lets signals in: a worker that ends in between is started
/// again when the postmaster next wakes, up to a minute later. SIGUSR1 without a request does nothing but wake it. It is the
/// parent of the process that runs a `#[pg_test]`.
#[cfg(feature = "pg15")]
fn wake_the_postmaster() {
    let parent = std::os::unix::process::parent_id().to_string();
    if std::fs::read_to_string(format!("/proc/{parent}/comm")).is_ok_and(|name| name == "postgres\n") {
        assert!(std::process::Command::new("kill").args(["-USR1", &parent]).status().unwrap().success());
    }
}

/// Asks every 10 ms until there is an answer. Panics after 20 s, so that no test hangs.
fn poll<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let limit = Instant::now() + Duration::from_secs(20);
    #[cfg(feature = "pg15")]
    let mut nudge = Instant::now() + Duration::from_secs(1);
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < limit, "{what}: not within 20 s");
        #[cfg(feature = "pg15")]
        if Instant::now() >= nudge {
            nudge += Duration::from_secs(1);
            wake_the_postmaster();
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[pg_schema]
mod tests {
    use super::*;
    use crate::NAME;

    /// The PID of the postmaster's child process that shows this name in the process table.
    fn pid_of(worker: &str) -> Option<i32> {
        // SAFETY: PostmasterPid is set before this process was forked and never changes.
        let postmaster = unsafe { pg_sys::PostmasterPid };
        let children = std::fs::read_to_string(format!("/proc/{postmaster}/task/{postmaster}/children")).unwrap();
        children
            .split_whitespace()
            .find(|pid| {
                std::fs::read_to_string(format!("/proc/{pid}/cmdline"))
                    .is_ok_and(|title| title.trim_end_matches(['\0', ' ']) == format!("postgres: {worker}"))
            })
            .map(|pid| pid.parse().unwrap())
    }

    fn signal(pid: i32, signal: &str) {
        assert!(std::process::Command::new("kill").args([signal, &pid.to_string()]).status().unwrap().success());
    }

    /// Tests that end a worker take turns: each must be the only reason why its worker goes.
    fn take_turns() {
        Spi::run("SELECT pg_advisory_xact_lock(1)").unwrap();
    }

    #[pg_test]
    fn the_worker_is_a_child_of_the_postmaster() {
        poll("worker 1 in the process table", || pid_of(&format!("{NAME} worker 1")));
    }

    /// The PID that `pg_stat_activity` has for this worker. The view is frozen within a transaction unless told otherwise.
    fn pid_in_activity(number: i32) -> Option<i32> {
        let worker = pid_of(&format!("{NAME} worker {number}"))?;
        Spi::run("SELECT pg_stat_clear_snapshot()").unwrap();
        let found = Spi::get_one_with_args::<i64>(
            "SELECT count(*) FROM pg_stat_activity
             WHERE pid = $1 AND backend_type = $2 AND datname = $3
               AND usename = (SELECT rolname FROM pg_roles WHERE oid = 10)",
            &[worker.into(), NAME.into(), crate::DATABASE.into()],
        );
        (found == Ok(Some(1))).then_some(worker)
    }

    #[pg_test]
    fn a_connected_worker_has_a_row_with_its_database_and_the_bootstrap_superuser() {
        poll("worker 1 in pg_stat_activity", || pid_in_activity(1));
        poll("worker 2 in pg_stat_activity", || pid_in_activity(2));
    }

    #[pg_test]
    fn pg_terminate_backend_brings_another_one() {
        take_turns();
        let before = poll("worker 2", || pid_in_activity(2));
        assert_eq!(Spi::get_one_with_args::<bool>("SELECT pg_terminate_backend($1)", &[before.into()]), Ok(Some(true)));
        poll("worker 2 with another PID", || pid_in_activity(2).filter(|pid| *pid != before));
    }

    /// A defect that step 6 removes: the worker is idle, there is nothing to cancel, and still it ends.
    #[pg_test]
    fn until_step_6_a_cancel_ends_the_worker() {
        take_turns();
        let before = poll("worker 2", || pid_in_activity(2));
        assert_eq!(Spi::get_one_with_args::<bool>("SELECT pg_cancel_backend($1)", &[before.into()]), Ok(Some(true)));
        poll("worker 2 with another PID", || pid_in_activity(2).filter(|pid| *pid != before));
    }

    #[pg_test]
    fn it_comes_back_after_its_restart_time() {
        take_turns();
        let worker = format!("{NAME} worker 1");
        let before = poll("worker 1", || pid_of(&worker));
        let start = Instant::now();
        signal(before, "-TERM");
        let after = poll("worker 1 with another PID", || pid_of(&worker).filter(|pid| *pid != before));
        // The signal needs a moment to arrive, so the time from here can only be longer than the restart time.
        assert!(start.elapsed() >= crate::RESTART_TIME, "back after only {:?} with PID {after}", start.elapsed());
    }

    #[pg_test(error = "step2_db_connection must be loaded by shared_preload_libraries")]
    fn loading_it_later_is_refused() {
        crate::_PG_init();
    }
}
