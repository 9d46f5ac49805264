//! Step 7: workers start on demand.

use super::{Check, Subject, Tier, expect, number, ready, refused, total_is};
use cluster::failure::{Result, answer, reason};
use cluster::tell;
use cluster::text::Text;
use cluster::throwaway::{Mode, Throwaway, gone, limit, signal};
use postgres::Client;
use postgres::error::SqlState;
use std::time::{Duration, Instant};

pub const CHECKS: &[Check] = &[
    Check::new("launch", Tier::Quick, launch),
    Check::new("reasons", Tier::Quick, reasons),
    Check::new("not_preloaded", Tier::Full, not_preloaded),
    Check::new("on_a_standby", Tier::Full, on_a_standby),
    Check::new("after_a_crash", Tier::Full, after_a_crash),
    Check::new("no_slot_left", Tier::Full, no_slot_left),
    Check::new("rights", Tier::Full, rights),
    Check::new("launcher", Tier::Full, launcher),
    Check::new("many", Tier::Full, many),
    super::step6::STOPS_IN_SYNC_WAIT,
    super::step6::ERRORS_OF_OTHERS,
];

fn pid(client: &mut Client, arguments: &str) -> Result<i32> {
    Ok(client.query_one(&format!("SELECT step7.launch({arguments})"), &[])?.get(0))
}

fn stop(client: &mut Client, pid: i32) -> Result<bool> {
    Ok(client.query_one("SELECT step7.stop($1)", &[&pid])?.get(0))
}

/// Fails unless `step7.stop` says that it has stopped this worker.
fn stops(server: &Throwaway, client: &mut Client, pid: i32) -> Result<()> {
    let stopped = stop(client, pid)?;
    expect(server, stopped, || {
        tell!(
            "step7.stop({pid}) has returned false: the worker was not stopped",
            "step7.stop({pid}) が false を返しました。ワーカーは停止していません。"
        )
    })
}

fn some_left() -> Text {
    tell!("some launched workers did not end", "まだ終了していない動的なワーカーがあります。")
}

fn dynamic(client: &mut Client) -> Result<i64> {
    number(client, "SELECT count(*) FROM step7.workers() WHERE kind = 'dynamic'")
}

/// Launched in a transaction that is rolled back, by a session that ends; listed and stopped by another.
fn launch(subject: &Subject) -> Result<()> {
    let (server, mut client) = ready(subject, &[])?;
    client.batch_execute("BEGIN")?;
    let worker = pid(&mut client, "7")?;
    client.batch_execute("ROLLBACK")?;
    drop(client);
    let mut client = server.connect("postgres")?;
    let row = client.query_one("SELECT worker, database::text FROM step7.workers() WHERE pid = $1", &[&worker])?;
    let (name, database): (String, String) = (row.get(0), row.get(1));
    let expected = format!("{} dynamic worker 7", subject.step);
    expect(&server, name == expected && database == "postgres", || {
        tell!(
            "step7.workers() shows \"{name}\" in the database {database}, expected \"{expected}\" in postgres",
            "step7.workers() に、データベース {database} の「{name}」が表示されました。postgres の「{expected}」のはずです。"
        )
    })?;
    stops(&server, &mut client, worker)?;
    expect(&server, gone(worker), || {
        tell!("the process is still there after step7.stop", "step7.stop の後もプロセスが残っています。")
    })?;
    let status: String = client.query_one("SELECT step7.status($1)", &[&worker])?.get(0);
    expect(&server, status == "stopped", || {
        tell!(
            "step7.status says {status} after step7.stop, expected stopped",
            "step7.stop の後の step7.status は stopped のはずですが、{status} でした。"
        )
    })
}

fn reasons(subject: &Subject) -> Result<()> {
    let (server, mut client) = ready(subject, &[])?;
    client.batch_execute("CREATE DATABASE closed ALLOW_CONNECTIONS false")?;
    client.batch_execute("CREATE ROLE nologin")?;
    for (arguments, expected) in [
        ("1, 'missing'", "ERROR 3D000: database \"missing\" does not exist"),
        ("1, NULL, 'missing'", "ERROR 42704: role \"missing\" does not exist"),
        ("1, 'closed'", "ERROR 55000: database \"closed\" is not currently accepting connections"),
        ("1, NULL, 'nologin'", "ERROR 28000: role \"nologin\" is not permitted to log in"),
    ] {
        let sql = format!("SELECT step7.launch({arguments})");
        refused(&server, &mut client, &sql, expected)?;
    }
    // They have said why before they end.
    server.eventually(some_left(), limit(), || (dynamic(&mut client).ok()? == 0).then_some(()))?;
    noticed_at_once(&server, &mut client)
}

/// A worker that ends before it can say anything, as it does not find its library: the postmaster tells the one who waits.
fn noticed_at_once(server: &Throwaway, client: &mut Client) -> Result<()> {
    let mark = server.mark();
    // For processes that start from now on. This session has the library.
    client.batch_execute("ALTER SYSTEM SET dynamic_library_path = '/nowhere'")?;
    client.batch_execute("SELECT pg_reload_conf()")?;
    server.wait_log(mark, "parameter \"dynamic_library_path\" changed to \"/nowhere\"")?;
    let backend: i32 = client.query_one("SELECT pg_backend_pid()", &[])?.get(0);
    let mut other = server.connect("postgres")?;
    let asleep = other.prepare("SELECT FROM pg_stat_activity WHERE pid = $1 AND wait_event = 'Extension'")?;
    // Who is not told looks again after a second, each time. A machine under load is slow now and then, and an alarm of
    // statement_timeout, which outlives its statement, may wake the one who waits just then: three of five count.
    let (mut quick, mut slow) = (0, Vec::new());
    while quick < 3 && slow.len() < 3 {
        let start = Instant::now();
        // The one who launches shall sleep before the worker ends. So the postmaster starts it only then.
        let held = server.hold_postmaster()?;
        std::thread::scope(|scope| -> Result<()> {
            let silent = "ERROR XX000: the worker has ended before it was ready";
            let launch = scope.spawn(|| refused(server, client, "SELECT step7.launch(1)", silent));
            let missing = tell!("step7.launch does not wait", "step7.launch が待機しません。");
            let waits = server.eventually(missing, limit(), || {
                (launch.is_finished() || !other.query(&asleep, &[&backend]).ok()?.is_empty()).then_some(())
            });
            drop(held);
            launch.join().map_err(|_| tell!("the check itself has failed", "検査そのものが失敗しました。"))??;
            waits
        })?;
        let took = start.elapsed();
        if took < Duration::from_millis(900) { quick += 1 } else { slow.push(took) }
    }
    if quick == 3 {
        return Ok(());
    }
    let took = slow.into_iter().min().unwrap_or_default().as_secs_f64();
    Err(server.failure(tell!(
        "a worker ended at its start, which step7.launch noticed only after {took:.2} s, expected at once",
        "起動直後に終わったワーカーに step7.launch はすぐに気づくはずですが、{took:.2} 秒かかりました。"
    )))
}

/// A library that is not preloaded: no static workers, and launch works all the same.
fn not_preloaded(subject: &Subject) -> Result<()> {
    let server = Throwaway::new(&subject.installation, &[])?;
    server.start()?;
    let mut client = server.connect("postgres")?;
    if let Err(error) = client.batch_execute(&format!("CREATE EXTENSION {}", subject.step)) {
        let why = answer(&error);
        return Err(server.failure(tell!("CREATE EXTENSION: {why}", "CREATE EXTENSION が失敗しました: {why}")));
    }
    let worker = pid(&mut client, "1")?;
    client.batch_execute("INSERT INTO step7.counted VALUES ('delta', 5)")?;
    let seen = super::total(subject, &server, &mut client)?;
    total_is(&server, seen, 5)?;
    stops(&server, &mut client, worker)
}

/// On a standby the database can be read, so a worker can be launched there. One that is registered for the end of the recovery is
/// started at the promotion only, and who has launched it waits.
fn on_a_standby(subject: &Subject) -> Result<()> {
    let (primary, _) = ready(subject, &[])?;
    let standby = primary.standby(&[])?;
    subject.start(&standby)?;
    let mut client = standby.connect("postgres")?;
    let patience = limit().min(Duration::from_secs(10));
    client.batch_execute(&format!("SET statement_timeout = {}", patience.as_millis()))?;
    let worker = client.query_one("SELECT step7.launch(1)", &[]).map_err(|error| {
        let (seconds, why) = (patience.as_secs_f64(), answer(&error));
        standby.failure(if error.code() == Some(&SqlState::QUERY_CANCELED) {
            tell!(
                "step7.launch has not started a worker on a standby within {seconds:.1} s",
                "{seconds:.1} 秒待ちましたが、スタンバイで step7.launch を呼んでもワーカーが起動しませんでした。"
            )
        } else {
            tell!("step7.launch on a standby: {why}", "スタンバイで step7.launch が失敗しました: {why}")
        })
    })?;
    stops(&standby, &mut client, worker.get(0))
}

/// A crash of the cluster ends launched workers for good; new ones can be launched, listed and stopped.
fn after_a_crash(subject: &Subject) -> Result<()> {
    let (server, mut client) = ready(subject, &[])?;
    let worker = pid(&mut client, "1")?;
    let mark = server.mark();
    signal(worker, "KILL")?;
    server.wait_log(mark, "database system is ready to accept connections")?;
    server.wait_log(mark, &format!("{}: started", subject.worker(1)))?;
    let mut client = server.connect("postgres")?;
    let left = dynamic(&mut client)?;
    expect(&server, left == 0, || {
        tell!(
            "{left} launched workers are back, expected none",
            "動的なワーカーは戻らないはずですが、{left} 個が再び動いています。"
        )
    })?;
    let worker = pid(&mut client, "2")?;
    let listed = dynamic(&mut client)?;
    expect(&server, listed == 1, || {
        tell!(
            "step7.workers() lists {listed} launched workers after a crash and a launch, expected 1",
            "クラッシュ後に 1 個起動したので step7.workers() の動的なワーカーは 1 個のはずですが、{listed} 個です。"
        )
    })?;
    stops(&server, &mut client, worker)
}

fn no_slot_left(subject: &Subject) -> Result<()> {
    let (server, mut client) = ready(subject, &["max_worker_processes = 6"])?;
    let mut workers = Vec::new();
    let error = loop {
        match client.query_one("SELECT step7.launch(1)", &[]) {
            Ok(row) => workers.push(row.get::<_, i32>(0)),
            Err(error) => break error,
        }
        expect(&server, workers.len() <= 6, || {
            tell!("more workers than max_worker_processes", "max_worker_processes より多くのワーカーが起動しました。")
        })?;
    };
    let hint = error.as_db_error().and_then(|db| db.hint()).unwrap_or_default().to_owned();
    expect(&server, hint.contains("max_worker_processes"), || {
        let seen = reason(&error);
        tell!(
            "the error does not name max_worker_processes: {seen}; hint: {hint}",
            "エラーに max_worker_processes が示されていません: {seen}、ヒント: {hint}"
        )
    })?;
    for worker in workers {
        stop(&mut client, worker)?;
    }
    let worker = pid(&mut client, "2")?;
    stops(&server, &mut client, worker)
}

fn rights(subject: &Subject) -> Result<()> {
    let (server, mut client) = ready(subject, &[])?;
    client
        .batch_execute("CREATE ROLE caller LOGIN; CREATE ROLE friend LOGIN; GRANT USAGE ON SCHEMA step7 TO caller")?;
    let mut caller = server.connect_as("postgres", "caller")?;
    let mut refused = |sql: &str| refused(&server, &mut caller, sql, "ERROR 42501");
    refused("SELECT step7.launch(1)")?;
    refused("SELECT step7.stop(1)")?;
    refused("SELECT * FROM step7.workers()")?;
    client.batch_execute("GRANT EXECUTE ON FUNCTION step7.launch, step7.stop TO caller")?;
    for role in ["postgres", "friend"] {
        let sql = format!("SELECT step7.launch(1, NULL, '{role}')");
        let error = refused(&sql)?;
        let hint = error.as_db_error().and_then(|db| db.hint()).unwrap_or_default();
        expect(&server, !hint.is_empty(), || {
            let seen = reason(&error);
            tell!("{sql}: the error has no HINT: {seen}", "{sql}: エラーに HINT がありません: {seen}")
        })?;
    }
    refused("SELECT step7.launch(1, NULL, NULL, '{ALLOWCONN}')")?;
    let worker = pid(&mut client, "1")?;
    refused(&format!("SELECT step7.stop({worker})"))?;
    stop(&mut client, worker)?;
    client.batch_execute("GRANT friend TO caller")?;
    let sql = "SELECT step7.launch(1, NULL, 'friend')";
    let worker = caller.query_one(sql, &[]).map_err(|error| {
        let why = answer(&error);
        server.failure(tell!(
            "{sql}: refused to a caller who may SET ROLE to friend: {why}",
            "{sql}: 呼び出し元は friend に SET ROLE できますが、拒否されました: {why}"
        ))
    })?;
    stops(&server, &mut caller, worker.get(0))
}

fn launcher(subject: &Subject) -> Result<()> {
    let conf = ["step7.launcher = on", "step7.naptime = '100ms'", "max_worker_processes = 16"];
    let (server, mut client) = ready(subject, &conf)?;
    let sql = "SELECT string_agg(database, ' ' ORDER BY database) FROM step7.workers() WHERE kind = 'database'";
    let mut databases = |expected: &str| {
        let missing = tell!(
            "no workers in exactly these databases: {expected}",
            "ワーカーのいるデータベースが、次のとおりになりませんでした: {expected}"
        );
        server.eventually(missing, limit(), || {
            (client.query_one(sql, &[]).ok()?.get::<_, Option<String>>(0).as_deref() == Some(expected)).then_some(())
        })
    };
    databases("postgres")?;
    let mut other = server.connect("template1")?;
    drop(server.connect("postgres")?);
    other.batch_execute("CREATE DATABASE another TEMPLATE template0")?;
    databases("another postgres")?;
    other.batch_execute("DROP DATABASE another WITH (FORCE)")?;
    databases("postgres")
}

/// Two hundred launches and stops leave no worker, no slot and no memory.
fn many(subject: &Subject) -> Result<()> {
    let (server, mut client) = ready(subject, &[])?;
    let backend: i32 = client.query_one("SELECT pg_backend_pid()", &[])?.get(0);
    let mut rounds = |count: usize| -> Result<u64> {
        for _ in 0..count {
            let worker = pid(&mut client, "1")?;
            stop(&mut client, worker)?;
        }
        // The address space: a segment of shared memory that is kept counts, too.
        super::memory(&[backend], "VmSize")
    };
    let before = rounds(20)?;
    let after = rounds(200)?;
    expect(&server, after <= before + 300, || {
        tell!(
            "the session had {before} kB, and {after} kB after 200 launches",
            "セッションのメモリは {before} kB でしたが、200 回の起動の後は {after} kB でした。"
        )
    })?;
    server.eventually(some_left(), limit(), || (dynamic(&mut client).ok()? == 0).then_some(()))?;
    server.stop(Mode::Fast)
}
