//! Transactions for a worker: commit on `Ok`, roll back on `Err`, on a PostgreSQL ERROR and on a Rust panic.
//!
//! pgrx's own `BackgroundWorker::transaction` commits whatever the closure returns, `Err` too, and an ERROR ends the worker.

use pgrx::pg_sys::panic::{CaughtError, ErrorReport, ErrorReportWithLevel};
use pgrx::prelude::*;
use std::panic::AssertUnwindSafe;

// ANCHOR: error
/// Why a transaction was rolled back.
#[derive(Debug)]
pub struct TxError {
    code: PgSqlErrorCode,
    message: String,
    detail: Option<String>,
    hint: Option<String>,
}

impl TxError {
    /// An error of the worker's own.
    pub fn new(code: PgSqlErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), detail: None, hint: None }
    }

    /// Adds what the reader of the log can do about it.
    pub fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// Writes the error to the server log. The level is LOG: raising an ERROR would be another failure, and this one is over.
    /// PostgreSQL's own processes write ERROR here without raising it. An alarm has to look for "rolled back".
    pub fn log(self, worker: &str) {
        let mut report = ErrorReport::new(self.code, format!("{worker}: rolled back: {}", self.message), "log");
        if let Some(detail) = self.detail {
            report = report.set_detail(detail);
        }
        if let Some(hint) = self.hint {
            report = report.set_hint(hint);
        }
        report.report(PgLogLevel::LOG);
    }
}

/// What SPI itself returns: a wrong type, a missing row. Errors of the SQL statement do not come this way.
impl From<spi::Error> for TxError {
    fn from(error: spi::Error) -> Self {
        Self::new(PgSqlErrorCode::ERRCODE_INTERNAL_ERROR, error.to_string())
    }
}

/// What flies: an ERROR raised by PostgreSQL (a failed statement, for example), one raised by us, a panic.
impl From<CaughtError> for TxError {
    fn from(error: CaughtError) -> Self {
        let from = |report: &ErrorReportWithLevel| Self {
            code: report.sql_error_code(),
            message: report.message().to_owned(),
            detail: report.detail().map(str::to_owned),
            hint: report.hint().map(str::to_owned),
        };
        match &error {
            CaughtError::PostgresError(report) | CaughtError::ErrorReport(report) => from(report),
            CaughtError::RustPanic { ereport, .. } => from(ereport),
        }
    }
}
// ANCHOR_END: error

// ANCHOR: run
/// Runs `body` in a transaction of its own: short, and with no sleep in it.
///
/// Must not be called inside a transaction (PostgreSQL would raise an ERROR, and the worker would end).
pub fn run<T>(body: impl FnOnce() -> Result<T, TxError>) -> Result<T, TxError> {
    let attempt = AssertUnwindSafe(|| {
        // SAFETY: the worker is connected to a database, and no transaction is open.
        unsafe {
            pg_sys::SetCurrentStatementStartTimestamp(); // now() is the time of this transaction, not of the worker's start
            pg_sys::StartTransactionCommand();
            pg_sys::PushActiveSnapshot(pg_sys::GetTransactionSnapshot());
        }
        let value = body()?;
        // The commit stands inside the attempt: it can fail, too (a deferred constraint, for example).
        // SAFETY: the snapshot is the one pushed above, and SPI has been left by now.
        unsafe {
            pg_sys::PopActiveSnapshot();
            pg_sys::CommitTransactionCommand();
        }
        Ok(value)
    });
    // catch_others catches ERROR and panic alike. The error is not thrown on, so the worker goes on, so we must tidy up.
    let result = PgTryBuilder::new(attempt).catch_others(|error| Err(error.into())).execute();
    // SAFETY: both are for the state that we are in: a transaction that has failed, then none.
    unsafe {
        if result.is_err() {
            // Rolls back and releases what was held: locks, buffers, snapshots, SPI's memory, the user switched to.
            pg_sys::AbortCurrentTransaction();
        }
        // Hands the counts of rows and transactions to the statistics system. A backend does it when it waits for its client;
        // nobody does it for a worker. Without it autovacuum would not see the dead rows before the worker's end.
        pg_sys::pgstat_report_stat(true);
    }
    result
}
// ANCHOR_END: run

// ANCHOR: search_path
/// Pins the search_path of the session, whatever the database or the role has set. Called once, before the first transaction.
///
/// No schema that a user can write to is searched: a name without a schema is found where PostgreSQL itself has put it, or nowhere.
pub fn pin_search_path() {
    // SAFETY: a known setting with a valid value, which PostgreSQL copies. It may be set outside of a transaction.
    unsafe {
        pg_sys::SetConfigOption(
            c"search_path".as_ptr(),
            c"pg_catalog, pg_temp".as_ptr(),
            pg_sys::GucContext::PGC_USERSET,
            pg_sys::GucSource::PGC_S_SESSION,
        );
    }
}
// ANCHOR_END: search_path
