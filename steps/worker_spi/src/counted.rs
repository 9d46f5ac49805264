//! The work: in the table `counted` of the worker's schema, rows of type 'delta' are added to the one row of type 'total'.
//!
//! The calls of SPI are PostgreSQL's own, as the original has them: its messages name their result codes.

use crate::tx;
use pgrx::bgworkers::BackgroundWorker;
use pgrx::prelude::*;
use std::ffi::{CStr, CString};
use std::ptr;

/// A worker's table.
pub struct Counted {
    /// Schema and table, for messages.
    name: String,
    /// What a cycle runs.
    add_up: &'static CStr,
    /// The same, parsed and planned; null until the first cycle.
    plan: pg_sys::SPIPlanPtr,
}

impl Counted {
    // ANCHOR: open
    /// Makes the schema and its table if there is no such schema, and says what to do in each cycle.
    pub fn open(schema: &str) -> Self {
        // The plan is made while the table is small, when to read all of it looks cheap, and it is kept when the table has grown. So
        // the total shall be found by its index; for the deltas there is no other way than to read all.
        // SAFETY: a known setting. Outside of a transaction, so that none can roll it back.
        unsafe {
            pg_sys::SetConfigOption(
                c"enable_seqscan".as_ptr(),
                c"off".as_ptr(),
                pg_sys::GucContext::PGC_USERSET,
                pg_sys::GucSource::PGC_S_SESSION,
            );
        }
        let look = statement(format!("select count(*) from pg_namespace where nspname = '{schema}'"));
        tx::run(c"initializing worker_spi schema", || {
            let code = execute(look, true);
            if code != pg_sys::SPI_OK_SELECT as i32 {
                FATAL!("SPI_execute failed: error code {code}");
            }
            if processed() != 1 {
                FATAL!("not a singleton result");
            }
            let Some(found) = first_value() else { FATAL!("null result") };
            if found.value() == 0 {
                let create = statement(format!(
                    r#"CREATE SCHEMA "{schema}"
CREATE TABLE "counted" (type text CHECK (type IN ('total', 'delta')), value integer)
CREATE UNIQUE INDEX "counted_unique_total" ON "counted" (type) WHERE type = 'total'"#
                ));
                // SAFETY: a plain variable, set for the statement that comes.
                unsafe { pg_sys::SetCurrentStatementStartTimestamp() };
                if execute(create, false) != pg_sys::SPI_OK_UTILITY as i32 {
                    FATAL!("failed to create my schema");
                }
            }
            tx::End::Commit
        });
        let name = format!("{}.counted", spi::quote_identifier(schema));
        let add_up = statement(format!(
            "WITH deleted AS (DELETE FROM {name} WHERE type = 'delta' RETURNING value), \
             total AS (SELECT coalesce(sum(value), 0) AS sum FROM deleted) \
             UPDATE {name} SET value = counted.value + total.sum FROM total WHERE type = 'total' RETURNING counted.value"
        ));
        Self { name, add_up, plan: ptr::null_mut() }
    }
    // ANCHOR_END: open

    // ANCHOR: cycle
    /// One cycle. Logs the total; where there is none, everything is left as it was.
    pub fn add_up(&mut self) {
        tx::run(self.add_up, || {
            let code = self.execute_plan();
            if code != pg_sys::SPI_OK_UPDATE_RETURNING as i32 {
                FATAL!("cannot select from table {}: error code {code}", self.name);
            }
            if processed() == 0 {
                // The deltas are gone, and no total has taken them up. So they shall not be gone.
                return tx::End::RollBack;
            }
            if let Some(total) = first_value() {
                let worker = BackgroundWorker::get_name();
                log!("{worker}: count in {} is now {}", self.name, total.value() as i32);
            }
            tx::End::Commit
        });
    }

    /// Runs the statement of a cycle. It is parsed and planned once; PostgreSQL itself does it again when the table changes.
    fn execute_plan(&mut self) -> i32 {
        tx::statement(self.add_up);
        // SAFETY: connected to SPI. The plan has no parameters, and once it is kept it lives as long as the process.
        unsafe {
            if self.plan.is_null() {
                let plan = pg_sys::SPI_prepare(self.add_up.as_ptr(), 0, ptr::null_mut());
                if plan.is_null() {
                    return pg_sys::SPI_result;
                }
                pg_sys::SPI_keepplan(plan);
                self.plan = plan;
            }
            pg_sys::SPI_execute_plan(self.plan, ptr::null_mut(), ptr::null(), false, 0)
        }
    }
    // ANCHOR_END: cycle
}

/// The text of a statement, for as long as the process lives: when it fails, the log shows it after everything here has ended.
fn statement(sql: String) -> &'static CStr {
    Box::leak(CString::new(sql).unwrap_or_default().into_boxed_c_str())
}

/// Runs a statement and returns SPI's result code.
fn execute(sql: &'static CStr, read_only: bool) -> i32 {
    tx::statement(sql);
    // SAFETY: connected to SPI; 0 means all rows.
    unsafe { pg_sys::SPI_execute(sql.as_ptr(), read_only, 0) }
}

/// How many rows the last statement has returned.
fn processed() -> u64 {
    // SAFETY: a plain variable of SPI.
    unsafe { pg_sys::SPI_processed }
}

/// The first column of the first row that the last statement has returned, if it is not null.
fn first_value() -> Option<pg_sys::Datum> {
    let mut is_null = false;
    // SAFETY: the callers have seen that there is a row, and their columns are passed by value.
    let value = unsafe {
        let rows = pg_sys::SPI_tuptable;
        pg_sys::SPI_getbinval(*(*rows).vals, (*rows).tupdesc, 1, &mut is_null)
    };
    (!is_null).then_some(value)
}
