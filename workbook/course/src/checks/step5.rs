//! Step 5: the worker can be watched.

use super::{Check, Subject, Tier, expect, number, ready};
use cluster::failure::Result;
use cluster::tell;
use cluster::throwaway::{Mode, Throwaway, limit, signal};
use postgres::Client;
use std::time::SystemTime;

pub const CHECKS: &[Check] = &[
    Check::new("before_during_after", Tier::Quick, before_during_after),
    Check::new("failed_statement", Tier::Quick, failed_statement),
    Check::new("states", Tier::Full, states),
    Check::new("title", Tier::Full, title),
    super::step4::RELOAD_IN_LOCK,
    super::step4::STOPS_AFTER_LOCK,
];

struct Activity {
    state: String,
    query: String,
    name: String,
    query_start: Option<SystemTime>,
    xact_start: Option<SystemTime>,
}

fn activity(client: &mut Client, pid: i32) -> Option<Activity> {
    let sql = "SELECT state, query, application_name, query_start, xact_start FROM pg_stat_activity WHERE pid = $1";
    let row = client.query_opt(sql, &[&pid]).ok()??;
    Some(Activity {
        state: row.get::<_, Option<_>>(0).unwrap_or_default(),
        query: row.get(1),
        name: row.get(2),
        query_start: row.get(3),
        xact_start: row.get(4),
    })
}

/// A time as SQL asks for it.
fn null(time: Option<SystemTime>) -> &'static str {
    if time.is_some() { "NOT NULL" } else { "NULL" }
}

/// Waits until the worker is in this state.
fn in_state(server: &Throwaway, client: &mut Client, pid: i32, state: &str) -> Result<Activity> {
    let missing = tell!(
        "the worker's state in pg_stat_activity was never {state}",
        "pg_stat_activity でのワーカーの state が {state} になりませんでした。"
    );
    server.eventually(missing, limit(), || activity(client, pid).filter(|now| now.state == state))
}

fn before_during_after(subject: &Subject) -> Result<()> {
    let (server, mut client) = ready(subject, &[])?;
    let mut other = server.connect("template1")?;
    let pid = subject.pid(&server, 1)?;
    let before = in_state(&server, &mut other, pid, "idle")?;
    let (expected, seen) = (subject.worker(1), before.name);
    expect(&server, seen == expected, || {
        tell!(
            "application_name is \"{seen}\", expected \"{expected}\"",
            "application_name は「{expected}」のはずですが、「{seen}」です。"
        )
    })?;
    client.batch_execute(&format!("BEGIN; LOCK TABLE {}.counted", subject.short()))?;
    // It waits for the lock in the first transaction of a cycle, by which time it has reported all that there is.
    in_state(&server, &mut other, pid, "active")?;
    let missing = tell!("the worker did not wait for the lock", "ワーカーがロック待ちになりませんでした。");
    let waits = "SELECT FROM pg_stat_activity WHERE pid = $1 AND wait_event_type = 'Lock'";
    server.eventually(missing, limit(), || other.query_opt(waits, &[&pid]).ok()?.map(drop))?;
    let during = in_state(&server, &mut other, pid, "active")?;
    let (query, xact) = (during.query.clone(), during.xact_start);
    expect(&server, query.contains("counted") && xact.is_some(), || {
        let xact = null(xact);
        tell!(
            "during a cycle query is \"{query}\" and xact_start is {xact}, expected a statement on counted and NOT NULL",
            "サイクルの途中の query は counted を使う文、xact_start は NOT NULL のはずですが、query は「{query}」、xact_start は {xact} です。"
        )
    })?;
    expect(&server, during.query_start > before.query_start, || {
        tell!("query_start has not moved", "query_start が変わっていません。")
    })?;
    let early = xact.zip(during.query_start).and_then(|(xact, query)| xact.duration_since(query).ok());
    let early = early.unwrap_or_default().as_secs_f64();
    expect(&server, early == 0.0, || {
        tell!(
            "query_start is {early:.3} s before xact_start: it is the time of the statement before",
            "query_start が xact_start より {early:.3} 秒前です。1 つ前の文の時刻が残っています。"
        )
    })?;
    client.batch_execute("COMMIT")?;
    let after = in_state(&server, &mut other, pid, "idle")?;
    expect(&server, after.xact_start.is_none() && after.query == query, || {
        let xact = null(after.xact_start);
        tell!(
            "after a cycle query is \"{}\" and xact_start is {xact}, expected the statement of the cycle and NULL",
            "サイクルの後の query はそのサイクルの文、xact_start は NULL のはずですが、query は「{}」、xact_start は {xact} です。",
            after.query
        )
    })
}

/// The statement that failed is in the log, below the error.
fn failed_statement(subject: &Subject) -> Result<()> {
    let schema = subject.short();
    let (server, mut client) = ready(subject, &[&format!("{schema}.total_workers = 1")])?;
    let pid = subject.pid(&server, 1)?;
    client.batch_execute(&format!("ALTER SYSTEM SET {schema}.naptime = '1h'"))?;
    client.batch_execute("SELECT pg_reload_conf()")?;
    server.wait_log(0, "settings reloaded")?;
    let mark = server.mark();
    client.batch_execute(&format!("INSERT INTO {schema}.counted VALUES ('total', 2147483647), ('delta', 1)"))?;
    signal(pid, "USR1")?; // sets the latch
    server.wait_log(mark, "integer out of range")?;
    let line = server.wait_log(mark, "STATEMENT:  WITH deleted AS")?;
    expect(&server, line.contains(&format!("DELETE FROM {schema}.counted")), || {
        tell!("another statement is in the log: {line}", "ログにあるのは別の文です: {line}")
    })?;
    // Now the worker rests. The next line that it writes is about no statement.
    let mark = server.mark();
    server.reload()?;
    server.wait_log(mark, "settings reloaded")?;
    server.stop(Mode::Fast)?;
    let log = server.log();
    let stays = log[mark..].lines().find(|line| line.contains("STATEMENT:"));
    expect(&server, stays.is_none(), || {
        let line = stays.unwrap_or_default();
        tell!("a statement below a line that has none: {line}", "文と関係のない行の下に文が記録されました: {line}")
    })
}

/// Of the states that PostgreSQL knows a worker shows `active` and `idle`, and `disabled` while `track_activities` is off. It has
/// no client, so it never waits for one in a transaction: neither `idle in transaction` nor, after an error, `(aborted)`; and
/// nobody calls it by the fast path.
fn states(subject: &Subject) -> Result<()> {
    // One worker only, so that it is the one that fails.
    let (server, mut client) = ready(subject, &[&format!("{}.total_workers = 1", subject.short())])?;
    let mut other = server.connect("template1")?;
    let schema = subject.short();
    let pid = subject.pid(&server, 1)?;
    client.batch_execute(&format!("INSERT INTO {schema}.counted VALUES ('total', 2147483647), ('delta', 1)"))?;
    server.wait_log(0, "integer out of range")?;
    let sql = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE backend_type = '{}' AND state NOT IN ('idle', 'active')",
        subject.step
    );
    for _ in 0..200 {
        let seen = number(&mut other, &sql)?;
        expect(&server, seen == 0, || {
            tell!(
                "{seen} workers in another state than active or idle",
                "state が active でも idle でもないワーカーが {seen} 個あります。"
            )
        })?;
    }
    in_state(&server, &mut other, pid, "idle")?;
    // Nobody holds what the failed cycle had locked.
    client.batch_execute(&format!("SET lock_timeout = '5s'; DELETE FROM {schema}.counted"))?;
    client.batch_execute(&format!("BEGIN; LOCK TABLE {schema}.counted"))?;
    in_state(&server, &mut other, pid, "active")?;
    client.batch_execute("COMMIT")?;
    in_state(&server, &mut other, pid, "idle")?;
    for (value, state) in [("off", "disabled"), ("on", "idle")] {
        client.batch_execute(&format!("ALTER SYSTEM SET track_activities = {value}"))?;
        client.batch_execute("SELECT pg_reload_conf()")?;
        in_state(&server, &mut other, pid, state)?;
    }
    Ok(())
}

fn title(subject: &Subject) -> Result<()> {
    let (server, mut client) = ready(subject, &[])?;
    let titled = |end: &str| {
        // While it waits for a lock, PostgreSQL adds " waiting".
        let title = format!("postgres: {} {end}", subject.worker(1));
        let found = || server.processes(&subject.step).iter().any(|(_, text)| text.starts_with(&title)).then_some(());
        let missing =
            tell!("no process with the title \"{title}\"", "タイトルが「{title}」のプロセスが現れませんでした。");
        server.eventually(missing, limit(), found)
    };
    titled("idle")?;
    client.batch_execute(&format!("BEGIN; LOCK TABLE {}.counted", subject.short()))?;
    titled("counting")?;
    client.batch_execute("COMMIT")?;
    titled("idle")
}
