//! Step 2: the worker becomes a backend.

use super::{Check, Subject, Tier, expect, refused};
use cluster::failure::Result;
use cluster::tell;
use cluster::throwaway::{Throwaway, limit};
use std::time::Instant;

pub const CHECKS: &[Check] = &[
    Check::new("has_rows", Tier::Quick, has_rows),
    Check::new("terminated", Tier::Full, terminated),
    Check::new("standby", Tier::Full, standby),
    Check::new("drop_database", Tier::Full, drop_database),
];

/// The worker's row in `pg_stat_activity`: database, role and type.
fn row(server: &Throwaway, pid: i32) -> Result<Option<(String, String, String)>> {
    let sql = "SELECT datname, usename, backend_type FROM pg_stat_activity WHERE pid = $1 AND datname IS NOT NULL";
    let row = server.connect("template1")?.query_opt(sql, &[&pid])?;
    Ok(row.map(|row| (row.get(0), row.get(1), row.get(2))))
}

fn has_rows(subject: &Subject) -> Result<()> {
    let server = subject.server(&[])?;
    for number in [1, 2] {
        let pid = subject.pid(&server, number)?;
        let missing = tell!(
            "no row of worker {number} with a database in pg_stat_activity",
            "データベースに接続したワーカー {number} の行が pg_stat_activity に現れませんでした。"
        );
        let found = server.eventually(missing, limit(), || row(&server, pid).ok().flatten());
        // A connection to no database has a row, too: it sees the shared catalogs.
        let nowhere = "SELECT FROM pg_stat_activity WHERE pid = $1 AND datname IS NULL AND usename IS NOT NULL";
        if found.is_err() && server.connect("template1")?.query_opt(nowhere, &[&pid])?.is_some() {
            return Err(server.failure(tell!(
                "worker {number} has a row in pg_stat_activity, and its datname is NULL: it is connected to no database",
                "pg_stat_activity にワーカー {number} の行はありますが、datname が NULL です。どのデータベースにも接続していません。"
            )));
        }
        let (database, role, kind) = found?;
        let right = database == "postgres" && role == "postgres" && kind == subject.step;
        expect(&server, right, || {
            tell!(
                "worker {number}: expected datname postgres, usename postgres, backend_type {}; seen {database}, {role}, {kind}",
                "ワーカー {number} は datname が postgres、usename が postgres、backend_type が {} のはずですが、{database}、{role}、{kind} でした。",
                subject.step
            )
        })?;
    }
    Ok(())
}

fn terminated(subject: &Subject) -> Result<()> {
    let server = subject.server(&[])?;
    let before = subject.pid(&server, 1)?;
    server.connect("template1")?.execute("SELECT pg_terminate_backend($1)", &[&before])?;
    subject.other_pid(&server, 1, before)?;
    Ok(())
}

/// On a standby only the worker for the consistent state runs; after the promotion both do.
fn standby(subject: &Subject) -> Result<()> {
    let primary = subject.server(&[])?;
    let standby = primary.standby(&[])?;
    subject.start(&standby)?;
    subject.pid(&standby, 1)?;
    expect(&standby, subject.pid_now(&standby, 2).is_none(), || {
        tell!("worker 2 runs before the promotion", "昇格の前にワーカー 2 が動いています。")
    })?;
    standby.promote()?;
    subject.pid(&standby, 2)?;
    subject.pid(&standby, 1)?;
    Ok(())
}

/// Plain DROP DATABASE waits 5 s for the worker and gives up. FORCE ends the worker, which tries again, and lives again as soon as
/// the database is there.
fn drop_database(subject: &Subject) -> Result<()> {
    let server = subject.server(&[])?;
    let before = subject.pid(&server, 2)?;
    let mut client = server.connect("template1")?;
    let start = Instant::now();
    refused(&server, &mut client, "DROP DATABASE postgres", "ERROR 55006")?;
    let took = start.elapsed().as_secs_f64();
    expect(&server, took > 4.0, || {
        tell!(
            "DROP DATABASE gave up after {took:.1} s, expected 5 s",
            "DROP DATABASE は 5 秒待つはずですが、{took:.1} 秒で失敗しました。"
        )
    })?;

    let mark = server.mark();
    client.batch_execute("DROP DATABASE postgres WITH (FORCE)")?;
    server.wait_log(mark, &format!("\"{}\" (PID {before}) exited with exit code 1", subject.step))?;
    server.wait_log(mark, "database \"postgres\" does not exist")?;
    client.batch_execute("CREATE DATABASE postgres")?;
    let mark = server.mark();
    server.wait_log(mark, &format!("{}: started", subject.worker(1)))?;
    server.wait_log(mark, &format!("{}: started", subject.worker(2)))?;
    expect(&server, subject.pid(&server, 2)? != before, || {
        tell!("worker 2 is the same process as before", "ワーカー 2 が以前と同じプロセスです。")
    })
}
