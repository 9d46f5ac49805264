//! Step 3: work happens in short transactions.

use super::{Check, Random, Subject, Tier, cpu_ticks, drive, expect, number, ready, total, total_is};
use cluster::failure::{Result, reason};
use cluster::tell;
use cluster::throwaway::{Mode, Throwaway, limit, signal};
use postgres::Client;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

pub const CHECKS: &[Check] = &[
    Check::new("counts", Tier::Quick, counts),
    Check::new("missing_total", Tier::Quick, missing_total),
    Check::new("nothing_left", Tier::Full, nothing_left),
    Check::new("poison", Tier::Full, poison),
    Check::new("err", Tier::Full, err),
    Check::new("statistics", Tier::Full, statistics),
    Check::new("idle_writes_nothing", Tier::Full, idle_writes_nothing),
    Check::new("lock_timeout", Tier::Full, lock_timeout),
    Check::new("foreign_key", Tier::Full, foreign_key),
    Check::new("trigger_rights", Tier::Full, trigger_rights),
    Check::new("trigger_settings", Tier::Full, trigger_settings),
    Check::new("standby_reads", Tier::Full, standby_reads),
    Check::new("memory", Tier::Long, memory),
    Check::new("nothing_lost", Tier::Long, nothing_lost),
];

fn counts(subject: &Subject) -> Result<()> {
    let (server, mut client) = ready(subject, &[])?;
    let schema = subject.short();
    client.batch_execute(&format!("INSERT INTO {schema}.counted SELECT 'delta', n FROM generate_series(1, 100) n"))?;
    let seen = total(subject, &server, &mut client)?;
    total_is(&server, seen, 5050)
}

fn missing_total(subject: &Subject) -> Result<()> {
    let (server, mut client) = ready(subject, &[])?;
    let schema = subject.short();
    client.batch_execute(&format!("DELETE FROM {schema}.counted; INSERT INTO {schema}.counted VALUES ('delta', 7)"))?;
    let seen = total(subject, &server, &mut client)?;
    expect(&server, seen == 7, || {
        tell!(
            "the total is {seen}, expected 7: the delta is lost",
            "total は 7 のはずですが、{seen} でした。delta が失われています。"
        )
    })
}

/// Both workers have seen a delta and wait for the total, and when they get it the delta is gone. That is no error.
fn nothing_left(subject: &Subject) -> Result<()> {
    let (server, mut client) = ready(subject, &[])?;
    let schema = subject.short();
    let mut other = server.connect("postgres")?;
    client.batch_execute(&format!("INSERT INTO {schema}.counted VALUES ('total', 0)"))?;
    client.batch_execute(&format!("BEGIN; SELECT FROM {schema}.counted WHERE type = 'total' FOR UPDATE"))?;
    other.batch_execute(&format!("INSERT INTO {schema}.counted VALUES ('delta', 1)"))?;
    let mut waiting = |expected: i64| {
        let sql = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = $1 AND wait_event_type = 'Lock'";
        let missing = tell!(
            "{expected} workers that wait for a lock were not seen",
            "ロックを待つワーカーが {expected} 個になりませんでした。"
        );
        server.eventually(missing, limit(), || {
            (other.query_one(sql, &[&subject.step]).ok()?.get::<_, i64>(0) == expected).then_some(())
        })
    };
    waiting(2)?;
    client.batch_execute(&format!("DELETE FROM {schema}.counted WHERE type = 'delta'; COMMIT"))?;
    waiting(0)?;
    // What each worker had to say stands in the log when it has ended: a worker of this step finishes its cycle before.
    drop((client, other));
    server.stop(Mode::Fast)?;
    let log = server.log();
    if let Some(line) = log.lines().find(|line| line.contains("rolled back")) {
        return Err(server.failure(tell!(
            "a worker found nothing to do, and has reported an error: {line}",
            "することがなかっただけなのに、ワーカーがエラーを報告しました: {line}"
        )));
    }
    Ok(())
}

/// A delta that overflows the total: rolled back, one line in the log for each nap, no CPU burnt, and all goes on once it is gone.
fn poison(subject: &Subject) -> Result<()> {
    let (server, mut client) = ready(subject, &[])?;
    let schema = subject.short();
    let pids = [subject.pid(&server, 1)?, subject.pid(&server, 2)?];
    let mark = server.mark();
    client.batch_execute(&format!(
        "INSERT INTO {schema}.counted VALUES ('total', 2147483647), ('delta', 1), ('delta', 2)"
    ))?;
    server.wait_log(mark, "integer out of range")?;
    let (start, cpu) = (Instant::now(), cpu_ticks(&pids)?);
    // Wakes the workers again and again: that must not make them try again before their nap is over.
    while start.elapsed() < Duration::from_secs(2) {
        pids.iter().try_for_each(|pid| signal(*pid, "USR1"))?;
        std::thread::sleep(Duration::from_millis(50));
    }
    let log = server.log();
    let lines = log[mark..].lines().filter(|line| line.contains("integer out of range")).count();
    let naps = 2 * (start.elapsed().as_secs() as usize + 2);
    expect(&server, lines <= naps, || {
        tell!(
            "the error has {lines} lines in the log, expected at most {naps}",
            "エラーのログは多くても {naps} 行のはずですが、{lines} 行ありました。"
        )
    })?;
    let used = cpu_ticks(&pids)? - cpu;
    expect(&server, used <= 20, || {
        let used = used * 10;
        tell!(
            "the workers have used {used} ms of CPU in 2 s, expected next to nothing",
            "ワーカーは CPU をほとんど使わないはずですが、2 秒間に {used} ミリ秒使いました。"
        )
    })?;
    // Meanwhile the others go on: a client's delta is taken as ever.
    client.batch_execute(&format!("SET lock_timeout = '1s'; INSERT INTO {schema}.counted VALUES ('delta', 0)"))?;
    let sum = number(&mut client, &format!("SELECT sum(value) FROM {schema}.counted"))?;
    expect(&server, sum == 2147483650, || {
        tell!(
            "total and deltas add up to {sum}, expected 2147483650: something is lost",
            "total と delta の和は 2147483650 のはずですが、{sum} でした。何かが失われています。"
        )
    })?;
    client.batch_execute(&format!("UPDATE {schema}.counted SET value = 10 WHERE type = 'total'"))?;
    let seen = total(subject, &server, &mut client)?;
    let after = [subject.pid(&server, 1)?, subject.pid(&server, 2)?];
    total_is(&server, seen, 13)?;
    same_workers(&server, pids, after)
}

/// The code returns an `Err`, as the row has another type than it takes: the transaction is rolled back all the same, and the next
/// cycle meets the same and nothing else.
fn err(subject: &Subject) -> Result<()> {
    let (server, mut client) = ready(subject, &[])?;
    let table = format!("{}.counted", subject.short());
    let mut other = server.connect("template1")?;
    let pids = [subject.pid(&server, 1)?, subject.pid(&server, 2)?];
    client.batch_execute(&format!("SET lock_timeout = '5s'; ALTER TABLE {table} ALTER value TYPE int8"))?;
    let (mark, says) = (server.mark(), "is not compatible with the Rust type");
    let rollbacks = "SELECT xact_rollback FROM pg_stat_database WHERE datname = 'postgres'";
    let before = number(&mut other, rollbacks)?;
    client.batch_execute(&format!("INSERT INTO {table} VALUES ('delta', 1)"))?;
    server.wait_log(mark, says)?;
    // With three of them, one of two workers has met it twice.
    let missing = tell!("no 3 cycles were rolled back", "ロールバックされたサイクルが 3 回になりませんでした。");
    server.eventually(missing, limit(), || (number(&mut other, rollbacks).ok()? >= before + 3).then_some(()))?;
    let log = server.log();
    let another = log[mark..].lines().find(|line| line.contains("rolled back: ") && !line.contains(says));
    expect(&server, another.is_none(), || {
        let line = another.unwrap_or_default();
        tell!(
            "expected cycles that are rolled back with \"{says}\" only, seen: {line}",
            "サイクルは「{says}」だけでロールバックされるはずですが、次の行がありました: {line}"
        )
    })?;
    let left = number(&mut client, &format!("SELECT count(*) FROM {table} WHERE type = 'delta'"))?;
    expect(&server, left == 1, || {
        tell!(
            "a cycle has returned an Err and has changed the table all the same: {left} deltas are left, expected 1",
            "Err を返したサイクルがテーブルを変えています。delta は 1 行残るはずですが、{left} 行でした。"
        )
    })?;
    client.batch_execute(&format!("ALTER TABLE {table} ALTER value TYPE int4"))?;
    let seen = total(subject, &server, &mut client)?;
    total_is(&server, seen, 1)?;
    same_workers(&server, pids, [subject.pid(&server, 1)?, subject.pid(&server, 2)?])
}

fn same_workers(server: &Throwaway, before: [i32; 2], after: [i32; 2]) -> Result<()> {
    expect(server, before == after, || {
        tell!(
            "the workers' PIDs were {before:?} and are {after:?}, expected the same processes",
            "ワーカーは同じプロセスのままのはずですが、PID が {before:?} から {after:?} に変わりました。"
        )
    })
}

fn statistics(subject: &Subject) -> Result<()> {
    let (server, mut client) = ready(subject, &[])?;
    let schema = subject.short();
    client.batch_execute(&format!("INSERT INTO {schema}.counted SELECT 'delta', 0 FROM generate_series(1, 10)"))?;
    total(subject, &server, &mut client)?;
    let deleted = format!("SELECT n_tup_del FROM pg_stat_user_tables WHERE schemaname = '{schema}'");
    let missing = tell!(
        "the worker has not reported ten deleted rows in pg_stat_user_tables",
        "動作中のワーカーが削除した 10 行が pg_stat_user_tables に現れませんでした。"
    );
    server.eventually(missing, limit(), || (number(&mut client, &deleted).ok()? >= 10).then_some(()))
}

/// Idle cycles, driven by SIGUSR1 and counted by the workers' commits: no transaction ID, no WAL.
fn idle_writes_nothing(subject: &Subject) -> Result<()> {
    let conf = ["autovacuum = off", "wal_level = minimal", "max_wal_senders = 0", "checkpoint_timeout = 1h"];
    let (server, mut client) = ready(subject, &conf)?;
    let pids = [subject.pid(&server, 1)?, subject.pid(&server, 2)?];
    drive(&server, &pids, 4)?; // settles: hint bits and the like are written once
    // The server's own writing, from 18 on also each worker's.
    let by_worker = |client: &mut Client| -> Result<i64> {
        match subject.installation.major {
            ..18 => Ok(0),
            _ => {
                let sql =
                    "SELECT sum((pg_stat_get_backend_wal(pid)).wal_records) FROM pg_stat_activity WHERE pid = ANY($1)";
                Ok(client.query_one(&format!("SELECT ({sql})::int8"), &[&&pids[..]])?.get(0))
            }
        }
    };
    let records = by_worker(&mut client)?;
    let place = "SELECT pg_current_wal_insert_lsn()::text || ' ' || pg_snapshot_xmax(pg_current_snapshot())::text";
    let before: String = client.query_one(place, &[])?.get(0);
    drive(&server, &pids, 1000)?;
    let after: String = client.query_one(place, &[])?.get(0);
    expect(&server, before == after, || {
        tell!(
            "WAL position and next transaction ID: {before} before 1,000 idle cycles, {after} after",
            "WAL の位置と次のトランザクション ID が、仕事のないサイクル 1,000 回の前は {before}、後は {after} でした。"
        )
    })?;
    let more = by_worker(&mut client)? - records;
    expect(&server, more == 0, || {
        tell!(
            "the workers have written {more} WAL records in 1,000 idle cycles",
            "仕事のないサイクル 1,000 回の間に、ワーカーが WAL レコードを {more} 個書きました。"
        )
    })
}

/// `statement_timeout` is not armed in a worker; `lock_timeout` is.
fn lock_timeout(subject: &Subject) -> Result<()> {
    let (server, mut client) = ready(subject, &[])?;
    let schema = subject.short();
    client.batch_execute(
        "ALTER DATABASE postgres SET statement_timeout = '200ms'; ALTER DATABASE postgres SET lock_timeout = '1s'",
    )?;
    let before = subject.pid(&server, 1)?;
    signal(before, "TERM")?;
    subject.other_pid(&server, 1, before)?;
    let mark = server.mark();
    client.batch_execute(&format!("SET statement_timeout = 0; BEGIN; LOCK TABLE {schema}.counted"))?;
    let line = server.wait_log(mark, "canceling statement due to")?;
    client.batch_execute("COMMIT")?;
    expect(&server, line.contains("lock timeout"), || {
        tell!(
            "expected a lock timeout, seen: {line}",
            "lock_timeout で終わるはずですが、ログは次のとおりでした: {line}"
        )
    })
}

/// A table that an ordinary user owns, with a trigger of that user, which does this whenever the worker has deleted a delta.
fn trigger_of_mallory(subject: &Subject, does: &str) -> Result<(Throwaway, Client)> {
    let (server, mut client) = ready(subject, &[])?;
    let schema = subject.short();
    client.batch_execute(&format!(
        "CREATE ROLE mallory; CREATE TABLE seen (what text); GRANT INSERT ON seen TO mallory;
         GRANT USAGE ON SCHEMA {schema} TO mallory; GRANT CREATE ON SCHEMA public TO mallory;
         ALTER TABLE {schema}.counted OWNER TO mallory; SET ROLE mallory;
         CREATE FUNCTION look() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {does}; RETURN NULL; END $$;
         CREATE TRIGGER look AFTER DELETE ON {schema}.counted EXECUTE FUNCTION look();
         RESET ROLE"
    ))?;
    Ok((server, client))
}

/// What the trigger has noted while the worker counted so many deltas, one after the other.
fn noted(subject: &Subject, server: &Throwaway, client: &mut Client, deltas: usize) -> Result<String> {
    for _ in 0..deltas {
        client.batch_execute(&format!("INSERT INTO {}.counted VALUES ('delta', 1)", subject.short()))?;
        total(subject, server, client)?;
    }
    let seen: Option<String> = client.query_one("SELECT string_agg(DISTINCT what, '; ') FROM seen", &[])?.get(0);
    seen.ok_or_else(|| server.failure(tell!("the trigger has not run", "トリガが動きませんでした。")))
}

/// An ordinary user owns the table and puts a trigger on it. It must not run as the worker, which is a superuser, and an attempt to
/// become who the session is must fail.
fn trigger_rights(subject: &Subject) -> Result<()> {
    let look = "BEGIN RESET ROLE; EXCEPTION WHEN OTHERS THEN NULL; END;
                INSERT INTO public.seen VALUES (current_user)";
    let (server, mut client) = trigger_of_mallory(subject, look)?;
    let who = noted(subject, &server, &mut client, 1)?;
    expect(&server, who == "mallory", || {
        tell!(
            "the trigger ran as {who}, expected as mallory",
            "トリガは mallory の権限で動くはずですが、{who} の権限で動きました。"
        )
    })
}

/// What the trigger sets must be gone in the worker's next cycle. Of three cycles one of two workers runs at least two.
fn trigger_settings(subject: &Subject) -> Result<()> {
    let look =
        "INSERT INTO public.seen VALUES (current_setting('search_path') || ' / ' || current_setting('work_mem'));
                PERFORM set_config('search_path', 'public', false), set_config('work_mem', '64kB', false)";
    let (server, mut client) = trigger_of_mallory(subject, look)?;
    let seen = noted(subject, &server, &mut client, 3)?;
    let expected = "pg_catalog, pg_temp / 4MB";
    expect(&server, seen == expected, || {
        tell!(
            "search_path / work_mem in three cycles: {seen}, expected {expected} in each",
            "3 回のサイクルの search_path / work_mem は、どれも {expected} のはずですが、{seen} でした。"
        )
    })
}

/// Rows of another table that reference a delta go with it, as the foreign key says. Otherwise it could not be made anew, as it is
/// when a dump is restored.
fn foreign_key(subject: &Subject) -> Result<()> {
    let (server, mut client) = ready(subject, &[])?;
    let schema = subject.short();
    client.batch_execute(&format!(
        "ALTER TABLE {schema}.counted ADD id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY;
         CREATE TABLE child (id int CONSTRAINT parent REFERENCES {schema}.counted ON DELETE CASCADE);
         WITH delta AS (INSERT INTO {schema}.counted VALUES ('delta', 1) RETURNING id) INSERT INTO child SELECT id FROM delta"
    ))?;
    total(subject, &server, &mut client)?;
    let left = number(&mut client, "SELECT count(*) FROM child")?;
    let again = client.batch_execute(&format!(
        "ALTER TABLE child DROP CONSTRAINT parent; ALTER TABLE child ADD FOREIGN KEY (id) REFERENCES {schema}.counted"
    ));
    expect(&server, left == 0 && again.is_ok(), || {
        let seen = again.err().map_or_else(String::new, |error| format!(": {}", reason(&error)));
        tell!(
            "rows that reference a deleted delta, with ON DELETE CASCADE: expected 0, seen {left}{seen}",
            "削除された delta を ON DELETE CASCADE で参照する行は残らないはずですが、{left} 行ありました{seen}"
        )
    })
}

/// On a standby the worker looks, and writes nothing. After the promotion it works.
fn standby_reads(subject: &Subject) -> Result<()> {
    let (primary, mut client) = ready(subject, &[])?;
    let schema = subject.short();
    // A delta that nobody can count, so that there is work on the standby.
    client.batch_execute(&format!("INSERT INTO {schema}.counted VALUES ('total', 2147483647), ('delta', 1)"))?;
    let standby = primary.standby(&[])?;
    subject.start(&standby)?;
    let pid = subject.pid(&standby, 1)?;
    drive(&standby, &[pid], 20)?;
    let log = standby.log();
    let complaint = log.lines().find(|line| line.contains("ERROR:") || line.contains("rolled back"));
    if let Some(line) = complaint {
        return Err(standby.failure(tell!(
            "on the standby the worker has failed: {line}",
            "スタンバイでワーカーが失敗しました: {line}"
        )));
    }
    expect(&standby, subject.pid_now(&standby, 1) == Some(pid), || {
        tell!("on the standby the worker has ended", "スタンバイでワーカーが終了しました。")
    })?;
    let mark = standby.mark();
    standby.promote()?;
    standby.wait_log(mark, "integer out of range")?;
    let mut client = standby.connect("postgres")?;
    client.batch_execute(&format!("UPDATE {schema}.counted SET value = 1 WHERE type = 'total'"))?;
    let seen = total(subject, &standby, &mut client)?;
    expect(&standby, seen == 2, || {
        tell!(
            "after the promotion the total is {seen}, expected 2",
            "昇格の後の total は 2 のはずですが、{seen} でした。"
        )
    })
}

fn memory(subject: &Subject) -> Result<()> {
    let (server, mut client) = ready(subject, &[])?;
    let schema = subject.short();
    let pids = [subject.pid(&server, 1)?, subject.pid(&server, 2)?];
    let mut other = server.connect("template1")?;
    let commits = "SELECT xact_commit FROM pg_stat_database WHERE datname = 'postgres'";
    let mut busy = |cycles: i64| -> Result<()> {
        let target = number(&mut other, commits)? + cycles;
        let missing = tell!("the database has not seen {cycles} commits", "コミットが {cycles} 回に達しませんでした。");
        server.eventually(missing, Duration::from_secs(300), || {
            client.batch_execute(&format!("INSERT INTO {schema}.counted VALUES ('delta', 0)")).ok()?;
            pids.iter().try_for_each(|pid| signal(*pid, "USR1")).ok()?;
            (number(&mut other, commits).ok()? >= target).then_some(())
        })
    };
    busy(2_000)?;
    let before = super::memory(&pids, "RssAnon")?;
    busy(30_000)?; // a third of these are ours; each busy cycle commits twice
    let after = super::memory(&pids, "RssAnon")?;
    expect(&server, after <= before + 200, || {
        tell!(
            "the workers had {before} kB before 10,000 busy cycles, {after} kB after",
            "ワーカーのメモリは、仕事のあるサイクル 10,000 回の前は {before} kB、後は {after} kB でした。"
        )
    })
}

/// Clients write a delta and a row of a ledger in one transaction each, while workers and server are killed in all ways, at random
/// moments. What the ledger says must be in the table.
fn nothing_lost(subject: &Subject) -> Result<()> {
    let (server, mut client) = ready(subject, &[])?;
    let schema = subject.short();
    client.batch_execute("CREATE TABLE ledger (value int8)")?;
    let stop = AtomicBool::new(false);
    let result = std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let insert = format!(
                    "WITH d AS (INSERT INTO {schema}.counted VALUES ('delta', 1)) INSERT INTO ledger VALUES (1)"
                );
                while !stop.load(Ordering::Relaxed) {
                    // The server goes away under the clients, on purpose: they come back.
                    let Ok(mut client) = server.connect("postgres") else {
                        std::thread::sleep(Duration::from_millis(20));
                        continue;
                    };
                    loop {
                        if stop.load(Ordering::Relaxed) || client.batch_execute(&insert).is_err() {
                            break;
                        }
                    }
                }
            });
        }
        // Awake all the time, so that the end comes in the middle of something.
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let workers = server.processes(&subject.step);
                workers.iter().for_each(|(pid, _)| drop(signal(*pid, "USR1")));
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        let chaos = || -> Result<()> {
            let mut random = Random(std::process::id() as u64 | 1);
            for round in 0..50 {
                std::thread::sleep(Duration::from_millis(random.below(200)));
                let Some(pid) = subject.pid_now(&server, 1 + (round % 2)) else {
                    subject.pid(&server, 1 + (round % 2))?;
                    continue;
                };
                match random.below(8) {
                    0 | 1 => server.stop(Mode::Immediate).and_then(|()| server.start())?,
                    2 | 3 => {
                        let mark = server.mark();
                        signal(pid, "KILL")?;
                        server.wait_log(mark, "database system is ready to accept connections")?;
                    }
                    4 | 5 => signal(pid, "TERM")?,
                    _ => {
                        server.connect("postgres")?.execute("SELECT pg_terminate_backend($1)", &[&pid])?;
                    }
                }
            }
            Ok(())
        };
        let result = chaos();
        stop.store(true, Ordering::Relaxed);
        result
    });
    result?;
    let mut client = server.connect("postgres")?;
    let seen = total(subject, &server, &mut client)?;
    let expected = number(&mut client, "SELECT sum(value) FROM ledger")?;
    expect(&server, seen == expected && expected > 0, || {
        tell!("the ledger says {expected}, the table {seen}", "台帳では {expected} ですが、テーブルでは {seen} です。")
    })
}
