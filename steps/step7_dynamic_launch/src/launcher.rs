//! A worker that starts workers: one in each database, as long as there is such a database.

use crate::activity::statement;
use crate::launch::{self, Job};
use crate::tx::{self, TxError};
use crate::{NAME, settings};
use pgrx::bgworkers::{BackgroundWorkerBuilder, BgWorkerStartTime};
use pgrx::memcxt::PgMemoryContexts;
use pgrx::prelude::*;
use std::ffi::CStr;

// ANCHOR: launcher
/// Registers the launcher. Called in the postmaster.
pub fn register() {
    BackgroundWorkerBuilder::new(&format!("{NAME} launcher"))
        .set_type(&format!("{NAME} launcher"))
        .set_library(NAME)
        .set_function("step7_dynamic_launch_launcher")
        .enable_spi_access() // it needs the connection to be told, by SIGUSR1, when a worker starts or ends
        .set_start_time(BgWorkerStartTime::RecoveryFinished)
        .set_restart_time(Some(crate::RESTART_TIME))
        .load();
}

/// Databases that should have a worker and have none. A database that has been dropped is no longer in the list, and its worker
/// was ended by DROP DATABASE ... WITH (FORCE). Templates are skipped: CREATE DATABASE fails while somebody is connected to one.
const MISSING: &CStr = c"\
SELECT d.oid FROM pg_catalog.pg_database d
WHERE d.datallowconn AND NOT d.datistemplate
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_stat_activity a WHERE a.datid = d.oid AND a.backend_type = $1)";

const ROLE: &CStr = c"SELECT oid FROM pg_catalog.pg_roles WHERE rolname = $1";

/// One round: starts the workers that are missing. The worker does not install the extension by itself: where it is not, there is
/// nothing to do, until somebody creates it.
pub fn round() -> Result<(), TxError> {
    let (role, missing) = tx::run(ROLE, |find_role| {
        Spi::connect(|client| {
            let role = match settings::role() {
                Some(name) => {
                    let rows = client.select(find_role, Some(1), &[name.as_str().into()])?;
                    if rows.is_empty() {
                        let code = PgSqlErrorCode::ERRCODE_UNDEFINED_OBJECT;
                        return Err(TxError::new(code, format!("role \"{name}\" does not exist")));
                    }
                    rows.first().get_one::<pg_sys::Oid>()?
                }
                None => None,
            };
            let kind = format!("{NAME} database");
            let databases = client
                .select(statement(MISSING), None, &[kind.into()])?
                .map(|row| row.get::<pg_sys::Oid>(1))
                .collect::<Result<Vec<_>, _>>()?;
            Ok((role, databases))
        })
    })?;
    // The handle of a worker lives in the memory context that is current when it is registered. Outside of a transaction that
    // would be the one that lives as long as we do.
    let start_missing = |_: &mut PgMemoryContexts| {
        let mut result = Ok(());
        for database in missing.into_iter().flatten() {
            let number = database.to_u32() as i32;
            let role = role.unwrap_or(pg_sys::InvalidOid);
            let job = Job { number, database, role, flags: 0, install: false };
            // One database that cannot have a worker does not keep the others from theirs. The last reason is reported.
            if let Err(error) = launch::start("database", &job) {
                result = Err(error);
            }
        }
        result
    };
    // SAFETY: nothing that is allocated in there is used afterwards.
    unsafe { PgMemoryContexts::new("step7 round").switch_to(start_missing) }
}
// ANCHOR_END: launcher
