//! Step 6: sleep until there is work, wake at once, stop at once.

use super::{Check, Subject, Tier, expect, ready, signal_in_wait, stops_within_a_second, total};
use cluster::failure::Result;
use cluster::tell;
use cluster::text::Text;
use cluster::throwaway::{Mode, Throwaway, ended, gone, limit, set_limit, signal};
use postgres::error::ErrorPosition;
use postgres::{Client, Statement};
use std::io::Write;
use std::time::{Duration, Instant, SystemTime};

pub const CHECKS: &[Check] = &[
    Check::new("stops_idle", Tier::Quick, stops_idle),
    Check::new("stops_in_query", Tier::Quick, stops_in_query),
    Check::new("stops_in_lock", Tier::Full, stops_in_lock),
    Check::new("terminated_in_query", Tier::Full, terminated_in_query),
    Check::new("idle_cpu", Tier::Full, idle_cpu),
    Check::new("stops_in_commit", Tier::Full, stops_in_commit),
    STOPS_IN_SYNC_WAIT,
    Check::new("cancel", Tier::Full, cancel),
    Check::new("cancel_idle", Tier::Full, cancel_idle),
    Check::new("postmaster_dies", Tier::Full, postmaster_dies),
    Check::new("postmaster_dies_in_query", Tier::Full, postmaster_dies_in_query),
    Check::new("wait_event", Tier::Full, wait_event),
    Check::new("wakes_after_commit", Tier::Quick, wakes_after_commit),
    Check::new("wakes", Tier::Full, wakes),
    Check::new("wakes_however_committed", Tier::Full, wakes_however_committed),
    Check::new("called_during_a_wait", Tier::Full, called_during_a_wait),
    Check::new("another_database", Tier::Full, another_database),
    Check::new("own_commit", Tier::Full, own_commit),
    ERRORS_OF_OTHERS,
];

pub(super) const STOPS_IN_SYNC_WAIT: Check = Check::new("stops_in_sync_wait", Tier::Full, stops_in_sync_wait);
pub(super) const ERRORS_OF_OTHERS: Check = Check::new("errors_of_others", Tier::Full, errors_of_others);

/// A worker in the middle of a statement that burns CPU for so long: a trigger of the table does that.
fn burning(subject: &Subject, seconds: f64) -> Result<(Throwaway, Client, i32)> {
    let (server, mut client) = ready(subject, &[&format!("{}.total_workers = 1", subject.short())])?;
    let schema = subject.short();
    let pid = subject.pid(&server, 1)?;
    client.batch_execute(&format!(
        "CREATE FUNCTION burn() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
             WHILE clock_timestamp() < now() + interval '{seconds} seconds' LOOP END LOOP; RETURN NULL; END $$;
         CREATE TRIGGER burn AFTER DELETE ON {schema}.counted EXECUTE FUNCTION burn();
         INSERT INTO {schema}.counted VALUES ('delta', 1)"
    ))?;
    let ticks = || super::cpu_ticks(&[pid]).unwrap_or_default();
    let start = ticks();
    let missing = tell!("the worker did not run its query", "ワーカーが問い合わせを実行しませんでした。");
    server.eventually(missing, limit(), || (ticks() >= start + 10).then_some(()))?;
    Ok((server, client, pid))
}

/// A worker that waits uses no CPU, so that its end shows within a second under load, too.
fn ends_within_a_second(server: &Throwaway, pid: i32, start: Instant) -> Result<()> {
    let missing = tell!("the worker did not end", "ワーカーが終了しませんでした。");
    server.eventually(missing, limit(), || gone(pid).then_some(()))?;
    let took = start.elapsed().as_secs_f64();
    expect(server, took < 1.0, || {
        tell!(
            "the worker ended after {took:.2} s, expected less than 1 s",
            "ワーカーは 1 秒以内に終了するはずですが、{took:.2} 秒かかりました。"
        )
    })
}

/// Fails if a worker that burns CPU goes on with that while this is done, which ends it. Its own CPU time is what counts: other
/// processes do not add to it, however many there are.
fn burns_no_longer(server: &Throwaway, pid: i32, done: impl FnOnce() -> Result<()> + Send) -> Result<()> {
    let (start, patience) = (super::cpu_ticks(&[pid])?, limit());
    let mut last = start;
    std::thread::scope(|scope| {
        let doing = scope.spawn(move || {
            set_limit(Some(patience));
            done()
        });
        while !doing.is_finished() {
            last = super::cpu_ticks(&[pid]).unwrap_or(last);
            std::thread::sleep(Duration::from_millis(5)); // the process table sends no event
        }
        doing.join().map_err(|_| tell!("the check itself has failed", "検査そのものが失敗しました。"))?
    })?;
    let burnt = (last - start) * 10;
    expect(server, burnt <= 500, || {
        tell!(
            "the worker has gone on with its query for {burnt} ms of CPU, expected next to none",
            "ワーカーはすぐに問い合わせをやめるはずですが、その後も CPU を {burnt} ミリ秒使いました。"
        )
    })
}

fn stops_idle(subject: &Subject) -> Result<()> {
    let server = subject.server(&[&format!("{}.naptime = '1h'", subject.short())])?;
    stops_within_a_second(&server)
}

fn stops_in_query(subject: &Subject) -> Result<()> {
    let (server, client, pid) = burning(subject, 60.0)?;
    drop(client);
    burns_no_longer(&server, pid, || server.stop(Mode::Fast))
}

fn terminated_in_query(subject: &Subject) -> Result<()> {
    let (server, mut client, pid) = burning(subject, 60.0)?;
    burns_no_longer(&server, pid, || {
        client.execute("SELECT pg_terminate_backend($1)", &[&pid])?;
        let missing = tell!("the worker did not end", "ワーカーが終了しませんでした。");
        server.eventually(missing, limit(), || gone(pid).then_some(()))
    })
}

fn in_lock(subject: &Subject) -> Result<(Throwaway, Client, i32)> {
    let (server, mut client) = ready(subject, &[&format!("{}.total_workers = 1", subject.short())])?;
    let pid = subject.pid(&server, 1)?;
    client.batch_execute(&format!("BEGIN; LOCK TABLE {}.counted", subject.short()))?;
    let sql = "SELECT FROM pg_stat_activity WHERE pid = $1 AND wait_event_type = 'Lock'";
    let mut other = server.connect("template1")?;
    let missing = tell!("the worker did not wait for the lock", "ワーカーがロック待ちになりませんでした。");
    server.eventually(missing, limit(), || other.query_opt(sql, &[&pid]).ok()?.map(drop))?;
    Ok((server, client, pid))
}

fn stops_in_lock(subject: &Subject) -> Result<()> {
    let (server, mut client, pid) = in_lock(subject)?;
    let start = Instant::now();
    client.execute("SELECT pg_terminate_backend($1)", &[&pid])?;
    ends_within_a_second(&server, pid, start)
}

/// During a commit nobody looks at interrupts. A SIGTERM of that moment has set the latch before the worker comes to its wait, and
/// the wait must not begin with forgetting that.
fn stops_in_commit(subject: &Subject) -> Result<()> {
    // A commit waits for so many microseconds, in case that another one comes and can be written with it.
    let slow = ["fsync = on", "commit_delay = 100000", "commit_siblings = 0"];
    let (server, mut client, mut before) = alone(subject, &slow)?;
    client.batch_execute("SET commit_delay = 0")?;
    let mut other = server.connect("template1")?;
    for _ in 0..3 {
        // It is woken from its nap: what is forgotten shall be the SIGTERM, and not this.
        let asleep = "SELECT FROM pg_stat_activity WHERE pid = $1 AND wait_event_type = 'Extension'";
        let missing = tell!("the worker was not asleep", "ワーカーが待機に入りませんでした。");
        server.eventually(missing, limit(), || other.query_opt(asleep, &[&before]).ok()?.map(drop))?;
        client.batch_execute(&format!("INSERT INTO {}.counted VALUES ('delta', 1)", subject.short()))?;
        let writes = "SELECT FROM pg_stat_activity WHERE pid = $1 AND backend_xid IS NOT NULL";
        let missing = tell!("the worker has not begun to write", "ワーカーが書き込みを始めませんでした。");
        server.eventually(missing, limit(), || other.query_opt(writes, &[&before]).ok()?.map(drop))?;
        std::thread::sleep(Duration::from_millis(30)); // its statements take one or two; then it commits
        signal(before, "TERM")?;
        let missing = tell!("the worker did not end", "ワーカーが終了しませんでした。");
        server.eventually(missing, limit(), || gone(before).then_some(()))?;
        before = subject.other_pid(&server, 1, before)?;
        total(subject, &server, &mut client)?;
    }
    Ok(())
}

/// A commit that waits for a synchronous standby holds interrupts, and its wait resets the latch. What has come meanwhile is still
/// pending when the commit is over, and nothing wakes the worker once more.
fn stops_in_sync_wait(subject: &Subject) -> Result<()> {
    let (server, client, _) = alone(subject, &[])?;
    drop(client);
    server.stop(Mode::Fast)?;
    server.configure(&["synchronous_standby_names = 'nobody'"])?;
    subject.start(&server)?;
    let mut client = server.connect("postgres")?;
    client.batch_execute("SET synchronous_commit = local")?;
    let mut wait_in_commit = || -> Result<i32> {
        client.batch_execute(&format!("INSERT INTO {}.counted VALUES ('delta', 1)", subject.short()))?;
        in_sync_wait(&server, &mut client, &subject.step)
    };
    // Now and then something else sets the latch at the same moment, and a worker that does not look is lucky: so more than once.
    for _ in 0..2 {
        let pid = wait_in_commit()?;
        let start = Instant::now();
        signal(pid, "TERM")?;
        ends_within_a_second(&server, pid, start)?;
    }
    wait_in_commit()?;
    stops_within_a_second(&server)
}

/// Waits until a worker of this type waits for a synchronous standby, and returns its PID.
pub(super) fn in_sync_wait(server: &Throwaway, client: &mut Client, kind: &str) -> Result<i32> {
    let waits = "SELECT pid FROM pg_stat_activity WHERE backend_type = $1 AND wait_event = 'SyncRep'";
    let missing =
        tell!("no worker waited for a synchronous standby", "同期スタンバイを待つワーカーが現れませんでした。");
    server.eventually(missing, limit(), || client.query_opt(waits, &[&kind]).ok()?.map(|row| row.get(0)))
}

/// A cancel ends the cycle, and the worker goes on.
fn cancel(subject: &Subject) -> Result<()> {
    let (server, mut client, pid) = in_lock(subject)?;
    let mark = server.mark();
    client.execute("SELECT pg_cancel_backend($1)", &[&pid])?;
    server.wait_log(mark, "rolled back: canceling statement due to user request")?;
    client.batch_execute("COMMIT")?;
    client.batch_execute(&format!("INSERT INTO {}.counted VALUES ('delta', 1)", subject.short()))?;
    total(subject, &server, &mut client)?;
    expect(&server, subject.pid_now(&server, 1) == Some(pid), || {
        tell!("worker 1 is another process than before", "ワーカー 1 が以前とは別のプロセスです。")
    })
}

fn cancel_idle(subject: &Subject) -> Result<()> {
    let (server, mut client) = ready(subject, &[&format!("{}.naptime = '1h'", subject.short())])?;
    let pid = subject.pid(&server, 1)?;
    for _ in 0..20 {
        client.execute("SELECT pg_cancel_backend($1)", &[&pid])?;
        std::thread::sleep(Duration::from_millis(10));
        if gone(pid) {
            break; // each further one would only leave a WARNING in the log, below the lines that say why
        }
    }
    client.batch_execute(&format!("INSERT INTO {}.counted VALUES ('delta', 1)", subject.short()))?;
    total(subject, &server, &mut client)?;
    expect(&server, subject.pid_now(&server, 1) == Some(pid), || {
        tell!(
            "a cancel has ended worker 1 in its nap: it is another process than before",
            "待機中のキャンセルでワーカー 1 が終わり、以前とは別のプロセスになりました。"
        )
    })
}

/// Without its postmaster a waiting worker ends at once.
fn postmaster_dies(subject: &Subject) -> Result<()> {
    let server = subject.server(&[&format!("{}.naptime = '1h'", subject.short())])?;
    let pid = subject.pid(&server, 1)?;
    let start = Instant::now();
    server.kill_postmaster()?;
    ends_within_a_second(&server, pid, start)
}

/// A query that burns CPU looks for interrupts, and the death of the postmaster is none: the query runs to its end. Then the worker
/// ends. Meanwhile no new server can start on the data directory.
fn postmaster_dies_in_query(subject: &Subject) -> Result<()> {
    let (server, client, pid) = burning(subject, 2.5)?;
    drop(client);
    let start = Instant::now();
    let killed = std::thread::scope(|scope| {
        let killed = scope.spawn(|| server.kill_postmaster());
        // While another thread waits for the processes to go.
        while !killed.is_finished() && start.elapsed() < Duration::from_secs(1) {
            std::thread::sleep(Duration::from_millis(10));
        }
        let alive = !gone(pid);
        let killed = killed.join().map_err(|_| tell!("the check itself has failed", "検査そのものが失敗しました。"))?;
        // First this: what is killed in the middle may hold a lock, and who waits for it does not end either.
        expect(&server, alive, || {
            tell!("the worker has ended in the middle of its query", "ワーカーが問い合わせの途中で終了しました。")
        })?;
        killed
    });
    killed?;
    subject.note(format!("a query on the CPU outlived the postmaster by {:.1} s", start.elapsed().as_secs_f64()));
    Ok(())
}

fn wait_event(subject: &Subject) -> Result<()> {
    let (server, mut client) = ready(subject, &[&format!("{}.naptime = '1h'", subject.short())])?;
    let short = subject.short();
    let expected = match subject.installation.major {
        ..=16 => "Extension".to_owned(),
        _ => format!("{}{}Main", short[..1].to_uppercase(), &short[1..]),
    };
    let sql = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = $1 AND wait_event = $2";
    let missing = tell!(
        "no two workers that wait for {expected}",
        "待機イベントが {expected} のワーカーが 2 個になりませんでした。"
    );
    server.eventually(missing, limit(), || {
        (client.query_one(sql, &[&subject.step, &expected]).ok()?.get::<_, i64>(0) == 2).then_some(())
    })?;
    let sql = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = $1 AND backend_xmin IS NOT NULL";
    let held: i64 = client.query_one(sql, &[&subject.step])?.get(0);
    expect(&server, held == 0, || {
        tell!(
            "{held} sleeping workers hold a snapshot (backend_xmin), expected none",
            "眠っているワーカーはスナップショットを持たないはずですが、{held} 個が持っています (backend_xmin)。"
        )
    })
}

/// An idle worker uses less than 1 ms of CPU in 3 s, after its latch has been set once.
fn idle_cpu(subject: &Subject) -> Result<()> {
    let (server, mut client) = ready(subject, &[&format!("{}.naptime = '1h'", subject.short())])?;
    let pid = subject.pid(&server, 1)?;
    let idle = "SELECT query_start FROM pg_stat_activity WHERE pid = $1 AND state = 'idle'";
    let mut idle_since = |before: Option<SystemTime>| {
        let missing = tell!(
            "the worker was not idle after a cycle",
            "サイクルの後にワーカーの state が idle になりませんでした。"
        );
        server.eventually(missing, limit(), || {
            client.query_opt(idle, &[&pid]).ok()??.get::<_, Option<SystemTime>>(0).filter(|now| Some(*now) > before)
        })
    };
    let before = idle_since(None)?;
    signal(pid, "USR1")?;
    idle_since(Some(before))?;
    // On the CPU, in nanoseconds.
    let used = || -> Result<u64> {
        let text = std::fs::read_to_string(format!("/proc/{pid}/schedstat")).map_err(|_| ended(pid))?;
        Ok(text.split(' ').next().unwrap_or_default().parse()?)
    };
    let start = used()?;
    std::thread::sleep(Duration::from_secs(3)); // what is measured is the time in which nothing happens
    let took = used()? - start;
    subject.note(format!("{} us of CPU in 3 idle seconds", took / 1000));
    expect(&server, took < 1_000_000, || {
        let took = took as f64 / 1e6;
        tell!(
            "the worker has used {took:.1} ms of CPU in 3 idle seconds, expected less than 1 ms",
            "待機中の 3 秒間に使う CPU は 1 ミリ秒未満のはずですが、{took:.1} ミリ秒使いました。"
        )
    })
}

/// Inserts a delta, holds the transaction open, commits, and says how long after the commit it is counted.
fn counted_after(
    subject: &Subject,
    server: &Throwaway,
    client: &mut Client,
    value: i32,
    hold: u64,
) -> Result<Duration> {
    let schema = subject.short();
    let left = client.prepare(&format!("SELECT FROM {schema}.counted WHERE type = 'delta' AND value = $1"))?;
    client.batch_execute(&format!("BEGIN; INSERT INTO {schema}.counted VALUES ('delta', {value})"))?;
    std::thread::sleep(Duration::from_millis(hold)); // the transaction is open so long: that is the case to judge
    client.batch_execute("COMMIT")?;
    counted(server, client, &left, value)
}

/// Waits until the delta is counted, and says how long that took.
fn counted(server: &Throwaway, client: &mut Client, left: &Statement, value: i32) -> Result<Duration> {
    let start = Instant::now();
    while client.query_opt(left, &[&value])?.is_some() {
        expect(server, start.elapsed() < Duration::from_secs(1), || {
            tell!(
                "a commit has not woken a worker within 1 s: the delta is still there",
                "コミットから 1 秒たってもワーカーが起きず、delta が残っています。"
            )
        })?;
        std::thread::sleep(Duration::from_micros(200));
    }
    Ok(start.elapsed())
}

/// The wake-up comes after the commit, not with the statement. Each commit takes 20 ms: who wakes a worker before, wakes it for
/// nothing.
fn wakes_after_commit(subject: &Subject) -> Result<()> {
    let (server, mut client) =
        ready(subject, &[&format!("{}.naptime = '1h'", subject.short()), "fsync = on", "deadlock_timeout = '1h'"])?;
    client.batch_execute("SET commit_delay = 20000; SET commit_siblings = 0")?;
    for round in 1..=10 {
        counted_after(subject, &server, &mut client, round, 0)?;
    }
    Ok(())
}

/// From a commit to the work done, with naps of an hour. Half of the commits come 200 ms after the statement that will wake.
fn wakes(subject: &Subject) -> Result<()> {
    const ROUNDS: i32 = 40;
    let (server, mut client) =
        ready(subject, &[&format!("{}.naptime = '1h'", subject.short()), "fsync = on", "deadlock_timeout = '1h'"])?;
    // A commit takes its time, so one who wakes before it wakes too early also on a machine where the worker is slow to look.
    client.batch_execute("SET commit_delay = 20000; SET commit_siblings = 0")?;
    // One after the other: the commit of another client would wake, too, and hide that this one has not.
    let rounds = (1..=ROUNDS).map(|round| (round, if round % 2 == 0 { 200 } else { 0 }));
    let times: Result<Vec<_>> =
        rounds.map(|(value, hold)| counted_after(subject, &server, &mut client, value, hold)).collect();
    let mut times = times?;
    times.sort();
    let at = |percent: usize| times[(times.len() - 1) * percent / 100];
    let (median, late, last) = (at(50), at(99), at(100));
    subject.note(format!(
        "from commit to counted, {} commits: median {median:.1?}, 99th percentile {late:.1?}, longest {last:.1?}",
        times.len()
    ));
    expect(&server, median <= Duration::from_millis(10), || {
        let [median, late, last] = [median, late, last].map(|time| time.as_secs_f64() * 1000.0);
        tell!(
            "from commit to counted: median {median:.1} ms, expected at most 10 ms; 99th percentile {late:.1} ms, longest {last:.1} ms",
            "コミットから delta が足されるまでの時間は、中央値 {median:.1} ミリ秒 (10 ミリ秒以内のはずです)、99 パーセンタイル {late:.1} ミリ秒、最長 {last:.1} ミリ秒でした。"
        )
    })
}

/// However the rows come and are committed; a rollback wakes for nothing and does no harm; a worker started anew can be woken.
fn wakes_however_committed(subject: &Subject) -> Result<()> {
    // A wait for a lock leaves an alarm behind, which sets the latch once more after deadlock_timeout: that would hide a lost wake-up.
    let naptime = format!("{}.naptime = '1h'", subject.short());
    let conf = [&naptime, "max_prepared_transactions = 2", "deadlock_timeout = '1h'"];
    let (server, mut client) = ready(subject, &conf)?;
    let schema = subject.short();
    let insert = format!("INSERT INTO {schema}.counted VALUES ('delta', 1)");
    // Only a new wake-up may make a worker look, so each case begins with all of them asleep.
    let asleep = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = $1 AND state = 'idle' AND wait_event_type = 'Extension'";
    let both_asleep = |client: &mut Client| {
        let missing = tell!("the workers were not both asleep", "2 つのワーカーがそろって待機に入りませんでした。");
        server.eventually(missing, limit(), || {
            (client.query_one(asleep, &[&subject.step]).ok()?.get::<_, i64>(0) == 2).then_some(())
        })
    };
    let at_once = |client: &mut Client, how: Text| -> Result<()> {
        let start = Instant::now();
        total(subject, &server, client)?;
        let took = start.elapsed().as_secs_f64();
        expect(&server, took < 1.0, || {
            let Text { en, ja } = how;
            tell!(
                "{en}: counted after {took:.2} s, expected at once",
                "{ja}: すぐに足されるはずですが、{took:.2} 秒かかりました。"
            )
        })?;
        both_asleep(client)
    };
    both_asleep(&mut client)?;
    client.batch_execute(&format!("BEGIN; {insert}; ROLLBACK"))?;
    client.batch_execute(&format!("BEGIN; SAVEPOINT a; {insert}; RELEASE a; COMMIT"))?;
    at_once(&mut client, tell!("savepoint", "セーブポイント"))?;
    client.batch_execute(&format!("BEGIN; SAVEPOINT a; {insert}; ROLLBACK TO a; {insert}; COMMIT"))?;
    at_once(&mut client, tell!("savepoint rolled back", "セーブポイントへのロールバック"))?;
    client.batch_execute(&format!("BEGIN; {insert}; PREPARE TRANSACTION 'one'"))?;
    client.batch_execute("COMMIT PREPARED 'one'")?;
    at_once(&mut client, tell!("prepared", "COMMIT PREPARED によるコミット"))?;
    client.batch_execute(&format!("BEGIN; {insert}; PREPARE TRANSACTION 'two'"))?;
    server.connect("postgres")?.batch_execute("COMMIT PREPARED 'two'")?;
    at_once(&mut client, tell!("prepared, committed by another session", "ほかのセッションの COMMIT PREPARED"))?;
    let mut copy = client.copy_in(&format!("COPY {schema}.counted FROM STDIN"))?;
    copy.write_all(b"delta\t1\ndelta\t2\n")?;
    copy.finish()?;
    at_once(&mut client, tell!("COPY", "COPY によるコミット"))?;
    let before = [subject.pid(&server, 1)?, subject.pid(&server, 2)?];
    let mark = server.mark();
    before.iter().try_for_each(|pid| signal(*pid, "TERM"))?;
    server.wait_log(mark, &format!("{}: started", subject.worker(1)))?;
    server.wait_log(mark, &format!("{}: started", subject.worker(2)))?;
    both_asleep(&mut client)?;
    client.batch_execute(&insert)?;
    at_once(&mut client, tell!("after the workers were started anew", "ワーカーの再起動後のコミット"))
}

/// A server whose only worker naps for an hour, with a client in its database, and the worker's PID.
fn alone(subject: &Subject, conf: &[&str]) -> Result<(Throwaway, Client, i32)> {
    let own = [("naptime", "'1h'"), ("total_workers", "1")]
        .map(|(name, value)| format!("{}.{name} = {value}", subject.short()));
    let conf: Vec<_> = own.iter().map(String::as_str).chain(conf.iter().copied()).collect();
    let (server, client) = ready(subject, &conf)?;
    let pid = subject.pid(&server, 1)?;
    Ok((server, client, pid))
}

/// What comes while the cycle waits for a lock. That wait uses the worker's latch, too, and resets it.
fn called_during_a_wait(subject: &Subject) -> Result<()> {
    // A wait for a lock leaves an alarm behind, which sets the latch once more after deadlock_timeout.
    let (server, mut client, pid) = alone(subject, &["deadlock_timeout = '1h'"])?;
    let schema = subject.short();
    let mut other = server.connect("postgres")?;
    let left = client.prepare(&format!("SELECT FROM {schema}.counted WHERE type = 'delta' AND value = $1"))?;
    let mut wait_for_lock = |client: &mut Client| -> Result<()> {
        client.batch_execute(&format!("BEGIN; LOCK TABLE {schema}.counted"))?;
        signal(pid, "USR1")?; // sets the latch
        let waiting = "SELECT count(*) FROM pg_stat_activity WHERE pid = $1 AND wait_event_type = 'Lock'";
        let missing = tell!("the cycle did not wait for the lock", "サイクルがロック待ちになりませんでした。");
        server.eventually(missing, limit(), || {
            (other.query_one(waiting, &[&pid]).ok()?.get::<_, i64>(0) == 1).then_some(())
        })
    };
    wait_for_lock(&mut client)?;
    client.batch_execute(&format!("INSERT INTO {schema}.counted VALUES ('delta', 5); COMMIT"))?;
    counted(&server, &mut client, &left, 5)?;
    wait_for_lock(&mut client)?;
    let mark = server.mark();
    signal_in_wait(&server, pid, "HUP")?;
    client.batch_execute("ROLLBACK")?;
    server.wait_log(mark, "settings reloaded")?;
    Ok(())
}

/// A commit in another database is no work for a worker of this one.
fn another_database(subject: &Subject) -> Result<()> {
    let (server, mut client, pid) = alone(subject, &["autovacuum = off"])?;
    let schema = subject.short();
    client.batch_execute("CREATE DATABASE another")?;
    let mut another = server.connect("another")?;
    another.batch_execute(&format!("CREATE EXTENSION {}", subject.step))?;
    // To make a database wakes everybody. One more cycle, and the worker sleeps.
    let looked = |client: &mut Client| -> Option<SystemTime> {
        let sql = "SELECT query_start FROM pg_stat_activity WHERE pid = $1 AND state = 'idle' AND wait_event_type = 'Extension'";
        client.query_opt(sql, &[&pid]).ok()??.get(0)
    };
    client.batch_execute(&format!("INSERT INTO {schema}.counted VALUES ('delta', 1)"))?;
    total(subject, &server, &mut client)?;
    let missing = tell!("the worker did not go back to sleep", "ワーカーが待機に戻りませんでした。");
    let before = server.eventually(missing, limit(), || looked(&mut client))?;
    for _ in 0..20 {
        another.batch_execute(&format!("INSERT INTO {schema}.counted VALUES ('delta', 1)"))?;
        std::thread::sleep(Duration::from_millis(10)); // whoever is woken has the time to look
    }
    let missing = tell!("the worker did not go back to sleep", "ワーカーが待機に戻りませんでした。");
    let after = server.eventually(missing, limit(), || looked(&mut client))?;
    expect(&server, before == after, || {
        tell!(
            "a commit in another database has woken a worker of this one",
            "別のデータベースのコミットで、このデータベースのワーカーが起きました。"
        )
    })
}

/// The worker's own commit leaves no work. Were it woken by that, it would look once more, and meet the lock on the table that
/// somebody has been waiting for since before the commit.
fn own_commit(subject: &Subject) -> Result<()> {
    // A wait for a lock leaves an alarm behind, which sets the latch once more after deadlock_timeout.
    let (server, mut client, pid) = alone(subject, &["deadlock_timeout = '1h'", "autovacuum = off"])?;
    let schema = subject.short();
    let mut other = server.connect("template1")?;
    let mut until = |what: Text, condition: &str| -> Result<String> {
        let sql = format!("SELECT wait_event_type FROM pg_stat_activity WHERE {condition}");
        server.eventually(what, limit(), || other.query_opt(&sql, &[]).ok()??.get(0))
    };
    client.batch_execute(&format!("INSERT INTO {schema}.counted VALUES ('delta', 1)"))?;
    total(subject, &server, &mut client)?;
    // The worker sees a delta and waits for the total, with its locks on the table.
    let mut holder = server.connect("postgres")?;
    holder.batch_execute(&format!("BEGIN; SELECT FROM {schema}.counted WHERE type = 'total' FOR UPDATE"))?;
    client.batch_execute(&format!("INSERT INTO {schema}.counted VALUES ('delta', 1)"))?;
    let missing = tell!("the worker did not wait for the total", "ワーカーが total の行を待ちませんでした。");
    until(missing, &format!("pid = {pid} AND wait_event = 'transactionid'"))?;
    std::thread::scope(|scope| -> Result<()> {
        let locker = scope.spawn(|| client.batch_execute(&format!("BEGIN; LOCK TABLE {schema}.counted")));
        let missing = tell!("nobody waits for the table", "テーブルを待つセッションがありません。");
        until(missing, "wait_event = 'relation'")?;
        holder.batch_execute("COMMIT")?;
        locker.join().map_err(|_| tell!("the check itself has failed", "検査そのものが失敗しました。"))??;
        Ok(())
    })?;
    let missing = tell!("the worker did not go back to sleep", "ワーカーが待機に戻りませんでした。");
    let waits = until(missing, &format!("pid = {pid} AND wait_event_type IN ('Extension', 'Lock')"))?;
    expect(&server, waits == "Extension", || {
        tell!(
            "the worker's own commit has woken it: it looks for work once more",
            "ワーカーが自分のコミットで起き、仕事をもう一度探しています。"
        )
    })
}

/// What makes the statements of [`FAILING`] possible.
const PREPARE_TO_FAIL: &str = "
    CREATE DOMAIN small AS int CONSTRAINT is_small CHECK (VALUE < 100);
    CREATE TABLE parent (id int CONSTRAINT parent_key PRIMARY KEY);
    CREATE TABLE child (id int NOT NULL REFERENCES parent, a small, CONSTRAINT not_seven CHECK (id <> 7));
    INSERT INTO parent VALUES (1), (7);
    CREATE PROCEDURE divide() LANGUAGE plpgsql AS $$ BEGIN PERFORM 1 / 0; END $$;
    CREATE PROCEDURE misspell() LANGUAGE plpgsql AS $$ BEGIN EXECUTE 'SELECT nosuch'; END $$;
    CREATE PROCEDURE pass_on() LANGUAGE plpgsql AS $$ BEGIN CALL divide(); EXCEPTION WHEN OTHERS THEN RAISE; END $$;
    PREPARE parent AS INSERT INTO parent VALUES ($1);
    PREPARE child AS INSERT INTO child VALUES ($1, $2)";

/// Utility statements that fail, each in its way. Below COPY stands what it is sent.
const FAILING: &[&str] = &[
    "COPY parent FROM STDIN\n2\nx\n",
    "COPY parent FROM STDIN\n2\n1\n",
    "DO $$ BEGIN RAISE 'all' USING errcode = 'P0042', detail = 'detail', hint = 'hint', schema = 'schema', table = 'table',
         column = 'column', datatype = 'datatype', constraint = 'constraint'; END $$",
    "DO 'begin nonsense'",
    "CALL divide()",
    "CALL misspell()",
    "CALL pass_on()",
    "EXECUTE parent(1)",
    "EXECUTE parent(NULL)",
    "EXECUTE child(2, 2)",
    "EXECUTE child(7, 7)",
    "EXECUTE child(1, 100)",
    "EXPLAIN SELECT nosuch FROM parent",
    "CREATE TABLE other (a integr)",
    "CREATE FUNCTION wrong() RETURNS int LANGUAGE sql AS 'SELECT nosuch'",
    "ALTER TABLE parent ADD CONSTRAINT is_one CHECK (id = 1)",
    "DROP TABLE parent",
    "COMMIT PREPARED 'nosuch'",
];

/// The error of each of these statements, field by field.
fn failures(server: &Throwaway) -> Result<Vec<Vec<(&'static str, String)>>> {
    let mut client = server.connect("postgres")?;
    client.batch_execute(PREPARE_TO_FAIL)?;
    let mut failures = Vec::new();
    for sql in FAILING {
        let result = match sql.split_once('\n') {
            Some((copy, rows)) if copy.starts_with("COPY") => client.copy_in(copy).and_then(|mut copy| {
                // What is wrong with the rows PostgreSQL says at the end.
                let _ = copy.write_all(rows.as_bytes());
                copy.finish().map(drop)
            }),
            _ => client.batch_execute(sql),
        };
        let error = result.err();
        let Some(error) = error.as_ref().and_then(postgres::Error::as_db_error) else {
            let seen = error.map_or_else(|| "success".into(), |error| error.to_string());
            return Err(server.failure(tell!(
                "{sql}: expected an error, seen {seen}",
                "{sql}: エラーになるはずですが、「{seen}」でした。"
            )));
        };
        let (position, internal) = match error.position() {
            Some(ErrorPosition::Original(at)) => (Some(at.to_string()), None),
            Some(ErrorPosition::Internal { position, query }) => (None, Some(format!("{position} in {query}"))),
            None => (None, None),
        };
        let fields = [
            ("SEVERITY", Some(error.severity().to_owned())),
            ("SQLSTATE", Some(error.code().code().to_owned())),
            ("MESSAGE", Some(error.message().to_owned())),
            ("DETAIL", error.detail().map(str::to_owned)),
            ("HINT", error.hint().map(str::to_owned)),
            ("POSITION", position),
            ("INTERNAL POSITION", internal),
            ("CONTEXT", error.where_().map(str::to_owned)),
            ("SCHEMA NAME", error.schema().map(str::to_owned)),
            ("TABLE NAME", error.table().map(str::to_owned)),
            ("COLUMN NAME", error.column().map(str::to_owned)),
            ("DATATYPE NAME", error.datatype().map(str::to_owned)),
            ("CONSTRAINT NAME", error.constraint().map(str::to_owned)),
            ("FILE", error.file().map(str::to_owned)),
            ("LINE", error.line().map(|line| line.to_string())),
            ("ROUTINE", error.routine().map(str::to_owned)),
        ];
        failures.push(fields.map(|(name, value)| (name, value.unwrap_or_default())).into());
    }
    Ok(failures)
}

/// The library has a hook through which each utility statement of each session goes. What fails there must fail as if there were
/// no library, in every field of the error.
fn errors_of_others(subject: &Subject) -> Result<()> {
    const TWO_PHASE: &str = "max_prepared_transactions = 2";
    let (with, without) = (subject.server(&[TWO_PHASE])?, Throwaway::new(&subject.installation, &[TWO_PHASE])?);
    without.start()?;
    let (seen, expected) = (failures(&with)?, failures(&without)?);
    for ((sql, seen), expected) in FAILING.iter().zip(&seen).zip(&expected) {
        for ((field, seen), (_, expected)) in seen.iter().zip(expected) {
            expect(&with, seen == expected, || {
                let sql = sql.lines().next().unwrap_or_default();
                tell!(
                    "{sql}: with the library the error has {field} \"{seen}\", without it \"{expected}\"",
                    "{sql}: エラーの {field} が、ライブラリがあると「{seen}」、なければ「{expected}」です。"
                )
            })?;
        }
    }
    // A list of failures in which a field is nowhere would not show that it is kept.
    let names = expected[0].iter().map(|(name, _)| *name).enumerate();
    let nowhere = names.filter(|(at, _)| expected.iter().all(|fields| fields[*at].1.is_empty())).map(|(_, name)| name);
    let nowhere: Vec<_> = nowhere.collect();
    expect(&without, nowhere.is_empty(), || {
        let nowhere = nowhere.join(", ");
        tell!("no error of the check has {nowhere}", "検査のどのエラーにも {nowhere} がありません。")
    })
}
