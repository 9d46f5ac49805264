//! What differs between PostgreSQL's major versions, and nothing else.

use pgrx::pg_sys;

/// May this role become that one with SET ROLE?
pub fn may_become(role: pg_sys::Oid, other: pg_sys::Oid) -> bool {
    // SAFETY: both look into the system caches, and we are in a transaction.
    unsafe {
        // Until 15, every member might; since 16 the grant says so.
        #[cfg(feature = "pg15")]
        return pg_sys::is_member_of_role(role, other);
        #[cfg(not(feature = "pg15"))]
        return pg_sys::member_can_set_role(role, other);
    }
}

/// Installs a signal handler, or the default one (`None`).
pub fn pqsignal(signal: u32, handler: pg_sys::pqsigfunc) {
    // SAFETY: the handler is one of PostgreSQL's own, made for this.
    unsafe {
        // Since 18 the library for clients has a function of that name, too, so the server's was given another.
        #[cfg(any(feature = "pg15", feature = "pg16", feature = "pg17"))]
        pg_sys::pqsignal(signal as i32, handler);
        #[cfg(any(feature = "pg18", feature = "pg19"))]
        pg_sys::pqsignal_be(signal as i32, handler);
    }
}

/// What `pg_stat_activity.wait_event` shows while the worker sleeps: a name of its own since 17, `Extension` before.
pub fn wait_event() -> u32 {
    #[cfg(any(feature = "pg15", feature = "pg16"))]
    return pg_sys::PG_WAIT_EXTENSION;
    #[cfg(not(any(feature = "pg15", feature = "pg16")))]
    {
        static EVENT: std::sync::OnceLock<u32> = std::sync::OnceLock::new();
        // SAFETY: takes a lock in shared memory, to which the worker is attached. Once per process: the name is looked up by lock.
        *EVENT.get_or_init(|| unsafe { pg_sys::WaitEventExtensionNew(c"Step7Main".as_ptr()) })
    }
}

/// The flag `BGWORKER_BYPASS_...` of that name, if this version knows it.
pub fn bypass_flag(name: &str) -> Option<u32> {
    match name {
        "ALLOWCONN" => Some(pg_sys::BGWORKER_BYPASS_ALLOWCONN),
        #[cfg(not(any(feature = "pg15", feature = "pg16")))]
        "ROLELOGINCHECK" => Some(pg_sys::BGWORKER_BYPASS_ROLELOGINCHECK),
        _ => None,
    }
}
