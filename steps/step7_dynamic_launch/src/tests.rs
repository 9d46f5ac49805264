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

// The role that the workers of the test server work as, and all that it needs.
extension_sql!(
    r#"
DO $$ BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'counter') THEN CREATE ROLE counter LOGIN; END IF;
END $$;
GRANT USAGE ON SCHEMA step7 TO counter;
GRANT SELECT, INSERT, UPDATE, DELETE ON step7.counted TO counter;
"#,
    name = "counter",
    requires = ["counted"]
);

#[pg_schema]
mod tests {
    use super::*;
    use crate::launch::{READY, Report, wait_until_ready};
    use crate::{NAME, Rest};
    use pgrx::bgworkers::BackgroundWorkerStatus;
    use std::cell::Cell;

    /// The PID of the postmaster's child process that shows this name in the process table.
    fn pid_of(worker: &str) -> Option<i32> {
        // SAFETY: PostmasterPid is set before this process was forked and never changes.
        let postmaster = unsafe { pg_sys::PostmasterPid };
        let children = std::fs::read_to_string(format!("/proc/{postmaster}/task/{postmaster}/children")).unwrap();
        children
            .split_whitespace()
            .find(|pid| {
                std::fs::read_to_string(format!("/proc/{pid}/cmdline"))
                    .is_ok_and(|title| title.starts_with(&format!("postgres: {worker} ")))
            })
            .map(|pid| pid.parse().unwrap())
    }

    fn signal(pid: i32, signal: &str) {
        assert!(std::process::Command::new("kill").args([signal, &pid.to_string()]).status().unwrap().success());
    }

    /// Tests take turns: each must be the only reason for what it sees.
    fn take_turns() {
        Spi::run("SELECT pg_advisory_xact_lock(1)").unwrap();
    }

    #[pg_test]
    fn the_worker_is_a_child_of_the_postmaster() {
        take_turns();
        poll("worker 1 in the process table", || pid_of(&format!("{NAME} worker 1")));
    }

    /// The PID that `pg_stat_activity` has for this worker. The view is frozen within a transaction unless told otherwise.
    fn pid_in_activity(number: i32) -> Option<i32> {
        let worker = pid_of(&format!("{NAME} worker {number}"))?;
        Spi::run("SELECT pg_stat_clear_snapshot()").unwrap();
        let found = Spi::get_one_with_args::<i64>(
            "SELECT count(*) FROM pg_stat_activity
             WHERE pid = $1 AND backend_type = $2 AND datname = 'postgres' AND usename = 'counter'",
            &[worker.into(), NAME.into()],
        );
        (found == Ok(Some(1))).then_some(worker)
    }

    #[pg_test]
    fn as_many_workers_as_set_with_their_database_and_role() {
        take_turns();
        for number in 1..=3 {
            poll("the worker in pg_stat_activity", || pid_in_activity(number));
        }
        let rows = Spi::get_one_with_args::<i64>(
            "SELECT count(*) FROM pg_stat_activity WHERE backend_type = $1",
            &[NAME.into()],
        );
        assert_eq!(rows, Ok(Some(3)));
    }

    #[pg_test]
    fn pg_terminate_backend_brings_another_one() {
        take_turns();
        let before = poll("worker 2", || pid_in_activity(2));
        assert_eq!(Spi::get_one_with_args::<bool>("SELECT pg_terminate_backend($1)", &[before.into()]), Ok(Some(true)));
        poll("worker 2 with another PID", || pid_in_activity(2).filter(|pid| *pid != before));
    }

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
    fn a_cancel_does_not_end_an_idle_worker() {
        take_turns();
        let before = poll("worker 2", || pid_in_activity(2));
        for _ in 0..10 {
            assert_eq!(
                Spi::get_one_with_args::<bool>("SELECT pg_cancel_backend($1)", &[before.into()]),
                Ok(Some(true))
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        assert_eq!(pid_in_activity(2), Some(before));
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

    /// What [`every_way_out_of_a_transaction`] runs in a worker: only the last of these rows may stay.
    #[pg_guard]
    #[unsafe(no_mangle)]
    pub extern "C-unwind" fn step3_ways_out(_arg: pg_sys::Datum) {
        use crate::tx;
        use pgrx::bgworkers::{BackgroundWorker, SignalWakeFlags};
        BackgroundWorker::attach_signal_handlers(SignalWakeFlags::SIGTERM);
        BackgroundWorker::connect_worker_to_spi(Some("pgrx_tests"), None);
        let insert = |way: &str| Spi::run_with_args("INSERT INTO ways_out VALUES ($1)", &[way.into()]);
        let _ = tx::run(c"INSERT INTO ways_out", |_| {
            insert("Err")?;
            Err::<(), _>(tx::TxError::new(PgSqlErrorCode::ERRCODE_INTERNAL_ERROR, "our own"))
        });
        let _ = tx::run(c"INSERT INTO ways_out", |_| {
            insert("ERROR")?;
            Ok(Spi::run("SELECT 1 / 0")?)
        });
        let _ = tx::run(c"INSERT INTO ways_out", |_| -> Result<(), tx::TxError> {
            insert("panic")?;
            panic!("on purpose");
        });
        let _ = tx::run(c"INSERT INTO ways_out", |_| {
            insert("deferred constraint")?;
            Ok(Spi::run("INSERT INTO ways_out VALUES ('deferred constraint')")?)
        });
        let _ = tx::run(c"INSERT INTO ways_out", |_| Ok(insert("Ok")?));
    }

    /// Starts that worker. It has no restart time: it runs once.
    #[pg_extern]
    fn launch_ways_out() {
        use pgrx::bgworkers::BackgroundWorkerBuilder;
        BackgroundWorkerBuilder::new("step7 ways out")
            .set_library(NAME)
            .set_function("step3_ways_out")
            .enable_spi_access()
            .load_dynamic()
            .unwrap();
    }

    #[pg_test]
    fn the_server_runs() {}
}

/// Tests that look from outside, as a client does: the worker works in the database `postgres`, and a `#[pg_test]` runs in another.
#[cfg(test)]
mod outside {
    use super::poll;
    use crate::NAME;
    use postgres::{Client, Config, NoTls};
    use std::time::{Duration, Instant, SystemTime};

    /// Two connections: one to the database of the tests, which holds the turn, and one to the database of the workers.
    struct Server {
        tests: Client,
        work: Client,
    }

    impl Server {
        fn get() -> Self {
            // Starts the server if no other test has done so.
            pgrx_tests::run_test("the_server_runs", None, crate::pg_test::postgresql_conf_options()).unwrap();
            let (mut tests, _) = pgrx_tests::client().unwrap();
            tests.execute("SELECT pg_advisory_lock(1)", &[]).unwrap();
            let port: String = tests.query_one("SHOW port", &[]).unwrap().get(0);
            let mut work = Config::new()
                .host("localhost")
                .port(port.parse().unwrap())
                .user(&pgrx_tests::get_pg_user())
                .dbname("postgres")
                .connect(NoTls)
                .unwrap();
            // The role of the workers may not do this.
            work.batch_execute(&format!("CREATE EXTENSION IF NOT EXISTS {NAME}")).unwrap();
            // What another test has set, also one that failed.
            work.batch_execute("ALTER SYSTEM SET step7.naptime = '100ms'").unwrap();
            work.batch_execute("SELECT pg_reload_conf()").unwrap();
            let workers = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = $1";
            poll("three workers", || (work.query_one(workers, &[&NAME]).unwrap().get::<_, i64>(0) == 3).then_some(()));
            Self { tests, work }
        }

        fn run(&mut self, sql: &str) {
            self.work.batch_execute(sql).unwrap();
        }

        fn number(&mut self, sql: &str) -> i64 {
            self.work.query_one(&format!("SELECT ({sql})::int8"), &[]).unwrap().get(0)
        }

        /// Waits until no delta is left and gives the total.
        fn total(&mut self) -> i64 {
            poll("no delta left", || {
                (self.number("SELECT count(*) FROM step7.counted WHERE type = 'delta'") == 0).then_some(())
            });
            self.number("SELECT value FROM step7.counted WHERE type = 'total'")
        }

        /// Sets it for the whole server and reloads.
        fn set(&mut self, setting: &str, value: &str) {
            self.run(&format!("ALTER SYSTEM SET {setting} = {value}"));
            self.run("SELECT pg_reload_conf()");
        }

        /// Waits until so many more transactions of the workers have been rolled back.
        fn rollbacks(&mut self, count: i64) {
            let sql = "SELECT xact_rollback FROM pg_stat_database WHERE datname = 'postgres'";
            let start: i64 = self.tests.query_one(sql, &[]).unwrap().get(0);
            poll("cycles rolled back", || {
                (self.tests.query_one(sql, &[]).unwrap().get::<_, i64>(0) >= start + count).then_some(())
            });
        }

        /// Waits until each worker has been through a cycle that began after now, whatever came of it.
        fn all_have_looked(&mut self) {
            let sql =
                "SELECT count(*) FROM pg_stat_activity WHERE backend_type = $1 AND state = 'idle' AND query_start > $2";
            let now: SystemTime = self.tests.query_one("SELECT clock_timestamp()", &[]).unwrap().get(0);
            poll("a cycle of each worker", || {
                (self.tests.query_one(sql, &[&NAME, &now]).unwrap().get::<_, i64>(0) == 3).then_some(())
            });
        }

        /// Waits until every worker is there and sleeps, so that only a new wake-up can make one look.
        fn asleep(&mut self) {
            let sql = "SELECT count(*) FILTER (WHERE asleep AND backend_type = $1) = 3 AND bool_and(asleep)
                       FROM (SELECT backend_type, (state, wait_event_type) IS NOT DISTINCT FROM ('idle', 'Extension') AS asleep
                             FROM pg_stat_activity WHERE starts_with(backend_type, $1)) AS workers";
            poll("all workers asleep", || {
                self.tests.query_one(sql, &[&NAME]).unwrap().get::<_, Option<bool>>(0).filter(|asleep| *asleep)
            });
        }

        /// Waits until the workers have been through a number of cycles, whether they found work or not.
        fn cycles(&mut self, count: i64) {
            let sql = "SELECT xact_commit FROM pg_stat_database WHERE datname = 'postgres'";
            let start: i64 = self.tests.query_one(sql, &[]).unwrap().get(0);
            // Each of the three workers commits once in an idle cycle.
            poll("cycles", || {
                (self.tests.query_one(sql, &[]).unwrap().get::<_, i64>(0) >= start + 3 * count).then_some(())
            });
        }
    }

    #[test]
    fn deltas_disappear_into_the_total() {
        let mut server = Server::get();
        server.run("INSERT INTO step7.counted VALUES ('delta', 0)");
        let before = server.total();
        server.run("INSERT INTO step7.counted SELECT 'delta', n FROM generate_series(1, 100) n");
        assert_eq!(server.total(), before + 5050);
    }

    #[test]
    fn a_missing_total_loses_no_delta() {
        let mut server = Server::get();
        server.run("DELETE FROM step7.counted WHERE type = 'total'; INSERT INTO step7.counted VALUES ('delta', 7)");
        assert_eq!(server.total(), 7);
    }

    #[test]
    fn an_error_rolls_back_and_the_worker_goes_on() {
        let mut server = Server::get();
        let pids = "SELECT string_agg(pid::text, ' ' ORDER BY pid) FROM pg_stat_activity WHERE backend_type = $1";
        let before: String = server.work.query_one(pids, &[&NAME]).unwrap().get(0);
        server.run("TRUNCATE step7.counted; INSERT INTO step7.counted VALUES ('total', 2147483647), ('delta', 1), ('delta', 2)");
        // Each worker must have met the overflow.
        server.rollbacks(3);
        assert_eq!(server.number("SELECT sum(value) FROM step7.counted"), 2147483650);
        server.run("UPDATE step7.counted SET value = 10 WHERE type = 'total'");
        assert_eq!(server.total(), 13);
        let after: String = server.work.query_one(pids, &[&NAME]).unwrap().get(0);
        assert_eq!(before, after, "the same three processes");
    }

    #[test]
    fn idle_cycles_use_up_no_transaction_id() {
        let mut server = Server::get();
        server.cycles(1);
        let next = "SELECT pg_snapshot_xmax(pg_current_snapshot())::text";
        let before = server.number(next);
        server.cycles(3);
        assert_eq!(server.number(next), before);
    }

    #[test]
    fn statistics_arrive_while_the_worker_runs() {
        let mut server = Server::get();
        let deleted = "SELECT n_tup_del FROM pg_stat_user_tables WHERE relname = 'counted'";
        let before = server.number(deleted);
        server.run("INSERT INTO step7.counted SELECT 'delta', 0 FROM generate_series(1, 10)");
        server.total();
        poll("ten more rows deleted", || (server.number(deleted) >= before + 10).then_some(()));
    }

    /// The role of the workers does not work for just any owner: that owner's trigger would have its rights.
    #[test]
    fn a_trigger_has_the_rights_of_the_tables_owner_and_leaves_no_setting() {
        let mut server = Server::get();
        server.run(
            "CREATE ROLE mallory;
             CREATE TABLE seen (who text);
             GRANT INSERT ON seen TO PUBLIC;
             GRANT USAGE ON SCHEMA step7 TO mallory;
             ALTER TABLE step7.counted OWNER TO mallory;
             CREATE FUNCTION look() RETURNS trigger LANGUAGE plpgsql
                 AS $$ BEGIN
                     INSERT INTO public.seen VALUES (current_user || ' ' || current_setting('search_path'));
                     PERFORM set_config('search_path', 'public', false);
                     RETURN NULL;
                 END $$;
             CREATE TRIGGER look AFTER DELETE ON step7.counted EXECUTE FUNCTION look();
             INSERT INTO step7.counted VALUES ('delta', 0)",
        );
        server.all_have_looked();
        let left = server.number("SELECT count(*) FROM step7.counted WHERE type = 'delta'");
        server.run("GRANT mallory TO counter");
        server.total();
        // Of four more cycles one of three workers runs at least two.
        for _ in 0..4 {
            server.run("INSERT INTO step7.counted VALUES ('delta', 0)");
            server.total();
        }
        let who: String = server.work.query_one("SELECT string_agg(DISTINCT who, ' ') FROM seen", &[]).unwrap().get(0);
        server.run(
            "DROP TRIGGER look ON step7.counted; DROP FUNCTION look; ALTER TABLE step7.counted OWNER TO CURRENT_USER;
             DROP TABLE seen; REVOKE ALL ON SCHEMA step7 FROM mallory; DROP ROLE mallory",
        );
        assert_eq!((left, who.as_str()), (1, "mallory pg_catalog, pg_temp"));
    }

    #[test]
    fn a_foreign_key_holds_for_what_the_worker_deletes() {
        let mut server = Server::get();
        server.run(
            "ALTER TABLE step7.counted ADD id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY;
             CREATE TABLE child (id int REFERENCES step7.counted ON DELETE CASCADE);
             WITH delta AS (INSERT INTO step7.counted VALUES ('delta', 0) RETURNING id)
                 INSERT INTO child SELECT id FROM delta",
        );
        server.total();
        let left = server.number("SELECT count(*) FROM child");
        server.run("DROP TABLE child; ALTER TABLE step7.counted DROP id");
        assert_eq!(left, 0);
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
        let mut server = Server::get();
        server.cycles(1);
        let (_, query, name, before, _) = activity(&mut server);
        assert_eq!(name, format!("{NAME} worker 1"));
        assert_eq!(query, "SELECT FROM step7.counted WHERE type = 'delta' LIMIT 1");

        // A lock in the way keeps the worker in the middle of its cycle.
        server.run("BEGIN; LOCK TABLE step7.counted");
        let during = poll("active", || Some(activity(&mut server)).filter(|(state, ..)| state == "active"));
        assert_eq!(during.1, "SELECT FROM step7.counted WHERE type = 'delta' LIMIT 1");
        assert!(during.3 > before, "query_start moves");
        assert!(during.4.is_some(), "a transaction is open");

        server.run("COMMIT");
        let after = poll("idle", || Some(activity(&mut server)).filter(|(state, ..)| state == "idle"));
        assert!(after.4.is_none(), "no transaction is open");
    }

    /// Keeps all workers in the middle of their cycles while `body` runs.
    fn in_the_middle(server: &mut Server, body: impl FnOnce(&mut Client, i32)) {
        server.run("BEGIN; LOCK TABLE step7.counted");
        let sql = "SELECT pid FROM pg_stat_activity WHERE backend_type = $1 AND application_name LIKE '% worker 1'
                   AND wait_event_type = 'Lock'";
        let pid = poll("a wait for the lock", || server.tests.query_opt(sql, &[&NAME]).unwrap()).get(0);
        body(&mut server.tests, pid);
        server.run("COMMIT");
    }

    #[test]
    fn a_cancel_ends_the_cycle_and_not_the_worker() {
        let mut server = Server::get();
        in_the_middle(&mut server, |tests, pid| {
            tests.execute("SELECT pg_cancel_backend($1)", &[&pid]).unwrap();
            let sql = "SELECT FROM pg_stat_activity WHERE pid = $1 AND state = 'idle'";
            poll("idle, and the same process", || tests.query_opt(sql, &[&pid]).unwrap());
        });
        server.run("INSERT INTO step7.counted VALUES ('delta', 1)");
        server.total();
    }

    #[test]
    fn it_ends_at_once_in_the_middle_of_a_statement() {
        let mut server = Server::get();
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
        let mut server = Server::get();
        server.set("step7.naptime", "'1h'");
        // Each commit takes 0.1 s: who wakes a worker before it is done wakes it for nothing.
        server.run("SET commit_delay = 100000; SET commit_siblings = 0");
        for statements in [
            "INSERT INTO step7.counted VALUES ('delta', 1)",
            "BEGIN; INSERT INTO step7.counted VALUES ('delta', 1); COMMIT",
            "BEGIN; SAVEPOINT a; INSERT INTO step7.counted VALUES ('delta', 1); RELEASE a; COMMIT",
            "BEGIN; INSERT INTO step7.counted VALUES ('delta', 1); PREPARE TRANSACTION 'a'; COMMIT PREPARED 'a'",
        ] {
            server.asleep();
            // One statement after the other, each a transaction of its own unless it says otherwise.
            for statement in statements.split("; ") {
                server.run(statement);
            }
            let start = Instant::now();
            server.total();
            assert!(start.elapsed() < Duration::from_secs(1), "{statements}: {:?}", start.elapsed());
        }
    }

    #[test]
    fn the_wait_has_a_name() {
        let mut server = Server::get();
        let name = if cfg!(any(feature = "pg15", feature = "pg16")) { "Extension" } else { "Step7Main" };
        let sql = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = $1 AND wait_event = $2";
        poll("three waits", || {
            (server.tests.query_one(sql, &[&NAME, &name]).unwrap().get::<_, i64>(0) == 3).then_some(())
        });
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
        let mut server = Server::get();
        // Rolled back, and the session ends: neither matters to the worker.
        server.run("BEGIN");
        let worker = pid(&mut server.work, "SELECT step7.launch(7, 'pgrx_tests')");
        server.run("ROLLBACK");
        drop(server);

        let mut server = Server::get();
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
        let mut server = Server::get();
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
        let mut server = Server::get();
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
        let mut server = Server::get();
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
        let mut server = Server::get();
        // The worker waits for the lock on its way to being ready: it wants to see whether the extension is there.
        server.run("BEGIN; LOCK TABLE pg_extension");
        let cancelled = error(&mut server.tests, "SET statement_timeout = '300ms'; SELECT step7.launch(1, 'postgres')");
        server.run("COMMIT");
        server.tests.batch_execute("RESET statement_timeout").unwrap();
        assert_eq!(cancelled, "canceling statement due to statement timeout");
        poll("no worker left", || {
            server
                .tests
                .query_opt("SELECT FROM step7.workers() WHERE kind = 'dynamic'", &[])
                .unwrap()
                .is_none()
                .then_some(())
        });
    }

    #[test]
    fn the_launcher_follows_the_databases() {
        let mut server = Server::get();
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

    #[test]
    fn the_process_title_tells_what_it_does() {
        let mut server = Server::get();
        let pid: i32 = server
            .work
            .query_one("SELECT min(pid) FROM pg_stat_activity WHERE backend_type = $1", &[&NAME])
            .unwrap()
            .get(0);
        let title = || std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap();
        poll("idle in the title", || title().trim_end_matches('\0').ends_with(" idle").then_some(()));
        server.run("BEGIN; LOCK TABLE step7.counted");
        poll("counting in the title", || title().contains(" counting").then_some(()));
        server.run("COMMIT");
    }

    #[test]
    fn a_reload_takes_effect_while_the_worker_sleeps() {
        let mut server = Server::get();
        server.set("step7.naptime", "'1h'");
        server.set("step7.naptime", "'5ms'");
        // With naps of 100 ms, the value before, this would take half a minute.
        server.cycles(300);
    }

    #[test]
    fn a_bad_value_is_refused_and_the_old_one_stays() {
        let mut server = Server::get();
        let long = "x".repeat(64);
        // Before 17 the limits were said without their unit, and an unknown name below a reserved prefix was just unknown.
        let (range, unknown) = if cfg!(any(feature = "pg15", feature = "pg16")) {
            ("(1 .. 2147483647)", "unrecognized configuration parameter")
        } else {
            ("(1 ms .. 2147483647 ms)", "invalid configuration parameter name")
        };
        let out_of_range = format!("0 ms is outside the valid range for parameter \"step7.naptime\" {range}");
        for (setting, value, error) in [
            ("naptime", "0", out_of_range.as_str()),
            ("naptime", "'1 parsec'", "invalid value for parameter \"step7.naptime\": \"1 parsec\""),
            ("total_workers", "65", "65 is outside the valid range for parameter \"step7.total_workers\" (1 .. 64)"),
            ("database", &format!("'{long}'"), &format!("invalid value for parameter \"step7.database\": \"{long}\"")),
            ("naptimes", "1", &format!("{unknown} \"step7.naptimes\"")),
        ] {
            let sql = format!("ALTER SYSTEM SET step7.{setting} = {value}");
            let refused = server.work.batch_execute(&sql).expect_err(&sql);
            assert_eq!(refused.as_db_error().unwrap().message(), error);
        }
        let naptime: String = server.work.query_one("SHOW step7.naptime", &[]).unwrap().get(0);
        assert_eq!(naptime, "100ms");
    }

    #[test]
    fn every_way_out_of_a_transaction() {
        let mut server = Server::get();
        server.tests.batch_execute("CREATE TABLE ways_out (way text UNIQUE DEFERRABLE INITIALLY DEFERRED)").unwrap();
        server.tests.execute("SELECT tests.launch_ways_out()", &[]).unwrap();
        poll("the row that stays", || server.tests.query_opt("SELECT FROM ways_out WHERE way = 'Ok'", &[]).unwrap());
        let left: String = server.tests.query_one("SELECT string_agg(way, ', ') FROM ways_out", &[]).unwrap().get(0);
        server.tests.batch_execute("DROP TABLE ways_out").unwrap();
        assert_eq!(left, "Ok");
    }
}
