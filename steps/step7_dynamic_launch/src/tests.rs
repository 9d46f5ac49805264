//! Tests that run inside a PostgreSQL which has this library preloaded: `cargo pgrx test pg18`. They are about what is new in this step.
//! What only shows from outside (restarts, crashes, standbys, shutdown) is tested by the crate `course`.

use crate::launch::{READY, Report, wait_until_ready};
use pgrx::bgworkers::BackgroundWorkerStatus;
use pgrx::prelude::*;
use std::cell::Cell;

/// What `cargo pgrx test` asks for before it starts its server.
#[cfg(test)]
pub mod pg_test {
    /// Nothing to prepare.
    pub fn setup(_options: Vec<&str>) {}

    /// The settings of the test server.
    pub fn postgresql_conf_options() -> Vec<&'static str> {
        vec![
            "shared_preload_libraries = 'step7_dynamic_launch'",
            "autovacuum = off",
            "step7.naptime = '100ms'",
            "step7.launcher = on",
            "max_worker_processes = 16",
        ]
    }
}

#[pg_schema]
mod tests {
    use super::*;

    #[pg_test]
    fn ready_counts_once_the_postmaster_has_noted_the_pid() {
        // SAFETY: this backend's own latch.
        let latch = unsafe { pg_sys::MyLatch };
        let report = Report::new(latch);
        report.finish(READY);
        let asked = Cell::new(0);
        // Not noted for the first two times. The postmaster signals when it is, and the signal sets the latch.
        let pid = || {
            // SAFETY: as above.
            unsafe { pg_sys::SetLatch(latch) };
            asked.set(asked.get() + 1);
            if asked.get() < 3 { Err(BackgroundWorkerStatus::NotYetStarted) } else { Ok(4711) }
        };
        assert!(wait_until_ready(pid, &report).is_ok());
        assert_eq!(asked.get(), 3);
    }

    #[pg_test]
    fn the_server_runs() {}
}

/// Tests that look from outside, as a client does: the static workers work in the database `postgres`, and a `#[pg_test]` runs in another.
#[cfg(test)]
mod outside {
    use crate::NAME;
    use testing::{Client, Server, poll};

    fn server() -> Server {
        // Starts the server if no other test has done so.
        pgrx_tests::run_test("the_server_runs", None, crate::pg_test::postgresql_conf_options()).unwrap();
        Server::new(pgrx_tests::client().unwrap().0, NAME, 2)
    }

    /// The error message of a statement that must fail.
    fn error(client: &mut Client, sql: &str) -> String {
        client.batch_execute(sql).expect_err(sql).as_db_error().unwrap().message().to_owned()
    }

    fn pid(client: &mut Client, sql: &str) -> i32 {
        client.query_one(sql, &[]).unwrap().get(0)
    }

    #[test]
    fn a_launched_worker_works_in_its_database_until_it_is_stopped() {
        let mut server = server();
        // Rolled back, and the session ends: neither matters to the worker.
        server.run("BEGIN");
        let worker = pid(&mut server.work, "SELECT step7.launch(7, 'pgrx_tests')");
        server.run("ROLLBACK");
        server.reconnect();

        let row = server
            .tests
            .query_one("SELECT worker, kind, database::text FROM step7.workers() WHERE pid = $1", &[&worker])
            .unwrap();
        let row: (String, String, String) = (row.get(0), row.get(1), row.get(2));
        assert_eq!(row, ("step7_dynamic_launch dynamic worker 7".into(), "dynamic".into(), "pgrx_tests".into()));
        assert_eq!(
            server.tests.query_one("SELECT step7.status($1)", &[&worker]).unwrap().get::<_, String>(0),
            "running"
        );
        server.tests.batch_execute("INSERT INTO step7.counted VALUES ('delta', 1)").unwrap();
        poll("no delta left", || {
            server
                .tests
                .query_opt("SELECT FROM step7.counted WHERE type = 'delta'", &[])
                .unwrap()
                .is_none()
                .then_some(())
        });
        assert!(server.tests.query_one("SELECT step7.stop($1)", &[&worker]).unwrap().get::<_, bool>(0));
        assert_eq!(
            server.tests.query_one("SELECT step7.status($1)", &[&worker]).unwrap().get::<_, String>(0),
            "stopped"
        );
        let again = error(&mut server.tests, &format!("SELECT step7.stop({worker})"));
        assert_eq!(again, format!("process {worker} is not a worker that step7.launch has started"));
    }

    #[test]
    fn launch_says_why_a_worker_cannot_run() {
        let mut server = server();
        server.run("DROP DATABASE IF EXISTS closed");
        server.run("CREATE DATABASE closed ALLOW_CONNECTIONS false");
        server.run("DROP ROLE IF EXISTS nologin; CREATE ROLE nologin");
        for (arguments, reason) in [
            ("1, 'missing'", "database \"missing\" does not exist"),
            ("1, NULL, 'missing'", "role \"missing\" does not exist"),
            ("1, 'closed'", "database \"closed\" is not currently accepting connections"),
            ("1, NULL, 'nologin'", "role \"nologin\" is not permitted to log in"),
            ("1, NULL, NULL, '{SOMETHING}'", "unknown flag \"SOMETHING\""),
        ] {
            assert_eq!(error(&mut server.work, &format!("SELECT step7.launch({arguments})")), reason);
        }
        let worker = pid(&mut server.work, "SELECT step7.launch(1, 'closed', NULL, '{ALLOWCONN}')");
        server.run(&format!("SELECT step7.stop({worker})"));
        server.run("DROP DATABASE closed");
        server.run("DROP ROLE nologin");
    }

    #[test]
    fn nobody_gets_a_role_that_is_not_theirs() {
        let mut server = server();
        server.run("DROP ROLE IF EXISTS caller, friend; CREATE ROLE caller; CREATE ROLE friend LOGIN");
        server.run("GRANT USAGE ON SCHEMA step7 TO caller; SET ROLE caller");
        assert_eq!(error(&mut server.work, "SELECT step7.launch(1)"), "permission denied for function launch");
        server.run("RESET ROLE; GRANT EXECUTE ON FUNCTION step7.launch TO caller; SET ROLE caller");
        let denied = "permission denied to start a worker as another role";
        let superuser = pgrx_tests::get_pg_user();
        assert_eq!(error(&mut server.work, &format!("SELECT step7.launch(1, NULL, '{superuser}')")), denied);
        assert_eq!(error(&mut server.work, "SELECT step7.launch(1, NULL, 'friend')"), denied);
        let flags = "SELECT step7.launch(1, NULL, NULL, '{ALLOWCONN}')";
        assert_eq!(error(&mut server.work, flags), "permission denied to use flags");
        server.run("RESET ROLE; GRANT friend TO caller; SET ROLE caller");
        let worker = pid(&mut server.work, "SELECT step7.launch(1, NULL, 'friend')");
        server.run("RESET ROLE");
        let role =
            server.number(&format!("SELECT count(*) FROM step7.workers() WHERE pid = {worker} AND role = 'friend'"));
        server.run(&format!("SELECT step7.stop({worker})"));
        server.run("DROP OWNED BY caller, friend; DROP ROLE caller, friend");
        assert_eq!(role, 1);
    }

    #[test]
    fn when_no_slot_is_left_launch_says_so() {
        let mut server = server();
        let mut workers = vec![];
        let refused = loop {
            match server.work.query_one("SELECT step7.launch(1)", &[]) {
                Ok(row) => workers.push(row.get::<_, i32>(0)),
                Err(error) => break error.as_db_error().unwrap().clone(),
            }
            assert!(workers.len() <= 16);
        };
        for worker in &workers {
            server.run(&format!("SELECT step7.stop({worker})"));
        }
        assert!(!workers.is_empty());
        assert_eq!(refused.message(), "no slot is left for another background worker");
        assert!(refused.hint().unwrap().contains("max_worker_processes"));
    }

    #[test]
    fn a_cancelled_launch_leaves_no_worker() {
        let mut server = server();
        // The worker waits for the lock on its way to being ready: it wants to see whether the extension is there.
        server.run("BEGIN; LOCK TABLE pg_extension");
        let cancelled = error(&mut server.tests, "SET statement_timeout = '300ms'; SELECT step7.launch(1, 'postgres')");
        server.run("COMMIT");
        server.tests.batch_execute("RESET statement_timeout").unwrap();
        assert_eq!(cancelled, "canceling statement due to statement timeout");
        poll("no worker left", || {
            let sql = "SELECT FROM step7.workers() WHERE kind = 'dynamic'";
            server.tests.query(sql, &[]).unwrap().is_empty().then_some(())
        });
    }

    #[test]
    fn the_launcher_follows_the_databases() {
        let mut server = server();
        let databases = |server: &mut Server| -> String {
            let sql = "SELECT string_agg(database, ' ' ORDER BY database) FROM step7.workers() WHERE kind = 'database'";
            server.tests.query_one(sql, &[]).unwrap().get::<_, Option<String>>(0).unwrap_or_default()
        };
        poll("a worker in each database", || (databases(&mut server) == "pgrx_tests postgres").then_some(()));
        server.run("CREATE DATABASE another");
        poll("a worker in the new one", || (databases(&mut server) == "another pgrx_tests postgres").then_some(()));
        server.run("DROP DATABASE another WITH (FORCE)");
        poll("none in the old one", || (databases(&mut server) == "pgrx_tests postgres").then_some(()));
    }
}
