//! Step 4: settings change while the worker runs.

use super::{Check, Random, Subject, Tier, expect, ready, refused, signal_in_wait, total};
use cluster::failure::{Result, reason};
use cluster::tell;
use cluster::throwaway::{Throwaway, children, gone, limit, signal};
use postgres::Client;
use std::time::{Duration, Instant};

pub const CHECKS: &[Check] = &[
    Check::new("reload", Tier::Quick, reload),
    Check::new("bad_value", Tier::Quick, bad_value),
    Check::new("bad_value_in_file", Tier::Full, bad_value_in_file),
    Check::new("reload_while_connecting", Tier::Full, reload_while_connecting),
    Check::new("early_reload", Tier::Long, early_reload),
    RELOAD_IN_LOCK,
    STOPS_AFTER_LOCK,
    Check::new("few_rights", Tier::Full, few_rights),
    Check::new("total_workers", Tier::Full, total_workers),
];

pub(super) const RELOAD_IN_LOCK: Check = Check::new("reload_in_lock", Tier::Full, reload_in_lock);
pub(super) const STOPS_AFTER_LOCK: Check =
    Check::new("stops_after_lock", Tier::Full, stops_after_lock).until(6, "the wait for the lock itself ends");

fn set(client: &mut Client, setting: &str, value: &str) -> Result<()> {
    client.batch_execute(&format!("ALTER SYSTEM SET {setting} = {value}"))?;
    client.batch_execute("SELECT pg_reload_conf()")?;
    Ok(())
}

/// Fails unless a new delta is gone within a second, which shows that naps are short.
fn naps_are_short(subject: &Subject, server: &Throwaway, client: &mut Client) -> Result<()> {
    let schema = subject.short();
    for _ in 0..2 {
        client.batch_execute(&format!("INSERT INTO {schema}.counted VALUES ('delta', 1)"))?;
        let start = Instant::now();
        total(subject, server, client)?;
        let took = start.elapsed().as_secs_f64();
        expect(server, took < 1.0, || {
            tell!(
                "a delta was counted after {took:.2} s, with a naptime of 50 ms",
                "naptime は 50 ミリ秒ですが、delta は {took:.2} 秒後に足されました。"
            )
        })?;
    }
    Ok(())
}

fn reload(subject: &Subject) -> Result<()> {
    let short = subject.short();
    let (server, mut client) = ready(subject, &[&format!("{short}.naptime = '1h'")])?;
    let mark = server.mark();
    set(&mut client, &format!("{short}.naptime"), "'50ms'")?;
    server.wait_log(mark, &format!("{}: settings reloaded, naptime is 50ms", subject.worker(1)))?;
    naps_are_short(subject, &server, &mut client)
}

fn bad_value(subject: &Subject) -> Result<()> {
    let short = subject.short();
    let (server, mut client) = ready(subject, &[])?;
    let long = format!("'{}'", "x".repeat(64));
    // Before 17 an unknown name below a reserved prefix was just unknown.
    let unknown = if subject.installation.major < 17 { "42704" } else { "42602" };
    for (setting, value, code) in [
        ("naptime", "0", "22023"),
        ("naptime", "'1 parsec'", "22023"),
        ("total_workers", "65", "22023"),
        ("database", long.as_str(), "22023"),
        ("nonsense", "1", unknown),
    ] {
        let sql = format!("ALTER SYSTEM SET {short}.{setting} = {value}");
        let error = refused(&server, &mut client, &sql, &format!("ERROR {code}"))?;
        // Here only the hook knows the reason.
        let detail = error.as_db_error().and_then(|db| db.detail()).unwrap_or_default();
        expect(&server, setting != "database" || !detail.is_empty(), || {
            let seen = reason(&error);
            tell!(
                "{short}.database: the refusal has no DETAIL, which would give the reason: {seen}",
                "{short}.database: 値を拒否した理由を示す DETAIL がありません: {seen}"
            )
        })?;
    }
    Ok(())
}

/// A bad line in postgresql.conf: the reload reports it, and the value before stays in force.
fn bad_value_in_file(subject: &Subject) -> Result<()> {
    let short = subject.short();
    let (server, mut client) = ready(subject, &[&format!("{short}.naptime = '50ms'")])?;
    for line in ["naptime = '-1'", "naptime = 'soon'"] {
        let mark = server.mark();
        server.configure(&[&format!("{short}.{line}")])?;
        server.reload()?;
        server.wait_log(mark, &format!("{short}.naptime"))?;
        let seen: String = client.query_one(&format!("SHOW {short}.naptime"), &[])?.get(0);
        expect(&server, seen == "50ms", || {
            tell!(
                "after the line {line} naptime is {seen}, expected 50ms",
                "{line} という行の後も naptime は 50ms のはずですが、{seen} です。"
            )
        })?;
        naps_are_short(subject, &server, &mut client)?;
    }
    Ok(())
}

/// A reload that comes while the worker waits for its connection.
fn reload_while_connecting(subject: &Subject) -> Result<()> {
    let short = subject.short();
    let naptime = format!("{short}.naptime = '1h'");
    let (server, mut client) = ready(subject, &[&naptime, &format!("{short}.total_workers = 1")])?;
    let mark = server.mark();
    set(&mut client, "post_auth_delay", "2")?;
    server.wait_log(mark, "parameter \"post_auth_delay\" changed to \"2\"")?; // for processes that start from now on
    let before = subject.pid(&server, 1)?;
    signal(before, "TERM")?;
    subject.other_pid(&server, 1, before)?;
    let mark = server.mark();
    set(&mut client, &format!("{short}.naptime"), "'50ms'")?;
    server.wait_log(mark, &format!("{}: started", subject.worker(1)))?;
    naps_are_short(subject, &server, &mut client)
}

/// A reload at a random moment of a worker's first 20 ms, fifty times: none is lost. Half of the moments lie in the first 2 ms, in
/// which a worker installs its handlers.
fn early_reload(subject: &Subject) -> Result<()> {
    let short = subject.short();
    let conf = [format!("{short}.naptime = '20ms'"), format!("{short}.total_workers = 1")];
    let (server, mut client) = ready(subject, &[&conf[0], &conf[1], "autovacuum = off"])?;
    let postmaster = server.postmaster()?;
    let mut random = Random(std::process::id() as u64 | 1);
    for round in 0..50 {
        let before = subject.pid(&server, 1)?;
        let mark = server.mark();
        signal(before, "TERM")?;
        let on = round % 2 == 0;
        client.batch_execute(&format!("ALTER SYSTEM SET {short}.log_totals = {on}"))?;
        let missing = tell!("the worker did not end", "ワーカーが終了しませんでした。");
        server.eventually(missing, limit(), || gone(before).then_some(()))?;
        let (known, end) = (children(postmaster), Instant::now() + limit());
        // Without a pause: what happens in the first millisecond is what matters.
        while children(postmaster).iter().all(|pid| known.contains(pid)) {
            expect(&server, Instant::now() < end, || {
                tell!("the worker is not started again", "ワーカーが再起動されません。")
            })?;
        }
        let first = if round % 4 < 2 { 2_000 } else { 20_000 };
        std::thread::sleep(Duration::from_micros(random.below(first))); // the random moment
        signal(postmaster, "HUP")?;
        server.wait_log(mark, &format!("{}: started", subject.worker(1)))?;
        server.wait_log(mark, "received SIGHUP")?;
        // The postmaster reloads, then tells its children: the setting is in force there before a worker can have seen it.
        let shown = format!("SHOW {short}.log_totals");
        let expected = if on { "on" } else { "off" };
        let missing = tell!(
            "log_totals did not become {expected} in a session",
            "セッションの log_totals が {expected} になりませんでした。"
        );
        server.eventually(missing, limit(), || {
            (client.query_one(&shown, &[]).ok()?.get::<_, String>(0) == expected).then_some(())
        })?;
        // Some naps later the worker has seen it or has lost it.
        for _ in 0..3 {
            client.batch_execute(&format!("INSERT INTO {short}.counted VALUES ('delta', 1)"))?;
            total(subject, &server, &mut client)?;
        }
        let mark = server.mark();
        client.batch_execute(&format!("INSERT INTO {short}.counted VALUES ('delta', 1)"))?;
        total(subject, &server, &mut client)?;
        // The line comes after the commit: the next cycle comes after the line.
        client.batch_execute(&format!("INSERT INTO {short}.counted VALUES ('delta', 1)"))?;
        total(subject, &server, &mut client)?;
        let logged = server.log()[mark..].contains("the total is now");
        expect(&server, logged == on, || {
            if on {
                tell!(
                    "round {round}: log_totals is on, and the total was not logged",
                    "{round} 回目: log_totals が on なのに、total がログに記録されません。"
                )
            } else {
                tell!(
                    "round {round}: log_totals is off, and the total was logged",
                    "{round} 回目: log_totals が off なのに、total がログに記録されました。"
                )
            }
        })?;
    }
    Ok(())
}

/// A worker whose nap lasts an hour gets this signal while its cycle waits for a lock; then the lock is given to it. The wait for a
/// lock uses the worker's latch, too, and resets it.
fn signalled_in_lock(subject: &Subject, name: &str) -> Result<(Throwaway, i32, usize)> {
    let short = subject.short();
    let conf = [format!("{short}.naptime = '1h'"), format!("{short}.total_workers = 1")];
    // A wait for a lock leaves an alarm behind, which sets the latch once more after deadlock_timeout.
    let (server, mut client) = ready(subject, &[&conf[0], &conf[1], "deadlock_timeout = '1h'"])?;
    let pid = subject.pid(&server, 1)?;
    client.batch_execute(&format!("BEGIN; LOCK TABLE {short}.counted"))?;
    signal(pid, "USR1")?; // ends the nap
    let waiting = "SELECT FROM pg_stat_activity WHERE pid = $1 AND wait_event_type = 'Lock'";
    let mut other = server.connect("template1")?;
    let missing = tell!("the cycle did not wait for the lock", "サイクルがロック待ちになりませんでした。");
    server.eventually(missing, limit(), || other.query_opt(waiting, &[&pid]).ok()?.map(drop))?;
    let mark = server.mark();
    signal_in_wait(&server, pid, name)?;
    client.batch_execute("ROLLBACK")?;
    Ok((server, pid, mark))
}

fn reload_in_lock(subject: &Subject) -> Result<()> {
    let (server, _, mark) = signalled_in_lock(subject, "HUP")?;
    server.wait_log(mark, &format!("{}: settings reloaded", subject.worker(1)))?;
    Ok(())
}

fn stops_after_lock(subject: &Subject) -> Result<()> {
    let (server, pid, _) = signalled_in_lock(subject, "TERM")?;
    let missing = tell!("the worker did not end", "ワーカーが終了しませんでした。");
    server.eventually(missing, limit(), || gone(pid).then_some(()))
}

/// A role without superuser rights, with exactly these grants, is enough; without any one of them it is not.
fn few_rights(subject: &Subject) -> Result<()> {
    let short = subject.short();
    let (server, mut client) = ready(subject, &[&format!("{short}.naptime = '50ms'")])?;
    client.batch_execute(&format!(
        "CREATE ROLE counter LOGIN; GRANT USAGE ON SCHEMA {short} TO counter;
         GRANT SELECT, INSERT, UPDATE, DELETE ON {short}.counted TO counter"
    ))?;
    client.batch_execute(&format!("ALTER SYSTEM SET {short}.role = 'counter'"))?;
    drop(client);
    server.restart(cluster::throwaway::Mode::Fast)?;
    let mut client = server.connect("postgres")?;
    naps_are_short(subject, &server, &mut client)?;
    for right in ["SELECT", "INSERT", "UPDATE", "DELETE"] {
        client.batch_execute(&format!("REVOKE {right} ON {short}.counted FROM counter"))?;
        let mark = server.mark();
        client.batch_execute(&format!("INSERT INTO {short}.counted VALUES ('delta', 1)"))?;
        server.wait_log(mark, "permission denied for table counted")?;
        client.batch_execute(&format!("GRANT {right} ON {short}.counted TO counter"))?;
        total(subject, &server, &mut client)?;
    }
    client.batch_execute(&format!("REVOKE USAGE ON SCHEMA {short} FROM counter"))?;
    let mark = server.mark();
    server.wait_log(mark, &format!("permission denied for schema {short}"))?;
    // The owner's trigger would have the role's rights: so it works for an owner only that it may become.
    let mark = server.mark();
    client.batch_execute(&format!(
        "CREATE ROLE mallory; GRANT USAGE ON SCHEMA {short} TO counter, mallory; ALTER TABLE {short}.counted OWNER TO mallory;
         INSERT INTO {short}.counted VALUES ('delta', 1)"
    ))?;
    server.wait_log(mark, "may not act for the owner")?;
    client.batch_execute("GRANT mallory TO counter")?;
    total(subject, &server, &mut client)?;
    Ok(())
}

fn total_workers(subject: &Subject) -> Result<()> {
    let short = subject.short();
    for count in [1, 5] {
        let server = subject.cluster(&[&format!("{short}.total_workers = {count}")])?;
        server.start()?;
        for number in 1..=count {
            server.wait_log(0, &format!("{}: started", subject.worker(number)))?;
        }
        let sql = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = $1";
        let seen: i64 = server.connect("template1")?.query_one(sql, &[&subject.step])?.get(0);
        expect(&server, seen == i64::from(count), || {
            tell!("{seen} workers, expected {count}", "ワーカーは {count} 個のはずですが、{seen} 個あります。")
        })?;
    }
    Ok(())
}
