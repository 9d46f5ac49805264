//! Tests that run inside a PostgreSQL which has this library preloaded: `cargo pgrx test pg18`. They are few: what it must do is
//! judged by PostgreSQL's own tests (`scripts/upstream-tests`), and by the checks of the crate `course`.

use crate::NAME;
use pgrx::prelude::*;
use testing::poll;

/// What `cargo pgrx test` asks for before it starts its server.
#[cfg(test)]
pub mod pg_test {
    /// Nothing to prepare.
    pub fn setup(_options: Vec<&str>) {}

    /// The settings of the test server.
    pub fn postgresql_conf_options() -> Vec<&'static str> {
        vec!["shared_preload_libraries = 'worker_spi'", "worker_spi.naptime = 1"]
    }
}

#[pg_schema]
mod tests {
    use super::*;
    use crate::compat;

    /// One text from `pg_stat_activity`, as it is now.
    fn activity(sql: &str) -> Option<String> {
        Spi::run("SELECT pg_stat_clear_snapshot()").unwrap();
        Spi::get_one::<String>(sql).unwrap_or_default()
    }

    #[pg_test]
    fn the_settings_have_the_contexts_of_the_original() {
        let seen = Spi::get_one::<String>(
            "SELECT string_agg(concat_ws(' ', name, vartype, boot_val, min_val, max_val, unit, context), E'\n' ORDER BY name)
             FROM pg_settings WHERE name LIKE 'worker\\_spi.%'",
        );
        let database = if compat::HAS_ROLE { "sighup" } else { "postmaster" };
        let role = if compat::HAS_ROLE { "\nworker_spi.role string sighup" } else { "" };
        let expected = format!(
            "worker_spi.database string postgres {database}\nworker_spi.naptime integer 10 1 2147483647 sighup{role}\n\
             worker_spi.total_workers integer 2 1 100 postmaster"
        );
        assert_eq!(seen, Ok(Some(expected)));
    }

    #[pg_test]
    fn the_prefix_is_reserved() {
        let set = std::panic::catch_unwind(|| Spi::run("SET worker_spi.no_such_setting = 1"));
        assert!(set.is_err());
    }

    #[pg_test]
    fn a_launched_worker_has_its_name_and_its_own_pid() {
        let pid = Spi::get_one::<i32>("SELECT worker_spi_launch(4)").unwrap().unwrap();
        let (kind, wait) =
            if compat::HAS_ROLE { ("worker_spi dynamic", "WorkerSpiMain") } else { ("worker_spi", "Extension") };
        let expected = format!("{kind} postgres {wait}");
        let sql =
            format!("SELECT concat_ws(' ', backend_type, datname, wait_event) FROM pg_stat_activity WHERE pid = {pid}");
        poll("the worker, asleep", || activity(&sql).filter(|seen| *seen == expected));
        let title = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap();
        assert!(title.starts_with(&format!("postgres: {kind} worker 4 ")), "{title}");
    }

    #[pg_test]
    fn the_workers_of_the_settings_are_there() {
        let sql = format!(
            "SELECT concat_ws(' ', count(*), min(datname)) FROM pg_stat_activity
             WHERE backend_type = '{NAME}' AND query ~ 'schema[12].counted' AND state = 'idle'"
        );
        // The first cycle comes after a nap.
        poll("two workers, after their first cycle", || activity(&sql).filter(|seen| seen.starts_with("2 postgres")));
    }

    #[cfg(not(any(feature = "pg15", feature = "pg16")))]
    #[pg_test(error = "flags array must be one-dimensional")]
    fn flags_have_one_dimension() {
        Spi::run("SELECT worker_spi_launch(5, flags => '{{ALLOWCONN}}')").unwrap();
    }

    #[cfg(not(any(feature = "pg15", feature = "pg16")))]
    #[pg_test(error = "flags array must not contain nulls")]
    fn flags_are_not_null() {
        Spi::run("SELECT worker_spi_launch(5, flags => '{ALLOWCONN,NULL}')").unwrap();
    }

    #[cfg(not(any(feature = "pg15", feature = "pg16")))]
    #[pg_test(error = "incorrect flag value found in array")]
    fn flags_are_known() {
        Spi::run("SELECT worker_spi_launch(5, flags => '{ALLOWCONN,allowconn}')").unwrap();
    }
}
