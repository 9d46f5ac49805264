//! The work: rows of type 'delta' in the table `counted` are added to the one row of type 'total'.

use crate::NAME;
use crate::tx::{self, TxError};
use pgrx::prelude::*;

// ANCHOR: table
/// The schema `step3`, which belongs to the extension.
#[pg_schema]
mod step3 {
    pgrx::extension_sql!(
        r#"
CREATE TABLE step3.counted (
    type text NOT NULL CHECK (type IN ('total', 'delta')),
    value integer NOT NULL
);
CREATE UNIQUE INDEX counted_one_total ON step3.counted (type) WHERE type = 'total';
-- The rows are the users' data, so pg_dump must save them.
SELECT pg_catalog.pg_extension_config_dump('step3.counted', '');
"#,
        name = "counted"
    );
}

/// The table, qualified: the worker trusts no search_path.
const TABLE: &str = "step3.counted";
// ANCHOR_END: table

// ANCHOR: sql
/// Is there anything to do? Read only: no transaction ID is used up, nothing is written to WAL, and it works on a standby.
const LOOK: &str = "SELECT FROM step3.counted WHERE type = 'delta' LIMIT 1";

/// Holds the total until the end of the transaction, so that several workers take turns.
const LOCK: &str = "SELECT FROM step3.counted WHERE type = 'total' FOR UPDATE";

/// Moves all deltas into the total in one statement. Where the total is missing it is made: no delta is ever lost.
const ADD_UP: &str = "\
WITH deleted AS (DELETE FROM step3.counted WHERE type = 'delta' RETURNING value)
INSERT INTO step3.counted AS total (type, value)
SELECT 'total', sum(value) FROM deleted HAVING count(*) > 0
ON CONFLICT (type) WHERE type = 'total' DO UPDATE SET value = total.value + excluded.value
RETURNING value";
// ANCHOR_END: sql

// ANCHOR: cycle
/// One cycle: two short transactions, the second only if there is work. Returns the new total, if there is one.
pub fn cycle() -> Result<Option<i32>, TxError> {
    let work = tx::run(|| {
        as_owner(|| Ok(!Spi::connect(|client| client.select(LOOK, Some(1), &[]).map(|rows| rows.is_empty()))?))
    })?;
    // SAFETY: asks shared memory whether this server is a standby.
    if work != Some(true) || unsafe { pg_sys::RecoveryInProgress() } {
        return Ok(None);
    }
    let total = tx::run(|| {
        as_owner(|| {
            Spi::connect_mut(|client| {
                // ANCHOR: hole_cycle
                client.update(LOCK, None, &[])?;
                let rows = client.update(ADD_UP, None, &[])?;
                // first() alone would be an error where no row came back: another worker has been faster.
                Ok(if rows.is_empty() { None } else { rows.first().get_one::<i32>()? })
                // ANCHOR_END: hole_cycle
            })
        })
    })?;
    Ok(total.flatten())
}
// ANCHOR_END: cycle

// ANCHOR: owner
/// Runs `body` with the rights of the table's owner, or not at all (`None`) if the table does not exist.
///
/// The worker is a superuser, and a trigger runs with the rights of whoever changes the table. Had the table been given to an
/// ordinary user, that user's trigger would be a superuser's. The lock keeps table and owner as they are meanwhile.
fn as_owner<T>(body: impl FnOnce() -> Result<T, TxError>) -> Result<Option<T>, TxError> {
    // SAFETY: in a transaction. What an early return or an ERROR leaves behind (lock, user, settings) the abort undoes.
    unsafe {
        let table: Option<pg_sys::Oid> = pgrx::direct_function_call(pg_sys::to_regclass, &[TABLE.into_datum()]);
        let Some(table) = table else { return Ok(None) };
        let relation = pg_sys::relation_open(table, pg_sys::AccessShareLock as pg_sys::LOCKMODE);
        let owner = (*(*relation).rd_rel).relowner;
        if (*(*relation).rd_rel).relkind != pg_sys::RELKIND_RELATION as core::ffi::c_char {
            let message = format!("{TABLE} is not a table");
            return Err(TxError::new(PgSqlErrorCode::ERRCODE_WRONG_OBJECT_TYPE, message));
        }
        let (mut user, mut context) = (pg_sys::InvalidOid, 0);
        pg_sys::GetUserIdAndSecContext(&mut user, &mut context);
        // Restricted: what runs inside can neither change the role back nor defer itself to the commit.
        pg_sys::SetUserIdAndSecContext(owner, context | pg_sys::SECURITY_RESTRICTED_OPERATION as i32);
        // What a trigger sets for its session lasts no longer than this level, and the session is ours.
        let level = pg_sys::NewGUCNestLevel();
        let value = body()?;
        pg_sys::AtEOXact_GUC(false, level);
        pg_sys::SetUserIdAndSecContext(user, context);
        pg_sys::relation_close(relation, pg_sys::NoLock as pg_sys::LOCKMODE);
        Ok(Some(value))
    }
}
// ANCHOR_END: owner

// ANCHOR: install
/// Is the extension in this database?
const INSTALLED: &str = "SELECT FROM pg_catalog.pg_extension WHERE extname = $1";

/// Two workers start at the same moment, and CREATE EXTENSION IF NOT EXISTS is not made for a race: who gets this lock goes on.
const FIRST: &str = "SELECT WHERE pg_catalog.pg_try_advisory_xact_lock(pg_catalog.hashtext($1))";

const CREATE: &str = r#"CREATE EXTENSION IF NOT EXISTS "step3_spi_transaction""#;

/// Creates the extension in the worker's database if it is not there. Done once, at the start: an extension that somebody drops
/// later stays dropped, and the worker has nothing to do.
pub fn install() -> Result<(), TxError> {
    tx::run(|| {
        Spi::connect_mut(|client| {
            // SAFETY: asks shared memory whether this server is a standby: it gets the extension from its primary.
            let standby = unsafe { pg_sys::RecoveryInProgress() };
            if !standby
                && client.select(INSTALLED, Some(1), &[NAME.into()])?.is_empty()
                && !client.select(FIRST, Some(1), &[NAME.into()])?.is_empty()
            {
                client.update(CREATE, None, &[])?;
            }
            Ok(())
        })
    })
}
// ANCHOR_END: install
