//! Tests that run inside a PostgreSQL which has this library preloaded: `cargo pgrx test pg18`. They are about what is new in this step.
//! What only shows from outside (restarts, crashes, standbys, shutdown) is tested by the crate `course`.

use crate::{DATABASE, NAME};
use pgrx::prelude::*;
use testing::{pid_of, poll};

/// What `cargo pgrx test` asks for before it starts its server.
#[cfg(test)]
pub mod pg_test {
    /// Nothing to prepare.
    pub fn setup(_options: Vec<&str>) {}

    /// The settings of the test server.
    pub fn postgresql_conf_options() -> Vec<&'static str> {
        vec!["shared_preload_libraries = 'step2_db_connection'"]
    }
}

#[pg_schema]
mod tests {
    use super::*;

    /// The PID that `pg_stat_activity` has for this worker. The view is frozen within a transaction unless told otherwise.
    fn pid_in_activity(number: i32) -> Option<i32> {
        let worker = pid_of(&format!("{NAME} worker {number}"))?;
        Spi::run("SELECT pg_stat_clear_snapshot()").unwrap();
        let found = Spi::get_one_with_args::<i64>(
            "SELECT count(*) FROM pg_stat_activity
             WHERE pid = $1 AND backend_type = $2 AND datname = $3
               AND usename = (SELECT rolname FROM pg_roles WHERE oid = 10)",
            &[worker.into(), NAME.into(), DATABASE.into()],
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
        Spi::run(testing::TAKE_TURN).unwrap();
        let before = poll("worker 2", || pid_in_activity(2));
        assert_eq!(Spi::get_one_with_args::<bool>("SELECT pg_terminate_backend($1)", &[before.into()]), Ok(Some(true)));
        poll("worker 2 with another PID", || pid_in_activity(2).filter(|pid| *pid != before));
    }

    /// A defect that step 6 removes: the worker is idle, there is nothing to cancel, and still it ends.
    #[pg_test]
    fn until_step_6_a_cancel_ends_the_worker() {
        Spi::run(testing::TAKE_TURN).unwrap();
        let before = poll("worker 2", || pid_in_activity(2));
        assert_eq!(Spi::get_one_with_args::<bool>("SELECT pg_cancel_backend($1)", &[before.into()]), Ok(Some(true)));
        poll("worker 2 with another PID", || pid_in_activity(2).filter(|pid| *pid != before));
    }
}
