//! The arguments of `worker_spi_launch` since 17: in which database a worker shall work, as whom, and what it may bypass.

use crate::launch::Job;
use crate::settings;
use pgrx::fcinfo::{pg_getarg, pg_getarg_datum_raw};
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

// ANCHOR: arguments
/// Reads the arguments of the function after the first: database, role, flags. What is not given is taken from the settings, and
/// looked up here, in the session that calls.
///
/// # Safety
/// The arguments are those of `worker_spi_launch(int4, oid, oid, text[])`, since 19 with a boolean at the end.
pub unsafe fn job(arguments: pg_sys::FunctionCallInfo) -> Job {
    // SAFETY: as the caller says; the function is STRICT, so no argument is null.
    let mut job = unsafe {
        Job {
            database: pg_getarg(arguments, 1).unwrap_or(pg_sys::InvalidOid),
            role: pg_getarg(arguments, 2).unwrap_or(pg_sys::InvalidOid),
            flags: flags(arguments, 3),
        }
    };
    // SAFETY: in a transaction. A name that nobody has is an ERROR.
    unsafe {
        if job.database == pg_sys::InvalidOid {
            let name = settings::database().unwrap_or_default();
            job.database = pg_sys::get_database_oid(name.as_ptr(), false);
        }
        if job.role == pg_sys::InvalidOid
            && let Some(name) = settings::role()
        {
            job.role = pg_sys::get_role_oid(name.as_ptr(), false);
        }
    }
    job
}

unsafe fn flags(arguments: pg_sys::FunctionCallInfo, number: usize) -> u32 {
    let refuse = |why: &'static str| -> u32 {
        ErrorReport::new(PgSqlErrorCode::ERRCODE_FEATURE_NOT_SUPPORTED, why, "flags").report(PgLogLevel::ERROR);
        unreachable!("an ERROR does not return")
    };
    // SAFETY: the argument is an array of text, not null.
    let (dimensions, flags) = unsafe {
        let array = pg_sys::pg_detoast_datum(pg_getarg_datum_raw(arguments, number).cast_mut_ptr());
        let flags = pgrx::Array::<String>::from_datum(pg_sys::Datum::from(array), false);
        ((*array.cast::<pg_sys::ArrayType>()).ndim, flags)
    };
    if dimensions > 1 {
        return refuse("flags array must be one-dimensional");
    }
    let Some(flags) = flags.into_iter().flat_map(|flags| flags.iter().collect::<Vec<_>>()).collect::<Option<Vec<_>>>()
    else {
        return refuse("flags array must not contain nulls");
    };
    flags.iter().fold(0, |all, flag| match flag.as_str() {
        "ALLOWCONN" => all | pg_sys::BGWORKER_BYPASS_ALLOWCONN,
        "ROLELOGINCHECK" => all | pg_sys::BGWORKER_BYPASS_ROLELOGINCHECK,
        _ => refuse("incorrect flag value found in array"),
    })
}
// ANCHOR_END: arguments
