//! The example with a driver, a thread and async code in a worker: `cargo test -p course --test driver`.

use cluster::failure::Result;
use cluster::throwaway::{Installation, Mode, Throwaway, gone, limit, signal};
use course::build_dir::{self, Shell};
use std::fs;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

const NAME: &str = "driver_in_worker";

fn installation() -> Result<Arc<Installation>> {
    static ONCE: Mutex<Option<Arc<Installation>>> = Mutex::new(None);
    let mut once = ONCE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(made) = &*once {
        return Ok(made.clone());
    }
    let root = cluster::checkout();
    let shell = Shell::of(root, "step1")?;
    let original = shell.installation()?;
    let copy = original.copy_to(&shell.scratch()?.join(format!("{NAME}-{}", original.major)))?;
    build_dir::install(&shell, NAME, &root.join("examples").join(NAME), &copy, None)?;
    Ok(once.insert(Arc::new(copy)).clone())
}

/// A running server whose worker asks this question of the server itself, as any client would.
fn server(question: &str, naptime: &str) -> Result<Throwaway> {
    let server = Throwaway::new(&installation()?, &[&format!("shared_preload_libraries = '{NAME}'")])?;
    let folder = server.data().parent().ok_or("no folder above the data")?.display().to_string();
    server.configure(&[
        &format!("driver.conninfo = 'host={folder} port=5432 user=postgres dbname=template1'"),
        &format!("driver.question = '{question}'"),
        &format!("driver.naptime = '{naptime}'"),
    ])?;
    server.start()?;
    server.wait_log(0, &format!("{NAME}: started"))?;
    Ok(server)
}

fn worker(server: &Throwaway) -> Result<i32> {
    server.eventually("the worker", limit(), || server.processes(NAME).first().map(|(pid, _)| *pid))
}

#[test]
fn the_answer_arrives() -> Result<()> {
    let server = server("SELECT current_database()", "20ms")?;
    server.wait_log(0, &format!("{NAME}: template1"))?;
    Ok(())
}

/// It sleeps for a minute between two rounds: only the thread's signal can end that.
#[test]
fn the_thread_wakes_the_main_thread() -> Result<()> {
    let server = server("SELECT current_database(), pg_sleep(0.3)", "60s")?;
    server.wait_log(0, &format!("{NAME}: template1"))?;
    Ok(())
}

/// Half a second for the thread, and the rest of a second for everything else.
#[test]
fn a_shutdown_does_not_wait_for_the_query() -> Result<()> {
    let server = server("SELECT pg_sleep(60)", "20ms")?;
    let mut client = server.connect("postgres")?;
    let asking = "SELECT count(*) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(60)' AND state = 'active'";
    server.eventually("the query", limit(), || {
        (client.query_one(asking, &[]).ok()?.get::<_, i64>(0) == 1).then_some(())
    })?;
    drop(client);
    let pid = worker(&server)?;
    let start = Instant::now();
    signal(pid, "TERM")?;
    server.eventually("the end of the worker", limit(), || gone(pid).then_some(()))?;
    assert!(start.elapsed() < Duration::from_secs(1), "it took {:?}", start.elapsed());
    server.wait_log(0, &format!("background worker \"{NAME}\" (PID {pid}) exited with exit code 1"))?;
    server.wait_log(0, &format!("{NAME}: stopped, the thread first"))?;
    let start = Instant::now();
    server.stop(Mode::Fast)?;
    assert!(start.elapsed() < Duration::from_secs(2), "the shutdown took {:?}", start.elapsed());
    Ok(())
}

/// The kernel says which signals each thread has blocked.
#[test]
fn signals_are_for_the_main_thread() -> Result<()> {
    let server = server("SELECT 1", "20ms")?;
    let pid = worker(&server)?;
    let mut seen = Vec::new();
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let status = fs::read_to_string(task?.path().join("status"))?;
        let line =
            |key: &str| status.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_default().trim().to_owned();
        let mask = u64::from_str_radix(&line("SigBlk:"), 16)?;
        let blocked =
            [("HUP", 1), ("INT", 2), ("USR1", 10), ("TERM", 15)].iter().all(|(_, n)| mask >> (n - 1) & 1 == 1);
        seen.push((line("Name:"), blocked));
    }
    seen.sort();
    assert_eq!(seen, [("driver".to_owned(), true), ("postgres".to_owned(), false)]);
    for _ in 0..500 {
        signal(pid, "USR1")?;
        signal(pid, "HUP")?;
    }
    let mark = server.mark();
    server.wait_log(mark, &format!("{NAME}: 1"))?;
    assert_eq!(worker(&server)?, pid);
    Ok(())
}

/// A server that cannot be reached is a line in the log, not the end of the worker.
#[test]
fn a_failure_of_the_other_side_is_survived() -> Result<()> {
    let server = server("SELECT 1/0", "20ms")?;
    server.wait_log(0, "division by zero")?;
    let mark = server.mark();
    server.wait_log(mark, "division by zero")?;
    let pid = worker(&server)?;
    server.configure(&["driver.conninfo = 'host=/nowhere port=5432 user=postgres'"])?;
    server.restart(Mode::Fast)?;
    let mark = server.mark();
    server.wait_log(mark, "WARNING:  driver_in_worker: error connecting to server")?;
    assert_ne!(worker(&server)?, pid);
    Ok(())
}
