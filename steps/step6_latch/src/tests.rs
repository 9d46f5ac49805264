//! Tests that run inside a PostgreSQL which has this library preloaded: `cargo pgrx test pg18`. They are about what is new in this step.
//! What only shows from outside (restarts, crashes, standbys, shutdown) is tested by the crate `course`.

use crate::Rest;
use pgrx::prelude::*;
use std::time::{Duration, Instant};

/// What `cargo pgrx test` asks for before it starts its server.
#[cfg(test)]
pub mod pg_test {
    /// Nothing to prepare.
    pub fn setup(_options: Vec<&str>) {}

    /// The settings of the test server.
    pub fn postgresql_conf_options() -> Vec<&'static str> {
        vec![
            "shared_preload_libraries = 'step6_latch'",
            "autovacuum = off",
            "step6.naptime = '100ms'",
            "max_prepared_transactions = 2",
            // A wait for a lock leaves an alarm behind, which sets the latch once more, a second later. Not in these tests.
            "deadlock_timeout = '1h'",
        ]
    }
}

#[pg_schema]
mod tests {
    use super::*;

    #[pg_test]
    fn a_rest_that_has_just_run_out_is_no_nap() {
        let rest = Rest { until: Some(Instant::now()), ..Rest::default() };
        assert_eq!(rest.nap(), Duration::ZERO);
        assert!(rest.is_over());
        let rest = Rest { until: Some(Instant::now() + Duration::from_secs(3600)), ..Rest::default() };
        assert!(rest.nap() > Duration::from_secs(3500));
        assert!(!rest.is_over());
        assert_eq!(Rest::default().nap(), Duration::from_millis(100), "no rest: the naptime of these tests");
    }

    #[pg_test]
    fn the_server_runs() {}
}

/// Tests that look from outside, as a client does: the worker works in the database `postgres`, and a `#[pg_test]` runs in another.
#[cfg(test)]
mod outside {
    use super::*;
    use crate::NAME;
    use testing::{Client, Server, poll};

    fn server() -> Server {
        // Starts the server if no other test has done so.
        pgrx_tests::run_test("the_server_runs", None, crate::pg_test::postgresql_conf_options()).unwrap();
        let mut server = Server::new(pgrx_tests::client().unwrap().0, NAME, 2);
        // What another test has set, also one that failed.
        server.set("step6.naptime", "'100ms'");
        server
    }

    /// Waits until every worker is there and sleeps, so that only a new wake-up can make one look.
    fn asleep(server: &mut Server) {
        let sql = "SELECT count(*) FROM pg_stat_activity
                   WHERE backend_type = $1 AND (state, wait_event_type) IS NOT DISTINCT FROM ('idle', 'Extension')";
        poll("both workers asleep", || {
            (server.tests.query_one(sql, &[&NAME]).unwrap().get::<_, i64>(0) == 2).then_some(())
        });
    }

    /// Keeps all workers in the middle of their cycles while `body` runs.
    fn in_the_middle(server: &mut Server, body: impl FnOnce(&mut Client, i32)) {
        server.run("BEGIN; LOCK TABLE step6.counted");
        let sql = "SELECT pid FROM pg_stat_activity WHERE backend_type = $1 AND application_name LIKE '% worker 1'
                   AND wait_event_type = 'Lock'";
        let pid = poll("a wait for the lock", || server.tests.query_opt(sql, &[&NAME]).unwrap()).get(0);
        body(&mut server.tests, pid);
        server.run("COMMIT");
    }

    #[test]
    fn a_cancel_does_not_end_an_idle_worker() {
        let mut server = server();
        let sql = "SELECT pid FROM pg_stat_activity WHERE backend_type = $1 AND application_name LIKE '% worker 2'";
        let mut pid = || server.tests.query_one(sql, &[&NAME]).unwrap().get::<_, i32>(0);
        let before = pid();
        for _ in 0..10 {
            server.work.execute("SELECT pg_cancel_backend($1)", &[&before]).unwrap();
            std::thread::sleep(Duration::from_millis(20));
        }
        assert_eq!(pid(), before);
    }

    #[test]
    fn a_cancel_ends_the_cycle_and_not_the_worker() {
        let mut server = server();
        in_the_middle(&mut server, |tests, pid| {
            tests.execute("SELECT pg_cancel_backend($1)", &[&pid]).unwrap();
            let sql = "SELECT FROM pg_stat_activity WHERE pid = $1 AND state = 'idle'";
            poll("idle, and the same process", || tests.query_opt(sql, &[&pid]).unwrap());
        });
        server.run("INSERT INTO step6.counted VALUES ('delta', 1)");
        server.total("step6");
    }

    #[test]
    fn it_ends_at_once_in_the_middle_of_a_statement() {
        let mut server = server();
        in_the_middle(&mut server, |tests, pid| {
            let start = Instant::now();
            tests.execute("SELECT pg_terminate_backend($1)", &[&pid]).unwrap();
            let sql = "SELECT FROM pg_stat_activity WHERE pid = $1";
            poll("gone", || tests.query_opt(sql, &[&pid]).unwrap().is_none().then_some(()));
            assert!(start.elapsed() < Duration::from_secs(1), "it took {:?}", start.elapsed());
        });
    }

    #[test]
    fn a_commit_wakes_the_worker() {
        let mut server = server();
        server.set("step6.naptime", "'1h'");
        // Each commit takes 0.1 s: who wakes a worker before it is done wakes it for nothing.
        server.run("SET commit_delay = 100000; SET commit_siblings = 0");
        for statements in [
            "INSERT INTO step6.counted VALUES ('delta', 1)",
            "BEGIN; INSERT INTO step6.counted VALUES ('delta', 1); COMMIT",
            "BEGIN; SAVEPOINT a; INSERT INTO step6.counted VALUES ('delta', 1); RELEASE a; COMMIT",
            "BEGIN; INSERT INTO step6.counted VALUES ('delta', 1); PREPARE TRANSACTION 'a'; COMMIT PREPARED 'a'",
        ] {
            asleep(&mut server);
            // One statement after the other, each a transaction of its own unless it says otherwise.
            for statement in statements.split("; ") {
                server.run(statement);
            }
            let start = Instant::now();
            server.total("step6");
            assert!(start.elapsed() < Duration::from_secs(1), "{statements}: {:?}", start.elapsed());
        }
    }

    #[test]
    fn the_wait_has_a_name() {
        let mut server = server();
        let name = if cfg!(any(feature = "pg15", feature = "pg16")) { "Extension" } else { "Step6Main" };
        let sql = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = $1 AND wait_event = $2";
        poll("two waits", || {
            (server.tests.query_one(sql, &[&NAME, &name]).unwrap().get::<_, i64>(0) == 2).then_some(())
        });
    }
}
