//! Step 1: the worker is a process that the postmaster starts and watches.

use super::{Check, Subject, Tier, expect, stops_within_a_second};
use crate::throwaway::{Mode, Result, Throwaway, limit, reason, signal};
use std::time::{Duration, Instant};

pub const CHECKS: &[Check] = &[
    Check { id: "alive", tier: Tier::Quick, run: alive },
    Check { id: "no_row", tier: Tier::Quick, run: no_row },
    Check { id: "stops", tier: Tier::Quick, run: stops },
    Check { id: "not_preloaded", tier: Tier::Quick, run: not_preloaded },
    Check { id: "comes_back", tier: Tier::Full, run: comes_back },
    Check { id: "survives_restart", tier: Tier::Full, run: survives_restart },
    Check { id: "killed", tier: Tier::Full, run: killed },
    Check { id: "no_slot", tier: Tier::Full, run: no_slot },
    Check { id: "before_consistency", tier: Tier::Full, run: before_consistency },
];

fn alive(subject: &Subject) -> Result<()> {
    let server = subject.server(&[])?;
    subject.pid(&server, 1)?;
    Ok(())
}

fn no_row(subject: &Subject) -> Result<()> {
    let server = subject.server(&[])?;
    let pid = subject.pid(&server, 1)?;
    let rows: i64 =
        server.connect("postgres")?.query_one("SELECT count(*) FROM pg_stat_activity WHERE pid = $1", &[&pid])?.get(0);
    expect(&server, rows == 0, || format!("the worker has {rows} rows in pg_stat_activity, expected none"))
}

fn stops(subject: &Subject) -> Result<()> {
    let server = subject.server(&[])?;
    stops_within_a_second(&server)
}

fn not_preloaded(subject: &Subject) -> Result<()> {
    let server = Throwaway::new(&subject.installation, &[])?;
    server.start()?;
    let mut client = server.connect("postgres")?;
    for sql in [format!("LOAD '{}'", subject.step), format!("CREATE EXTENSION {}", subject.step)] {
        let Err(error) = client.batch_execute(&sql) else {
            return Err(server.failure(&format!("{sql}: succeeded, expected an ERROR")));
        };
        let seen = reason(&error);
        let expected = format!("ERROR 55000: {} must be loaded by shared_preload_libraries", subject.step);
        expect(&server, seen == expected, || format!("{sql}: expected \"{expected}\", seen \"{seen}\""))?;
        let hint = error.as_db_error().and_then(|db| db.hint()).unwrap_or_default().to_owned();
        expect(&server, hint.contains("shared_preload_libraries"), || {
            format!("the hint does not name the setting: {hint}")
        })?;
    }
    client.query_one("SELECT 1", &[])?;
    let workers = server.processes(&subject.step);
    expect(&server, workers.is_empty(), || format!("there are workers: {workers:?}"))
}

/// SIGTERM ends the worker with exit code 1, and the postmaster starts it again after its restart time of a second.
fn comes_back(subject: &Subject) -> Result<()> {
    let server = subject.server(&[])?;
    let before = subject.pid(&server, 1)?;
    let mark = server.mark();
    signal(before, "TERM")?;
    server.wait_log(mark, &format!("background worker \"{}\" (PID {before}) exited with exit code 1", subject.step))?;
    let ended = Instant::now();
    subject.other_pid(&server, 1, before)?;
    let took = ended.elapsed();
    // The line was seen at most a few milliseconds after it was written.
    expect(&server, took > Duration::from_millis(900), || format!("back after {took:?}, expected 1 s"))?;
    expect(&server, took < Duration::from_secs(3), || format!("back after {took:?}, expected 1 s"))
}

fn survives_restart(subject: &Subject) -> Result<()> {
    let server = subject.server(&[])?;
    let before = subject.pid(&server, 1)?;
    server.stop(Mode::Fast)?;
    subject.start(&server)?;
    let after = subject.pid(&server, 1)?;
    expect(&server, before != after, || "the same process after a restart of the server".into())
}

/// A worker that dies by a signal takes all others with it: the cluster goes through recovery, and the worker is started again.
fn killed(subject: &Subject) -> Result<()> {
    let server = subject.server(&[])?;
    let before = subject.pid(&server, 1)?;
    let mark = server.mark();
    signal(before, "KILL")?;
    server
        .wait_log(mark, &format!("background worker \"{}\" (PID {before}) was terminated by signal 9", subject.step))?;
    server.wait_log(mark, "database system was not properly shut down; automatic recovery in progress")?;
    server.wait_log(mark, "database system is ready to accept connections")?;
    subject.other_pid(&server, 1, before)?;
    Ok(())
}

fn no_slot(subject: &Subject) -> Result<()> {
    let server = subject.cluster(&["max_worker_processes = 0"])?;
    server.start()?;
    server.wait_log(0, "too many background workers")?;
    server.connect("postgres")?.query_one("SELECT 1", &[])?;
    let workers = server.processes(&subject.step);
    expect(&server, workers.is_empty(), || format!("there are workers: {workers:?}"))
}

/// A standby whose primary is gone never becomes consistent; a worker that starts with the postmaster runs all the same.
fn before_consistency(subject: &Subject) -> Result<()> {
    let primary = subject.server(&[])?;
    let standby = primary.standby_without_wal()?;
    primary.stop(Mode::Fast)?;
    standby.start_without_waiting()?;
    standby.eventually("worker 1 on the standby", limit(), || subject.pid_now(&standby, 1))?;
    expect(&standby, !standby.log().contains("consistent recovery state reached"), || {
        "the standby is consistent".into()
    })
}
