//! `worker_spi`: few checks, as PostgreSQL's own tests judge it. These are for what those do not see.

use super::{Check, Subject, Tier, expect, no_worker, number, refused, signal_in_wait, stops_within_a_second};
use cluster::failure::{Result, reason};
use cluster::tell;
use cluster::text::Text;
use cluster::throwaway::{Mode, Throwaway, gone, limit, signal};
use postgres::Client;

pub const CHECKS: &[Check] = &[
    Check::new("adds_up", Tier::Quick, adds_up),
    Check::new("nothing_lost", Tier::Quick, nothing_lost),
    Check::new("stops", Tier::Quick, stops),
    Check::new("stops_in_sync_wait", Tier::Full, stops_in_sync_wait),
    Check::new("not_preloaded", Tier::Quick, not_preloaded),
    Check::new("reload", Tier::Full, reload),
    Check::new("reload_in_lock", Tier::Full, reload_in_lock),
    Check::new("never_again", Tier::Full, never_again),
    Check::new("interruptible", Tier::Full, interruptible),
    Check::new("not_interruptible", Tier::Full, not_interruptible),
];

/// A cycle only when it is asked for.
const SLEEPY: &str = "worker_spi.naptime = 3600";

/// A server whose worker 1 has its table, and a client in its database.
fn ready(subject: &Subject, conf: &[&str]) -> Result<(Throwaway, Client)> {
    let server = subject.cluster(conf)?;
    server.start()?;
    server.wait_log(0, &format!("{} initialized with schema1.counted", subject.worker(1)))?;
    let mut client = server.connect("postgres")?;
    table(&server, &mut client, "schema1")?;
    Ok((server, client))
}

/// Waits until there is a table.
fn table(server: &Throwaway, client: &mut Client, schema: &str) -> Result<()> {
    let there = format!("SELECT (to_regclass('\"{schema}\".counted') IS NOT NULL)::int");
    let missing = tell!("no table {schema}.counted", "テーブル {schema}.counted が作られませんでした。");
    server.eventually(missing, limit(), || (number(client, &there).ok()? == 1).then_some(()))
}

/// Wakes a worker until its table holds exactly this total and no delta.
fn total(server: &Throwaway, client: &mut Client, pid: i32, schema: &str, expected: i64) -> Result<()> {
    let sql = format!(
        "SELECT coalesce(sum(value) FILTER (WHERE type = 'total'), -1) - count(*) FILTER (WHERE type = 'delta') FROM \"{schema}\".counted"
    );
    let _ = signal(pid, "USR1"); // if it has ended, its total will say so
    let missing = tell!(
        "the table in {schema} had no total {expected} without deltas",
        "スキーマ {schema} のテーブルが、delta がなく total が {expected} の状態になりませんでした。"
    );
    server.eventually(missing, limit(), || (number(client, &sql).ok()? == expected).then_some(()))
}

/// Deltas go into the total, also in a schema whose name must be quoted, and in a table that has been made anew: the worker keeps
/// its plan, and PostgreSQL makes it again when the table has changed.
fn adds_up(subject: &Subject) -> Result<()> {
    let (server, mut client) = ready(subject, &[SLEEPY])?;
    let pid = subject.pid(&server, 1)?;
    // The first cycle finds no total and is rolled back. What it has prepared for the later ones must not be.
    signal(pid, "USR1")?;
    let cycled =
        format!("SELECT count(*) FROM pg_stat_activity WHERE pid = {pid} AND state = 'idle' AND query LIKE 'WITH%'");
    let missing = tell!("the worker did not finish a cycle", "ワーカーがサイクルを終えませんでした。");
    server.eventually(missing, limit(), || (number(&mut client, &cycled).ok()? == 1).then_some(()))?;
    let values = "VALUES ('total', 1), ('delta', 2), ('delta', 3)";
    client.batch_execute(&format!("INSERT INTO schema1.counted {values}"))?;
    let mark = server.mark();
    total(&server, &mut client, pid, "schema1", 6)?;
    server.wait_log(mark, &format!("{}: count in schema1.counted is now 6", subject.worker(1)))?;
    let index = "SELECT idx_scan FROM pg_stat_user_indexes WHERE indexrelname = 'counted_unique_total' AND schemaname = 'schema1'";
    // The worker hands its statistics over after the commit.
    let scanned = |client: &mut Client| {
        let missing = tell!(
            "no scan of the total's index, which costs less when the table grows",
            "total のインデックスが使われませんでした。テーブルが大きくなるほど、インデックスのほうが速くなります。"
        );
        server.eventually(missing, limit(), || (number(client, index).ok()? > 0).then_some(()))
    };
    scanned(&mut client)?;
    // A vacuumed table of one page is the case in which to read all of it looks cheapest.
    client.batch_execute("VACUUM schema1.counted")?;
    client.batch_execute("SELECT pg_stat_reset()")?;
    client.batch_execute("INSERT INTO schema1.counted VALUES ('delta', 1)")?;
    total(&server, &mut client, pid, "schema1", 7)?;
    scanned(&mut client)?;
    client.batch_execute(&format!(
        "ALTER TABLE schema1.counted RENAME TO before; CREATE TABLE schema1.counted (LIKE schema1.before);
         INSERT INTO schema1.counted {values}"
    ))?;
    total(&server, &mut client, pid, "schema1", 6)?;
    client.batch_execute("CREATE EXTENSION worker_spi")?;
    let pid: i32 = client.query_one("SELECT worker_spi_launch(-1)", &[])?.get(0);
    table(&server, &mut client, "schema-1")?;
    client.batch_execute(&format!("INSERT INTO \"schema-1\".counted {values}"))?;
    total(&server, &mut client, pid, "schema-1", 6)
}

/// Where there is no total, the deltas stay until there is one.
fn nothing_lost(subject: &Subject) -> Result<()> {
    let (server, mut client) = ready(subject, &[SLEEPY])?;
    let pid = subject.pid(&server, 1)?;
    client.batch_execute("INSERT INTO schema1.counted VALUES ('delta', 2), ('delta', 3)")?;
    let cycles = "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = 'postgres'";
    let mut other = server.connect("template1")?;
    client.batch_execute("SELECT pg_stat_force_next_flush()")?;
    let end = number(&mut other, cycles)? + 10;
    let missing = tell!("the worker did not finish ten cycles", "ワーカーのサイクルが 10 回になりませんでした。");
    server.eventually(missing, limit(), || {
        signal(pid, "USR1").ok()?;
        (number(&mut other, cycles).ok()? >= end).then_some(())
    })?;
    let left = number(&mut client, "SELECT count(*) FROM schema1.counted")?;
    expect(&server, left == 2, || {
        tell!(
            "{left} deltas are left where there is no total, expected 2",
            "total がない間は delta が 2 行残るはずですが、{left} 行でした。"
        )
    })?;
    client.batch_execute("INSERT INTO schema1.counted VALUES ('total', 0)")?;
    total(&server, &mut client, pid, "schema1", 5)
}

/// A worker whose cycle waits for a lock, and the client that holds it.
fn in_lock(subject: &Subject, conf: &[&str]) -> Result<(Throwaway, Client, i32)> {
    let (server, mut client) = ready(subject, conf)?;
    let pid = subject.pid(&server, 1)?;
    client.batch_execute("BEGIN; LOCK TABLE schema1.counted")?;
    signal(pid, "USR1")?;
    let mut other = server.connect("postgres")?;
    let waits = format!("SELECT count(*) FROM pg_stat_activity WHERE pid = {pid} AND wait_event_type = 'Lock'");
    let missing = tell!("the worker did not wait for the lock", "ワーカーがロック待ちになりませんでした。");
    server.eventually(missing, limit(), || (number(&mut other, &waits).ok()? == 1).then_some(()))?;
    Ok((server, client, pid))
}

/// A fast shutdown ends workers at once, also one that waits for a lock in the middle of its statement.
fn stops(subject: &Subject) -> Result<()> {
    let (server, _client, _) = in_lock(subject, &[SLEEPY])?;
    stops_within_a_second(&server)
}

/// A shutdown that comes while a commit waits for a synchronous standby.
fn stops_in_sync_wait(subject: &Subject) -> Result<()> {
    let (server, mut client) = ready(subject, &[SLEEPY])?;
    client.batch_execute("INSERT INTO schema1.counted VALUES ('total', 1)")?;
    drop(client);
    server.stop(Mode::Fast)?;
    server.configure(&["synchronous_standby_names = 'nobody'"])?;
    // Now and then something else sets the latch at the same moment, and a worker that does not look is lucky: so more than once.
    for _ in 0..4 {
        server.start()?;
        let mut client = server.connect("postgres")?;
        client.batch_execute("SET synchronous_commit = local; INSERT INTO schema1.counted VALUES ('delta', 1)")?;
        signal(subject.pid(&server, 1)?, "USR1")?;
        super::step6::in_sync_wait(&server, &mut client, &subject.step)?;
        stops_within_a_second(&server)?;
    }
    Ok(())
}

/// A library that is not preloaded says nothing, and starts nothing. Since 17 a worker can be launched all the same.
fn not_preloaded(subject: &Subject) -> Result<()> {
    let server = Throwaway::new(&subject.installation, &["log_min_messages = notice", "client_min_messages = error"])?;
    server.start()?;
    let mut client = server.connect("postgres")?;
    for sql in ["CREATE EXTENSION worker_spi", "LOAD 'worker_spi'"] {
        client.batch_execute(sql).or_else(|error| {
            // A FATAL error may close the connection before its words have come.
            let why = if error.is_closed() { server.wait_log(0, "FATAL:")? } else { reason(&error) };
            Err(server.failure(tell!("{sql}: {why}", "{sql} が失敗しました: {why}")))
        })?;
    }
    let said: Vec<_> = server
        .log()
        .lines()
        .filter(|l| ["NOTICE:", "WARNING:"].iter().any(|w| l.contains(w)))
        .map(str::to_owned)
        .collect();
    expect(&server, said.is_empty(), || {
        let said = said.join("\n");
        tell!("expected silence, seen: {said}", "ログには何も出ないはずですが、次の行がありました: {said}")
    })?;
    no_worker(subject, &server)?;
    let launched = client.query_one("SELECT worker_spi_launch(4)", &[]);
    if subject.installation.major >= 17 {
        launched?;
        return table(&server, &mut client, "schema4");
    }
    // There is no setting that names a database, so it is connected to none; and there it finds no table at all.
    server.wait_log(0, "without having selected a database")?;
    // It ends so soon that who launches it may find no process any more.
    match launched {
        Ok(row) => {
            let pid = row.get(0);
            server.eventually(not_ended(), limit(), || gone(pid).then_some(()))
        }
        Err(error) => {
            let (seen, expected) = (reason(&error), "ERROR 53000: could not start background process");
            expect(&server, seen == expected, || {
                tell!("expected {expected}, seen {seen}", "「{expected}」になるはずですが、「{seen}」でした。")
            })
        }
    }
}

fn not_ended() -> Text {
    tell!("the worker did not end", "ワーカーが終了しませんでした。")
}

/// A new naptime counts from the reload on, which also ends the nap.
fn reload(subject: &Subject) -> Result<()> {
    let (server, mut client) = ready(subject, &[SLEEPY])?;
    server.configure(&["worker_spi.naptime = 1"])?;
    server.reload()?;
    let pid = subject.pid(&server, 1)?;
    let slept = format!("SELECT count(*) FROM pg_stat_activity WHERE pid = {pid} AND query LIKE 'WITH%'");
    let missing = tell!(
        "the worker did not finish a cycle after the reload",
        "再読み込みの後、ワーカーがサイクルを終えませんでした。"
    );
    server.eventually(missing, limit(), || (number(&mut client, &slept).ok()? == 1).then_some(()))?;
    client.batch_execute("INSERT INTO schema1.counted VALUES ('total', 1), ('delta', 2)")?;
    let sql = "SELECT value FROM schema1.counted WHERE type = 'total'";
    let end = std::time::Duration::from_secs(5);
    let missing = tell!("no total 3 after a nap of 1 s", "1 秒の待機の後、total が 3 になりませんでした。");
    server.eventually(missing, end, || (number(&mut client, sql).ok()? == 3).then_some(()))
}

/// A reload that comes while the cycle waits for a lock: that wait uses the worker's latch, too, and resets it.
fn reload_in_lock(subject: &Subject) -> Result<()> {
    // A wait for a lock leaves an alarm behind, which sets the latch once more after deadlock_timeout.
    let (server, mut client, pid) = in_lock(subject, &[SLEEPY, "deadlock_timeout = '1h'"])?;
    server.configure(&["worker_spi.naptime = 1"])?;
    signal_in_wait(&server, pid, "HUP")?;
    client.batch_execute("INSERT INTO schema1.counted VALUES ('total', 1); COMMIT")?;
    // The cycle that waited must not see the delta, so the worker has to be asleep before there is one.
    let asleep = format!("SELECT count(*) FROM pg_stat_activity WHERE pid = {pid} AND wait_event_type = 'Extension'");
    let missing = tell!("the worker did not go back to sleep", "ワーカーが待機に戻りませんでした。");
    server.eventually(missing, limit(), || (number(&mut client, &asleep).ok()? == 1).then_some(()))?;
    client.batch_execute("INSERT INTO schema1.counted VALUES ('delta', 2)")?;
    let counted = "SELECT count(*) FROM schema1.counted WHERE type = 'total' AND value = 3";
    let missing = tell!("no total 3 after a nap of 1 s", "1 秒の待機の後、total が 3 になりませんでした。");
    server.eventually(missing, limit(), || (number(&mut client, counted).ok()? == 1).then_some(()))
}

/// An ERROR in a cycle ends the worker with exit code 1, and it is not started again; the other worker works on.
fn never_again(subject: &Subject) -> Result<()> {
    let (server, mut client) = ready(subject, &[SLEEPY])?;
    table(&server, &mut client, "schema2")?;
    let (pid, other) = (subject.pid(&server, 1)?, subject.pid(&server, 2)?);
    client.batch_execute("DROP TABLE schema1.counted")?;
    let mark = server.mark();
    signal(pid, "USR1")?;
    server.wait_log(mark, "ERROR:  relation \"schema1.counted\" does not exist")?;
    server.wait_log(mark, "STATEMENT:  WITH deleted AS (DELETE FROM schema1.counted")?;
    server.wait_log(mark, &format!("background worker \"{}\" (PID {pid}) exited with exit code 1", subject.step))?;
    // The postmaster starts workers one after the other: when a later one runs, this one would have been started, too.
    client.batch_execute("CREATE EXTENSION worker_spi")?;
    for number in 3..=4 {
        let pid: i32 = client.query_one("SELECT worker_spi_launch($1)", &[&number])?.get(0);
        signal(pid, "TERM")?;
        server.eventually(not_ended(), limit(), || gone(pid).then_some(()))?;
        std::thread::sleep(std::time::Duration::from_millis(700)); // longer than the shortest restart time, in sum
    }
    let again = server.log()[mark..].contains(&format!("{} initialized", subject.worker(1)));
    expect(&server, !again, || tell!("worker 1 has been started again", "ワーカー 1 が再び起動されました。"))?;
    client.batch_execute("INSERT INTO schema2.counted VALUES ('total', 1), ('delta', 2)")?;
    total(&server, &mut client, other, "schema2", 3)
}

/// A server with the database `theirs`, in which a worker has been launched: the server, a client beside it, and the worker's PID.
fn launched_in_theirs(subject: &Subject, interruptible: bool) -> Result<(Throwaway, Client, i32)> {
    let conf = [SLEEPY, "allow_in_place_tablespaces = on", "log_min_messages = 'warning, postmaster:debug1'"];
    let (server, mut client) = ready(subject, &conf)?;
    client.batch_execute("CREATE EXTENSION worker_spi")?;
    client.batch_execute("CREATE TABLESPACE elsewhere LOCATION ''")?;
    client.batch_execute("CREATE DATABASE theirs")?;
    let pid = launch_in(&server, &mut client, "theirs", interruptible)?;
    Ok((server, client, pid))
}

/// Launches worker 7 in a database, and waits until it sleeps there: before it is connected, it is in nobody's way.
fn launch_in(server: &Throwaway, client: &mut Client, database: &str, interruptible: bool) -> Result<i32> {
    let launch = format!(
        "SELECT worker_spi_launch(7, oid, interruptible => {interruptible}) FROM pg_database WHERE datname = '{database}'"
    );
    let pid = client.query_one(&launch, &[])?.get(0);
    let sleeps = format!("SELECT count(*) FROM pg_stat_activity WHERE pid = {pid} AND wait_event = 'WorkerSpiMain'");
    let missing = tell!("the launched worker does not sleep", "起動したワーカーが待機状態になりませんでした。");
    server.eventually(missing, limit(), || (number(client, &sleeps).ok()? == 1).then_some(()))?;
    Ok(pid)
}

/// Since 19: whoever needs a database for itself ends the workers in it that allow it. One that is ended so is no longer registered.
fn interruptible(subject: &Subject) -> Result<()> {
    let (server, mut client, mut pid) = launched_in_theirs(subject, true)?;
    let commands = [
        ("CREATE DATABASE copy TEMPLATE theirs", Some("theirs")),
        ("ALTER DATABASE theirs RENAME TO renamed", Some("renamed")),
        ("ALTER DATABASE renamed SET TABLESPACE elsewhere", Some("renamed")),
        ("DROP DATABASE renamed", None),
    ];
    for (sql, then) in commands {
        let mark = server.mark();
        client.batch_execute(sql).map_err(|error| {
            let why = reason(&error);
            server.failure(tell!("{sql}: {why}", "{sql} が失敗しました: {why}"))
        })?;
        server.eventually(not_ended(), limit(), || gone(pid).then_some(()))?;
        let worker = "worker_spi dynamic";
        server.wait_log(mark, &format!("background worker \"{worker}\" (PID {pid}) exited with exit code 1"))?;
        server.wait_log(mark, &format!("unregistering background worker \"{worker} worker 7\""))?;
        if let Some(database) = then {
            pid = launch_in(&server, &mut client, database, true)?;
        }
    }
    Ok(())
}

/// Since 19, as before: a worker that does not allow it keeps its database.
fn not_interruptible(subject: &Subject) -> Result<()> {
    let (server, mut client, pid) = launched_in_theirs(subject, false)?;
    let sql = "CREATE DATABASE copy TEMPLATE theirs";
    refused(&server, &mut client, sql, "ERROR 55006: source database \"theirs\" is being accessed by other users")?;
    let missing = tell!("the worker has been ended", "ワーカーが終了させられました。");
    expect(&server, !gone(pid), || missing)
}
