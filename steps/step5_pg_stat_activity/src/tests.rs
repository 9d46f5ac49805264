//! Tests that run inside a PostgreSQL which has this library preloaded: `cargo pgrx test pg18`. They are about what is new in this step.
//! What only shows from outside (restarts, crashes, standbys, shutdown) is tested by the crate `course`.

use pgrx::prelude::*;

/// What `cargo pgrx test` asks for before it starts its server.
#[cfg(test)]
pub mod pg_test {
    /// Nothing to prepare.
    pub fn setup(_options: Vec<&str>) {}

    /// The settings of the test server.
    pub fn postgresql_conf_options() -> Vec<&'static str> {
        vec!["shared_preload_libraries = 'step5_pg_stat_activity'", "autovacuum = off", "step5.naptime = '100ms'"]
    }
}

#[pg_schema]
mod tests {
    use super::*;

    #[pg_test]
    fn the_server_runs() {}
}

/// Tests that look from outside, as a client does: the worker works in the database `postgres`, and a `#[pg_test]` runs in another.
#[cfg(test)]
mod outside {
    use crate::NAME;
    use std::time::SystemTime;
    use testing::{Server, poll};

    fn server() -> Server {
        // Starts the server if no other test has done so.
        pgrx_tests::run_test("the_server_runs", None, crate::pg_test::postgresql_conf_options()).unwrap();
        Server::new(pgrx_tests::client().unwrap().0, NAME, 2)
    }

    /// State, statement, application name, `query_start` and `xact_start` of worker 1.
    fn activity(server: &mut Server) -> (String, String, String, Option<SystemTime>, Option<SystemTime>) {
        let row = server
            .tests
            .query_one(
                "SELECT state, query, application_name, query_start, xact_start FROM pg_stat_activity
                 WHERE backend_type = $1 AND application_name LIKE '% worker 1'",
                &[&NAME],
            )
            .unwrap();
        (row.get(0), row.get(1), row.get(2), row.get(3), row.get(4))
    }

    #[test]
    fn a_cycle_can_be_watched() {
        let mut server = server();
        server.cycles(1);
        let (_, query, name, before, _) = activity(&mut server);
        assert_eq!(name, format!("{NAME} worker 1"));
        assert_eq!(query, "SELECT FROM step5.counted WHERE type = 'delta' LIMIT 1");

        // A lock in the way keeps the worker in the middle of its cycle.
        server.run("BEGIN; LOCK TABLE step5.counted");
        let during = poll("active", || Some(activity(&mut server)).filter(|(state, ..)| state == "active"));
        assert_eq!(during.1, "SELECT FROM step5.counted WHERE type = 'delta' LIMIT 1");
        assert!(during.3 > before, "query_start moves");
        assert!(during.4.is_some(), "a transaction is open");

        server.run("COMMIT");
        let after = poll("idle", || Some(activity(&mut server)).filter(|(state, ..)| state == "idle"));
        assert!(after.4.is_none(), "no transaction is open");
    }

    #[test]
    fn the_process_title_tells_what_it_does() {
        let mut server = server();
        let pid: i32 = server
            .work
            .query_one("SELECT min(pid) FROM pg_stat_activity WHERE backend_type = $1", &[&NAME])
            .unwrap()
            .get(0);
        let title = || std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap();
        poll("idle in the title", || title().trim_end_matches('\0').ends_with(" idle").then_some(()));
        server.run("BEGIN; LOCK TABLE step5.counted");
        poll("counting in the title", || title().contains(" counting").then_some(()));
        server.run("COMMIT");
    }
}
