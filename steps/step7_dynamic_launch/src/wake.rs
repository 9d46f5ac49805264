//! Waking a worker from another session, when that session has committed.
//!
//! Each worker leaves the address of its latch in shared memory. A trigger on the table notes that there will be work; the commit
//! of the transaction sets the latches. Not the trigger itself: the worker would look before the row can be seen, and sleep on.
//!
//! A latch alone is not enough. Whatever waits inside PostgreSQL, for a lock for example, waits on the same latch and resets it. So
//! the commit leaves a note as well, and the worker reads the note before it sleeps.

use crate::settings::MAX_WORKERS;
use core::ffi::c_void;
use core::ptr;
use pgrx::pg_sys::ffi::pg_guard_ffi_boundary;
use pgrx::prelude::*;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, Ordering};

// ANCHOR: shared
/// What is in shared memory. All processes have it at the same address, as they are forked from the postmaster.
struct Shared {
    sleepers: [Sleeper; MAX_WORKERS],
}

/// A worker that can be woken.
struct Sleeper {
    /// Its latch; null while this place is free.
    latch: AtomicPtr<pg_sys::Latch>,
    /// The database that it works in: commits elsewhere do not concern it.
    database: AtomicU32,
    /// A commit has left work since the worker last began to look.
    due: AtomicBool,
}

static SHARED: AtomicPtr<Shared> = AtomicPtr::new(ptr::null_mut());

fn shared() -> Option<&'static Shared> {
    // SAFETY: null, or shared memory that was initialised before any other process could see it, and that lives as long as we.
    unsafe { SHARED.load(Ordering::Relaxed).as_ref() }
}

static mut NEXT_REQUEST_HOOK: pg_sys::shmem_request_hook_type = None;
static mut NEXT_STARTUP_HOOK: pg_sys::shmem_startup_hook_type = None;
static mut NEXT_UTILITY_HOOK: pg_sys::ProcessUtility_hook_type = None;

/// Puts our functions into PostgreSQL's hooks, in front of those that are there. Called once, in the postmaster.
pub fn init() {
    // SAFETY: during preload, on the only thread; every process inherits this by fork.
    unsafe {
        NEXT_REQUEST_HOOK = pg_sys::shmem_request_hook;
        pg_sys::shmem_request_hook = Some(request_shared_memory);
        NEXT_STARTUP_HOOK = pg_sys::shmem_startup_hook;
        pg_sys::shmem_startup_hook = Some(start_shared_memory);
        pg_sys::RegisterXactCallback(Some(at_end_of_transaction), ptr::null_mut());
        // This one is in the way of everybody's statements: only where a transaction can be prepared at all.
        if pg_sys::max_prepared_xacts > 0 {
            NEXT_UTILITY_HOOK = pg_sys::ProcessUtility_hook.or(Some(standard_ProcessUtility));
            pg_sys::ProcessUtility_hook = Some(see_commit_prepared);
        }
    }
}

/// Shared memory cannot grow, so everybody says beforehand how much is needed.
#[pg_guard]
unsafe extern "C-unwind" fn request_shared_memory() {
    // SAFETY: the next in the chain, and the only moment in which this may be asked for.
    unsafe {
        if let Some(next) = NEXT_REQUEST_HOOK {
            pg_guard_ffi_boundary(|| next());
        }
        pg_sys::RequestAddinShmemSpace(size_of::<Shared>());
    }
}

/// Runs when shared memory is made: at the start of the server, and again after a crash.
#[pg_guard]
unsafe extern "C-unwind" fn start_shared_memory() {
    // SAFETY: the postmaster runs this alone, before it starts other processes. The memory is large enough, and aligned for anything.
    unsafe {
        if let Some(next) = NEXT_STARTUP_HOOK {
            pg_guard_ffi_boundary(|| next());
        }
        let mut found = false;
        let shared: *mut Shared =
            pg_sys::ShmemInitStruct(c"step7_dynamic_launch".as_ptr(), size_of::<Shared>(), &mut found).cast();
        if !found {
            shared.write(Shared {
                sleepers: std::array::from_fn(|_| Sleeper {
                    latch: AtomicPtr::default(),
                    database: AtomicU32::default(),
                    due: AtomicBool::default(),
                }),
            });
        }
        SHARED.store(shared, Ordering::Relaxed);
    }
}
// ANCHOR_END: shared

// ANCHOR: sleeper
/// The place of this worker; null if it has none.
static MINE: AtomicPtr<Sleeper> = AtomicPtr::new(ptr::null_mut());

fn mine() -> Option<&'static Sleeper> {
    // SAFETY: null, or a place in shared memory, which lives as long as we.
    unsafe { MINE.load(Ordering::Relaxed).as_ref() }
}

/// The worker begins to look: what has been noted until now it will see.
pub fn begin_to_look() {
    if let Some(mine) = mine() {
        mine.due.store(false, Ordering::SeqCst);
    }
}

/// Has work come since the worker began to look? Asked before a sleep, as a wait inside the cycle may have reset the latch.
pub fn is_due() -> bool {
    mine().is_some_and(|mine| mine.due.load(Ordering::SeqCst))
}

/// Makes this worker one that can be woken, until it ends. To be called when it is connected, before it first looks for work.
/// Where no place is free it cannot be woken, and finds its work at the end of a nap.
pub fn register() {
    // SAFETY: both are set once the worker is connected. The callback frees the place while shared memory is still attached.
    unsafe {
        let free = |sleeper: &&Sleeper| {
            let (free, mine) = (ptr::null_mut(), pg_sys::MyLatch);
            sleeper.latch.compare_exchange(free, mine, Ordering::AcqRel, Ordering::Relaxed).is_ok()
        };
        if let Some(place) = shared().into_iter().flat_map(|shared| &shared.sleepers).find(free) {
            place.database.store(pg_sys::MyDatabaseId.to_u32(), Ordering::Release);
            MINE.store(ptr::from_ref(place).cast_mut(), Ordering::Relaxed);
            pg_sys::before_shmem_exit(Some(unregister), pg_sys::Datum::from(ptr::from_ref(place)));
        }
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn unregister(_code: core::ffi::c_int, place: pg_sys::Datum) {
    // SAFETY: the address that `register` gave, in shared memory.
    unsafe { &*place.cast_mut_ptr::<Sleeper>() }.latch.store(ptr::null_mut(), Ordering::Release);
}
// ANCHOR_END: sleeper

// ANCHOR: commit
/// Does the transaction of this session leave work to be done?
static WAKE_AT_COMMIT: AtomicBool = AtomicBool::new(false);

/// PostgreSQL calls this at the end of each transaction of each session. At that point of a commit an ERROR would take the whole
/// cluster down: nothing here may allocate, lock or fail. Reading an atomic and setting a latch cannot.
#[pg_guard]
unsafe extern "C-unwind" fn at_end_of_transaction(event: pg_sys::XactEvent::Type, _arg: *mut c_void) {
    match event {
        pg_sys::XactEvent::XACT_EVENT_COMMIT if WAKE_AT_COMMIT.swap(false, Ordering::Relaxed) => {
            // SAFETY: a plain variable of this process.
            let here = unsafe { pg_sys::MyDatabaseId }.to_u32();
            for sleeper in shared().into_iter().flat_map(|shared| &shared.sleepers) {
                let latch = sleeper.latch.load(Ordering::Acquire);
                if !latch.is_null() && sleeper.database.load(Ordering::Acquire) == here {
                    sleeper.due.store(true, Ordering::SeqCst); // first the note, then the latch
                    // SAFETY: a latch in shared memory stays one. If its worker has just ended, somebody else wakes for nothing.
                    unsafe { pg_sys::SetLatch(latch) };
                }
            }
        }
        // A prepared transaction is none of this session's any more.
        pg_sys::XactEvent::XACT_EVENT_ABORT | pg_sys::XactEvent::XACT_EVENT_PREPARE => {
            WAKE_AT_COMMIT.store(false, Ordering::Relaxed);
        }
        _ => {}
    }
}

unsafe extern "C-unwind" {
    /// What runs a utility statement, as the C function that it is: that of `pg_sys` catches an ERROR and raises it again.
    fn standard_ProcessUtility(
        statement: *mut pg_sys::PlannedStmt,
        query: *const core::ffi::c_char,
        read_only: bool,
        context: pg_sys::ProcessUtilityContext::Type,
        params: pg_sys::ParamListInfo,
        environment: *mut pg_sys::QueryEnvironment,
        dest: *mut pg_sys::DestReceiver,
        completion: *mut pg_sys::QueryCompletion,
    );
}

/// COMMIT PREPARED makes rows visible that another session has written, whose trigger ran there. So it wakes, too, just in case.
///
/// All utility statements of all sessions come through here, and their errors are none of ours. So there is no `pg_guard` and no
/// boundary: an ERROR jumps over this function as if it were not there. It must not panic, and leave nothing to be dropped.
#[allow(clippy::too_many_arguments)] // the signature is PostgreSQL's
unsafe extern "C-unwind" fn see_commit_prepared(
    statement: *mut pg_sys::PlannedStmt,
    query: *const core::ffi::c_char,
    read_only: bool,
    context: pg_sys::ProcessUtilityContext::Type,
    params: pg_sys::ParamListInfo,
    environment: *mut pg_sys::QueryEnvironment,
    dest: *mut pg_sys::DestReceiver,
    completion: *mut pg_sys::QueryCompletion,
) {
    // SAFETY: the node's tag says what it is. The arguments go on unchanged, and a jump over a frame that drops nothing is allowed.
    unsafe {
        let node = (*statement).utilityStmt;
        if pgrx::is_a(node, pg_sys::NodeTag::T_TransactionStmt) {
            let kind = (*node.cast::<pg_sys::TransactionStmt>()).kind;
            if kind == pg_sys::TransactionStmtKind::TRANS_STMT_COMMIT_PREPARED {
                WAKE_AT_COMMIT.store(true, Ordering::Relaxed);
            }
        }
        if let Some(next) = NEXT_UTILITY_HOOK {
            next(statement, query, read_only, context, params, environment, dest, completion);
        }
    }
}
// ANCHOR_END: commit

// ANCHOR: trigger
#[pg_schema]
mod step7 {
    use super::*;

    /// The trigger function: notes that the end of this transaction, if it is a commit, leaves work. In one of our workers it notes
    /// nothing: the total that a worker writes is no work, and would wake all of them, itself included, for a look in vain.
    #[pg_trigger]
    fn wake<'a>(
        _trigger: &'a PgTrigger<'a>,
    ) -> Result<Option<PgHeapTuple<'a, AllocatedByPostgres>>, core::convert::Infallible> {
        if mine().is_none() {
            WAKE_AT_COMMIT.store(true, Ordering::Relaxed);
        }
        Ok(None)
    }
}

// For each statement, not for each row: COPY of a million rows fires it once.
extension_sql!(
    "CREATE TRIGGER wake AFTER INSERT OR UPDATE ON step7.counted FOR EACH STATEMENT EXECUTE FUNCTION step7.wake();",
    name = "wake_trigger",
    requires = ["counted", step7::wake]
);
// ANCHOR_END: trigger
