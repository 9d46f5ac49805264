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
        vec![
            "shared_preload_libraries = 'step4_guc_sighup'",
            "autovacuum = off",
            "step4.role = 'counter'",
            "step4.naptime = '100ms'",
            "step4.total_workers = 3",
        ]
    }
}

// The role that the workers of the test server work as, and all that it needs.
extension_sql!(
    r#"
DO $$ BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'counter') THEN CREATE ROLE counter LOGIN; END IF;
END $$;
GRANT USAGE ON SCHEMA step4 TO counter;
GRANT SELECT, INSERT, UPDATE, DELETE ON step4.counted TO counter;
"#,
    name = "counter",
    requires = ["counted"]
);

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
    use testing::Server;

    fn server() -> Server {
        // Starts the server if no other test has done so.
        pgrx_tests::run_test("the_server_runs", None, crate::pg_test::postgresql_conf_options()).unwrap();
        let mut server = Server::new(pgrx_tests::client().unwrap().0, NAME, 3);
        // What another test has set, also one that failed.
        server.set("step4.naptime", "'100ms'");
        server
    }

    #[test]
    fn as_many_workers_as_set_with_their_database_and_role() {
        let mut server = server();
        let sql = "SELECT string_agg(datname || ' ' || usename, ', ') FROM pg_stat_activity WHERE backend_type = $1";
        let seen: String = server.work.query_one(sql, &[&NAME]).unwrap().get(0);
        assert_eq!(seen, "postgres counter, postgres counter, postgres counter");
    }

    #[test]
    fn a_reload_takes_effect_while_the_worker_sleeps() {
        let mut server = server();
        server.set("step4.naptime", "'1h'");
        server.set("step4.naptime", "'5ms'");
        // With naps of 100 ms, the value before, this would take half a minute.
        server.cycles(300);
    }

    #[test]
    fn a_bad_value_is_refused_and_the_old_one_stays() {
        let mut server = server();
        let long = "x".repeat(64);
        // Before 17 the limits were said without their unit, and an unknown name below a reserved prefix was just unknown.
        let (range, unknown) = if cfg!(any(feature = "pg15", feature = "pg16")) {
            ("(1 .. 2147483647)", "unrecognized configuration parameter")
        } else {
            ("(1 ms .. 2147483647 ms)", "invalid configuration parameter name")
        };
        let out_of_range = format!("0 ms is outside the valid range for parameter \"step4.naptime\" {range}");
        for (setting, value, error) in [
            ("naptime", "0", out_of_range.as_str()),
            ("naptime", "'1 parsec'", "invalid value for parameter \"step4.naptime\": \"1 parsec\""),
            ("total_workers", "65", "65 is outside the valid range for parameter \"step4.total_workers\" (1 .. 64)"),
            ("database", &format!("'{long}'"), &format!("invalid value for parameter \"step4.database\": \"{long}\"")),
            ("naptimes", "1", &format!("{unknown} \"step4.naptimes\"")),
        ] {
            let sql = format!("ALTER SYSTEM SET step4.{setting} = {value}");
            let refused = server.work.batch_execute(&sql).expect_err(&sql);
            assert_eq!(refused.as_db_error().unwrap().message(), error);
        }
        let naptime: String = server.work.query_one("SHOW step4.naptime", &[]).unwrap().get(0);
        assert_eq!(naptime, "100ms");
    }

    /// The role of the workers does not work for just any owner: that owner's trigger would have its rights.
    #[test]
    fn a_trigger_has_the_rights_of_an_owner_that_the_role_may_become() {
        let mut server = server();
        server.run(
            "CREATE ROLE mallory;
             CREATE TABLE seen (who text);
             GRANT INSERT ON seen TO PUBLIC;
             GRANT USAGE ON SCHEMA step4 TO mallory;
             ALTER TABLE step4.counted OWNER TO mallory;
             CREATE FUNCTION look() RETURNS trigger LANGUAGE plpgsql
                 AS $$ BEGIN INSERT INTO public.seen VALUES (current_user); RETURN NULL; END $$;
             CREATE TRIGGER look AFTER DELETE ON step4.counted EXECUTE FUNCTION look();
             INSERT INTO step4.counted VALUES ('delta', 0)",
        );
        server.rollbacks(3);
        let left = server.number("SELECT count(*) FROM step4.counted WHERE type = 'delta'");
        server.run("GRANT mallory TO counter");
        server.total("step4");
        let who: String = server.work.query_one("SELECT string_agg(DISTINCT who, ' ') FROM seen", &[]).unwrap().get(0);
        server.run(
            "DROP TRIGGER look ON step4.counted; DROP FUNCTION look; ALTER TABLE step4.counted OWNER TO CURRENT_USER;
             DROP TABLE seen; REVOKE ALL ON SCHEMA step4 FROM mallory; DROP ROLE mallory",
        );
        assert_eq!((left, who.as_str()), (1, "mallory"));
    }
}
