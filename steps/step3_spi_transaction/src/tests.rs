//! Tests that run inside a PostgreSQL which has this library preloaded: `cargo pgrx test pg18`. They are about what is new in this step.
//! What only shows from outside (restarts, crashes, standbys, shutdown) is tested by the crate `course`.

use crate::{NAME, tx};
use pgrx::bgworkers::{BackgroundWorker, BackgroundWorkerBuilder, SignalWakeFlags};
use pgrx::prelude::*;

/// What `cargo pgrx test` asks for before it starts its server.
#[cfg(test)]
pub mod pg_test {
    /// Nothing to prepare.
    pub fn setup(_options: Vec<&str>) {}

    /// The settings of the test server.
    pub fn postgresql_conf_options() -> Vec<&'static str> {
        vec!["shared_preload_libraries = 'step3_spi_transaction'", "autovacuum = off"]
    }
}

#[pg_schema]
mod tests {
    use super::*;

    /// What [`every_way_out_of_a_transaction`] runs in a worker: only the last of these rows may stay.
    #[pg_guard]
    #[unsafe(no_mangle)]
    pub extern "C-unwind" fn step3_ways_out(_arg: pg_sys::Datum) {
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
        BackgroundWorkerBuilder::new("step3 ways out")
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
    use super::*;
    use testing::{Server, poll};

    fn server() -> Server {
        // Starts the server if no other test has done so.
        pgrx_tests::run_test("the_server_runs", None, crate::pg_test::postgresql_conf_options()).unwrap();
        Server::new(pgrx_tests::client().unwrap().0, NAME, 2)
    }

    #[test]
    fn deltas_disappear_into_the_total() {
        let mut server = server();
        server.run("INSERT INTO step3.counted VALUES ('delta', 0)");
        let before = server.total("step3");
        server.run("INSERT INTO step3.counted SELECT 'delta', n FROM generate_series(1, 100) n");
        assert_eq!(server.total("step3"), before + 5050);
    }

    #[test]
    fn a_missing_total_loses_no_delta() {
        let mut server = server();
        server.run("DELETE FROM step3.counted WHERE type = 'total'; INSERT INTO step3.counted VALUES ('delta', 7)");
        assert_eq!(server.total("step3"), 7);
    }

    #[test]
    fn an_error_rolls_back_and_the_worker_goes_on() {
        let mut server = server();
        let pids = "SELECT string_agg(pid::text, ' ' ORDER BY pid) FROM pg_stat_activity WHERE backend_type = $1";
        let before: String = server.work.query_one(pids, &[&NAME]).unwrap().get(0);
        server.run("TRUNCATE step3.counted; INSERT INTO step3.counted VALUES ('total', 2147483647), ('delta', 1), ('delta', 2)");
        // Each worker must have met the overflow.
        server.rollbacks(2);
        assert_eq!(server.number("SELECT sum(value) FROM step3.counted"), 2147483650);
        server.run("UPDATE step3.counted SET value = 10 WHERE type = 'total'");
        assert_eq!(server.total("step3"), 13);
        let after: String = server.work.query_one(pids, &[&NAME]).unwrap().get(0);
        assert_eq!(before, after, "the same two processes");
    }

    #[test]
    fn idle_cycles_use_up_no_transaction_id() {
        let mut server = server();
        server.cycles(1);
        let next = "SELECT pg_snapshot_xmax(pg_current_snapshot())::text";
        let before = server.number(next);
        server.cycles(3);
        assert_eq!(server.number(next), before);
    }

    #[test]
    fn statistics_arrive_while_the_worker_runs() {
        let mut server = server();
        let deleted = "SELECT n_tup_del FROM pg_stat_user_tables WHERE relname = 'counted'";
        let before = server.number(deleted);
        server.run("INSERT INTO step3.counted SELECT 'delta', 0 FROM generate_series(1, 10)");
        server.total("step3");
        poll("ten more rows deleted", || (server.number(deleted) >= before + 10).then_some(()));
    }

    #[test]
    fn a_trigger_has_the_rights_of_the_tables_owner_and_leaves_no_setting() {
        let mut server = server();
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
        server.total("step3");
        // Of three more cycles one of two workers runs at least two.
        for _ in 0..3 {
            server.run("INSERT INTO step3.counted VALUES ('delta', 0)");
            server.total("step3");
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
        let mut server = server();
        server.run(
            "ALTER TABLE step3.counted ADD id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY;
             CREATE TABLE child (id int REFERENCES step3.counted ON DELETE CASCADE);
             WITH delta AS (INSERT INTO step3.counted VALUES ('delta', 0) RETURNING id)
                 INSERT INTO child SELECT id FROM delta",
        );
        server.total("step3");
        let left = server.number("SELECT count(*) FROM child");
        server.run("DROP TABLE child; ALTER TABLE step3.counted DROP id");
        assert_eq!(left, 0);
    }

    #[test]
    fn every_way_out_of_a_transaction() {
        let mut server = server();
        server.tests.batch_execute("CREATE TABLE ways_out (way text UNIQUE DEFERRABLE INITIALLY DEFERRED)").unwrap();
        server.tests.execute("SELECT tests.launch_ways_out()", &[]).unwrap();
        poll("the row that stays", || server.tests.query_opt("SELECT FROM ways_out WHERE way = 'Ok'", &[]).unwrap());
        let left: String = server.tests.query_one("SELECT string_agg(way, ', ') FROM ways_out", &[]).unwrap().get(0);
        server.tests.batch_execute("DROP TABLE ways_out").unwrap();
        assert_eq!(left, "Ok");
    }
}
