//! Tests that run inside a PostgreSQL which has this library preloaded: `cargo pgrx test pg18`. They are about what is new in this step.
//! What only shows from outside (restarts, crashes, standbys, shutdown) is tested by the crate `course`.

use crate::NAME;
use pgrx::prelude::*;
use std::time::Instant;
use testing::{pid_of, poll, signal};

/// What `cargo pgrx test` asks for before it starts its server.
#[cfg(test)]
pub mod pg_test {
    /// Nothing to prepare.
    pub fn setup(_options: Vec<&str>) {}

    /// The settings of the test server.
    pub fn postgresql_conf_options() -> Vec<&'static str> {
        vec!["shared_preload_libraries = 'step1_registration'"]
    }
}

#[pg_schema]
mod tests {
    use super::*;

    #[pg_test]
    fn the_worker_is_a_child_of_the_postmaster() {
        poll("worker 1 in the process table", || pid_of(&format!("{NAME} worker 1")));
    }

    #[pg_test]
    fn a_worker_without_a_connection_has_no_row() {
        poll("worker 1 in the process table", || pid_of(&format!("{NAME} worker 1")));
        let rows = Spi::get_one_with_args::<i64>(
            "SELECT count(*) FROM pg_stat_activity WHERE backend_type = $1",
            &[NAME.into()],
        );
        assert_eq!(rows, Ok(Some(0)));
    }

    #[pg_test]
    fn it_comes_back_after_its_restart_time() {
        let worker = format!("{NAME} worker 1");
        let before = poll("worker 1", || pid_of(&worker));
        let start = Instant::now();
        signal(before, "-TERM");
        let after = poll("worker 1 with another PID", || pid_of(&worker).filter(|pid| *pid != before));
        // The signal needs a moment to arrive, so the time from here can only be longer than the restart time.
        assert!(start.elapsed() >= crate::RESTART_TIME, "back after only {:?} with PID {after}", start.elapsed());
    }

    #[pg_test(error = "step1_registration must be loaded by shared_preload_libraries")]
    fn loading_it_later_is_refused() {
        crate::_PG_init();
    }
}
