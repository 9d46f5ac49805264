//! Step 1: the worker is a process that the postmaster starts and watches.

use super::{Check, Subject, Tier, expect, no_worker, refused, stops_within_a_second};
use cluster::failure::Result;
use cluster::tell;
use cluster::throwaway::{Mode, Throwaway, limit, signal};
use std::time::Instant;

pub const CHECKS: &[Check] = &[
    Check::new("alive", Tier::Quick, alive),
    Check::new("no_row", Tier::Quick, no_row).until(2, "a worker with a connection has a row"),
    Check::new("stops", Tier::Quick, stops),
    Check::new("not_preloaded", Tier::Quick, not_preloaded).until(7, "workers can be launched without it"),
    Check::new("comes_back", Tier::Full, comes_back),
    Check::new("survives_restart", Tier::Full, survives_restart),
    Check::new("killed", Tier::Full, killed),
    Check::new("no_slot", Tier::Full, no_slot),
    Check::new("before_consistency", Tier::Full, before_consistency).until(2, "nobody can connect before consistency"),
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
    expect(&server, rows == 0, || {
        tell!(
            "the worker has {rows} rows in pg_stat_activity, expected none",
            "pg_stat_activity にワーカーの行はないはずですが、{rows} 行あります。"
        )
    })
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
        let expected = format!("ERROR 55000: {} must be loaded by shared_preload_libraries", subject.step);
        let error = refused(&server, &mut client, &sql, &expected)?;
        let hint = error.as_db_error().and_then(|db| db.hint()).unwrap_or_default().to_owned();
        expect(&server, hint.contains("shared_preload_libraries"), || {
            tell!(
                "{sql}: the error's hint does not name shared_preload_libraries: \"{hint}\"",
                "{sql}: エラーのヒントに shared_preload_libraries がありません: 「{hint}」"
            )
        })?;
    }
    client.query_one("SELECT 1", &[])?;
    no_worker(subject, &server)
}

/// SIGTERM ends the worker with exit code 1, and the postmaster starts it again after its restart time of a second.
fn comes_back(subject: &Subject) -> Result<()> {
    let server = subject.server(&[])?;
    let before = subject.pid(&server, 1)?;
    let mark = server.mark();
    let told = Instant::now();
    signal(before, "TERM")?;
    server.wait_log(mark, &format!("background worker \"{}\" (PID {before}) exited with exit code 1", subject.step))?;
    let seen = Instant::now();
    subject.other_pid(&server, 1, before)?;
    // It ended after it was told to and before the line was seen: whatever the load, it cannot be back sooner after the first.
    let (since_told, took) = (told.elapsed().as_secs_f64(), seen.elapsed().as_secs_f64());
    expect(&server, since_told >= 1.0 && took < 3.0, || {
        tell!(
            "the worker was back after {took:.2} s, expected 1 s",
            "ワーカーは 1 秒後に再起動されるはずですが、{took:.2} 秒後でした。"
        )
    })
}

fn survives_restart(subject: &Subject) -> Result<()> {
    let server = subject.server(&[])?;
    let before = subject.pid(&server, 1)?;
    server.stop(Mode::Fast)?;
    subject.start(&server)?;
    let after = subject.pid(&server, 1)?;
    expect(&server, before != after, || {
        tell!("the same process after a restart of the server", "サーバーの再起動後も同じプロセスです。")
    })
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
    no_worker(subject, &server)
}

/// A standby whose primary is gone never becomes consistent; a worker that starts with the postmaster runs all the same.
fn before_consistency(subject: &Subject) -> Result<()> {
    let primary = subject.server(&[])?;
    let standby = primary.standby_without_wal()?;
    primary.stop(Mode::Fast)?;
    standby.start_without_waiting()?;
    let missing = tell!("no worker 1 on the standby", "スタンバイにワーカー 1 が現れませんでした。");
    standby.eventually(missing, limit(), || subject.pid_now(&standby, 1))?;
    expect(&standby, !standby.log().contains("consistent recovery state reached"), || {
        tell!("the standby is consistent", "スタンバイが一貫した状態になりました。")
    })
}
