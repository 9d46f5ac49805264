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
             WHERE pid = $1 AND backend_type = $2 AND datname = $3
               AND usename = (SELECT rolname FROM pg_roles WHERE oid = 10)",
            &[worker.into(), NAME.into(), crate::DATABASE.into()],
        );
        (found == Ok(Some(1))).then_some(worker)
    }

    #[pg_test]
    fn a_connected_worker_has_a_row_with_its_database_and_the_bootstrap_superuser() {
        take_turns();
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

    /// What [`every_way_out_of_a_transaction`] runs in a worker: only the last of these rows may stay.
    #[pg_guard]
    #[unsafe(no_mangle)]
    pub extern "C-unwind" fn step3_ways_out(_arg: pg_sys::Datum) {
        use crate::tx;
        use pgrx::bgworkers::{BackgroundWorker, SignalWakeFlags};
        BackgroundWorker::attach_signal_handlers(SignalWakeFlags::SIGTERM);
        BackgroundWorker::connect_worker_to_spi(Some("pgrx_tests"), None);
        let insert = |way: &str| Spi::run_with_args("INSERT INTO ways_out VALUES ($1)", &[way.into()]);
        let _ = tx::run(|| {
            insert("Err")?;
            Err::<(), _>(tx::TxError::new(PgSqlErrorCode::ERRCODE_INTERNAL_ERROR, "our own"))
        });
        let _ = tx::run(|| {
            insert("ERROR")?;
            Ok(Spi::run("SELECT 1 / 0")?)
        });
        let _ = tx::run(|| -> Result<(), tx::TxError> {
            insert("panic")?;
            panic!("on purpose");
        });
        let _ = tx::run(|| {
            insert("deferred constraint")?;
            Ok(Spi::run("INSERT INTO ways_out VALUES ('deferred constraint')")?)
        });
        let _ = tx::run(|| Ok(insert("Ok")?));
    }

    /// Starts that worker. It has no restart time: it runs once.
    #[pg_extern]
    fn launch_ways_out() {
        use pgrx::bgworkers::BackgroundWorkerBuilder;
        BackgroundWorkerBuilder::new("step3 ways out")
            .set_library(NAME)
            .set_function("step3_ways_out")
            .enable_spi_access()
            .load_dynamic()
            .unwrap();
    }

    #[pg_test]
    fn the_server_runs() {}

    #[pg_test(error = "step3_spi_transaction must be loaded by shared_preload_libraries")]
    fn loading_it_later_is_refused() {
        crate::_PG_init();
    }
}

/// Tests that look from outside, as a client does: the worker works in the database `postgres`, and a `#[pg_test]` runs in another.
#[cfg(test)]
mod outside {
    use super::poll;
    use crate::NAME;
    use postgres::{Client, Config, NoTls};

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
            poll("the extension in the database postgres", || {
                work.query_opt("SELECT FROM pg_extension WHERE extname = $1", &[&NAME]).unwrap()
            });
            let workers = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = $1";
            poll("two workers", || (work.query_one(workers, &[&NAME]).unwrap().get::<_, i64>(0) == 2).then_some(()));
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
                (self.number("SELECT count(*) FROM step3.counted WHERE type = 'delta'") == 0).then_some(())
            });
            self.number("SELECT value FROM step3.counted WHERE type = 'total'")
        }

        /// Waits until the workers have been through a number of cycles, whether they found work or not.
        fn cycles(&mut self, count: i64) {
            let sql = "SELECT xact_commit FROM pg_stat_database WHERE datname = 'postgres'";
            let start: i64 = self.tests.query_one(sql, &[]).unwrap().get(0);
            // Each of the two workers commits once in an idle cycle.
            poll("cycles", || {
                (self.tests.query_one(sql, &[]).unwrap().get::<_, i64>(0) >= start + 2 * count).then_some(())
            });
        }
    }

    #[test]
    fn deltas_disappear_into_the_total() {
        let mut server = Server::get();
        server.run("INSERT INTO step3.counted VALUES ('delta', 0)");
        let before = server.total();
        server.run("INSERT INTO step3.counted SELECT 'delta', n FROM generate_series(1, 100) n");
        assert_eq!(server.total(), before + 5050);
    }

    #[test]
    fn a_missing_total_loses_no_delta() {
        let mut server = Server::get();
        server.run("DELETE FROM step3.counted WHERE type = 'total'; INSERT INTO step3.counted VALUES ('delta', 7)");
        assert_eq!(server.total(), 7);
    }

    #[test]
    fn an_error_rolls_back_and_the_worker_goes_on() {
        let mut server = Server::get();
        let pids = "SELECT string_agg(pid::text, ' ' ORDER BY pid) FROM pg_stat_activity WHERE backend_type = $1";
        let before: String = server.work.query_one(pids, &[&NAME]).unwrap().get(0);
        server.run("TRUNCATE step3.counted; INSERT INTO step3.counted VALUES ('total', 2147483647), ('delta', 1), ('delta', 2)");
        // An error rolls back, so the cycles are counted there: each worker must have met the overflow.
        let rollbacks = "SELECT xact_rollback FROM pg_stat_database WHERE datname = 'postgres'";
        let start: i64 = server.tests.query_one(rollbacks, &[]).unwrap().get(0);
        poll("two cycles rolled back", || {
            (server.tests.query_one(rollbacks, &[]).unwrap().get::<_, i64>(0) >= start + 2).then_some(())
        });
        assert_eq!(server.number("SELECT sum(value) FROM step3.counted"), 2147483650);
        server.run("UPDATE step3.counted SET value = 10 WHERE type = 'total'");
        assert_eq!(server.total(), 13);
        let after: String = server.work.query_one(pids, &[&NAME]).unwrap().get(0);
        assert_eq!(before, after, "the same two processes");
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
        server.run("INSERT INTO step3.counted SELECT 'delta', 0 FROM generate_series(1, 10)");
        server.total();
        poll("ten more rows deleted", || (server.number(deleted) >= before + 10).then_some(()));
    }

    #[test]
    fn a_trigger_has_the_rights_of_the_tables_owner_and_leaves_no_setting() {
        let mut server = Server::get();
        server.run(
            "CREATE ROLE mallory;
             CREATE TABLE seen (who text);
             GRANT INSERT ON seen TO mallory;
             GRANT USAGE ON SCHEMA step3 TO mallory;
             ALTER TABLE step3.counted OWNER TO mallory;
             CREATE FUNCTION look() RETURNS trigger LANGUAGE plpgsql
                 AS $$ BEGIN
                     INSERT INTO public.seen VALUES (current_user || ' ' || current_setting('search_path'));
                     PERFORM set_config('search_path', 'public', false);
                     RETURN NULL;
                 END $$;
             CREATE TRIGGER look AFTER DELETE ON step3.counted EXECUTE FUNCTION look();
             INSERT INTO step3.counted VALUES ('delta', 0)",
        );
        server.total();
        // Of three more cycles one of two workers runs at least two.
        for _ in 0..3 {
            server.run("INSERT INTO step3.counted VALUES ('delta', 0)");
            server.total();
        }
        let who: String = server.work.query_one("SELECT string_agg(DISTINCT who, ' ') FROM seen", &[]).unwrap().get(0);
        server.run(
            "DROP TRIGGER look ON step3.counted; DROP FUNCTION look; ALTER TABLE step3.counted OWNER TO CURRENT_USER;
             DROP TABLE seen; REVOKE ALL ON SCHEMA step3 FROM mallory; DROP ROLE mallory",
        );
        assert_eq!(who, "mallory pg_catalog, pg_temp");
    }

    #[test]
    fn a_foreign_key_holds_for_what_the_worker_deletes() {
        let mut server = Server::get();
        server.run(
            "ALTER TABLE step3.counted ADD id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY;
             CREATE TABLE child (id int REFERENCES step3.counted ON DELETE CASCADE);
             WITH delta AS (INSERT INTO step3.counted VALUES ('delta', 0) RETURNING id)
                 INSERT INTO child SELECT id FROM delta",
        );
        server.total();
        let left = server.number("SELECT count(*) FROM child");
        server.run("DROP TABLE child; ALTER TABLE step3.counted DROP id");
        assert_eq!(left, 0);
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
