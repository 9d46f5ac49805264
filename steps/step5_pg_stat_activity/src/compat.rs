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
