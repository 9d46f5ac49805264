//! The throw-away clusters themselves: start, crash, standby, and nothing left behind.

use cluster::Lang;
use cluster::failure::Logs;
use cluster::failure::Result;
use cluster::throwaway::{Installation, Mode, Throwaway, gone, limit, signal};
use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

fn installation() -> Result<Arc<Installation>> {
    let root = cluster::checkout();
    let script = "environment=$(scripts/lib/environment.sh step1 --quiet) && eval \"$environment\" && printf %s \"$WORKBOOK_PG_CONFIG\"";
    let out = Command::new("bash").args(["-c", script]).current_dir(root).output()?;
    Ok(Arc::new(Installation::of(Path::new(std::str::from_utf8(&out.stdout)?))?))
}

#[test]
fn stops_starts_and_survives_a_crash() -> Result<()> {
    let cluster = Throwaway::new(&installation()?, &[])?;
    cluster.start()?;
    cluster.connect("postgres")?.batch_execute("CREATE TABLE kept (n int)")?;
    for mode in [Mode::Smart, Mode::Fast, Mode::Immediate] {
        cluster.restart(mode)?;
        cluster.connect("postgres")?.batch_execute("INSERT INTO kept VALUES (1)")?;
    }
    cluster.kill_postmaster()?;
    cluster.start()?;
    let rows: i64 = cluster.connect("postgres")?.query_one("SELECT count(*) FROM kept", &[])?.get(0);
    assert_eq!(rows, 3);
    Ok(())
}

/// Shared memory that has a name outlives a postmaster that is killed. In the data directory it goes with that.
#[test]
fn named_shared_memory_lies_in_the_data_directory() -> Result<()> {
    let cluster = Throwaway::new(&installation()?, &[])?;
    cluster.start()?;
    assert!(std::fs::read_dir(cluster.data().join("pg_dynshmem"))?.next().is_some());
    Ok(())
}

#[test]
fn a_standby_follows_and_is_promoted() -> Result<()> {
    let primary = Throwaway::new(&installation()?, &[])?;
    primary.start()?;
    let standby = primary.standby(&[])?;
    standby.start()?;
    primary.connect("postgres")?.batch_execute("CREATE TABLE followed ()")?;
    let mut client = standby.connect("postgres")?;
    standby.eventually("the table on the standby", limit(), || {
        client.query_one("SELECT 'followed'::regclass", &[]).ok()
    })?;
    standby.promote()?;
    client.batch_execute("DROP TABLE followed")?;
    Ok(())
}

#[test]
#[should_panic(expected = "an assertion of PostgreSQL's failed: TRAP: made up")]
fn a_failed_assertion_does_not_go_unseen() {
    let cluster = installation().and_then(|installation| Throwaway::new(&installation, &[])).expect("a cluster");
    cluster.start().expect("it starts");
    let mut client = cluster.connect("postgres").expect("a connection");
    // What a program writes that the server starts is in the log, as what the server writes itself when an assertion fails.
    client.batch_execute("COPY (SELECT 'TRAP: made up') TO PROGRAM 'cat >&2'").expect("a line in the log");
}

#[test]
fn a_wait_ends_with_the_log() -> Result<()> {
    let cluster = Throwaway::new(&installation()?, &[])?;
    cluster.start()?;
    let error = cluster
        .eventually("no moon", Duration::from_millis(100), || None::<()>)
        .expect_err("there is no moon")
        .to_string();
    assert!(error.starts_with("no moon within 0.1 s"), "{error}");
    assert!(error.contains("database system is ready to accept connections"), "{error}");
    Ok(())
}

/// An SQL error says all that the server has answered, and shows the log of the cluster that answered, though that is gone by then.
#[test]
fn an_sql_error_is_shown_with_the_log() -> Result<()> {
    let installation = installation()?;
    let logs = Logs::default();
    let fails = || -> Result<()> {
        let new = || Ok::<_, cluster::Failure>(Throwaway::new(&installation, &[])?.keep_log(&logs));
        let (one, other) = (new()?, new()?);
        one.start()?;
        other.start()?;
        let mut client = one.connect("postgres")?;
        Ok(client.batch_execute("DO $$ BEGIN RAISE 'no moon' USING DETAIL = 'Clouds.', HINT = 'Wait.'; END $$")?)
    };
    let failed = logs.complete(fails().expect_err("it raises an error"));
    let answer = "ERROR P0001: no moon\nDETAIL:  Clouds.\nHINT:  Wait.";
    assert_eq!(failed.what.get(Lang::En), format!("an SQL statement failed: {answer}"));
    assert_eq!(failed.what.get(Lang::Ja), format!("SQL 文がエラーになりました: {answer}"));
    assert!(failed.log.iter().any(|line| line.ends_with("ERROR:  no moon")), "{:?}", failed.log);
    assert!(failed.log.iter().any(|line| line.contains("STATEMENT:  DO")), "{:?}", failed.log);
    Ok(())
}

/// The tests below run themselves as children. A child makes a cluster, says where it is, and waits to be killed, or ends at once.
fn child() -> Result<()> {
    let cluster = Throwaway::new(&installation()?, &[])?;
    cluster.start()?;
    println!("\n{} {}", cluster.data().display(), cluster.postmaster()?);
    if std::env::var_os("WORKBOOK_CHILD").is_some_and(|kind| kind == "brief") {
        return Ok(());
    }
    std::thread::sleep(Duration::from_secs(60));
    Err("nobody has killed the child".into())
}

/// Starts a child, and returns it with its data directory and its postmaster.
fn with_child(test: &str, kind: &str) -> Result<(Child, String, i32)> {
    let mut child = Command::new(std::env::current_exe()?)
        .args(["--exact", test, "--nocapture"])
        .env("WORKBOOK_CHILD", kind)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let mut text = String::new();
    let mut out = child.stdout.take().ok_or("no output")?;
    let end = Instant::now() + limit();
    loop {
        let mut bytes = [0; 1024];
        let count = out.read(&mut bytes)?;
        text.push_str(&String::from_utf8_lossy(&bytes[..count]));
        if let Some(line) = text.lines().find(|line| line.starts_with('/') && line.contains("/data ")) {
            let (data, pid) = line.split_once(' ').ok_or("no PID")?;
            return Ok((child, data.to_owned(), pid.parse()?));
        }
        assert!(count > 0 && Instant::now() < end, "the child said only: {text}");
    }
}

fn all_gone(data: &str, postmaster: i32, after: &str) {
    let end = Instant::now() + limit();
    while Path::new(data).exists() || !gone(postmaster) {
        assert!(Instant::now() < end, "{data} or its postmaster {postmaster} is left after {after}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn nothing_is_left_of_a_killed_test() -> Result<()> {
    if std::env::var_os("WORKBOOK_CHILD").is_some() {
        return child();
    }
    for name in ["KILL", "INT"] {
        let (mut child, data, postmaster) = with_child("nothing_is_left_of_a_killed_test", "1")?;
        signal(child.id() as i32, name)?;
        child.wait()?;
        all_gone(&data, postmaster, name);
    }
    Ok(())
}

/// Where the machine went down, a folder is left whose numbers are those of others after the next start.
#[test]
fn what_has_the_number_of_a_server_that_is_gone_lives_on() -> Result<()> {
    const NAME: &str = "what_has_the_number_of_a_server_that_is_gone_lives_on";
    if std::env::var_os("WORKBOOK_CHILD").is_some() {
        return child();
    }
    // Of the user that pg_ctl runs as, as a server of the reader's may be.
    let script = r#"
        [ "$(id -u)" != 0 ] || become="setpriv --reuid nobody --regid $(id -g nobody) --clear-groups"
        data=$1/workbook-$(id -u)/cleft/data; mkdir -p "$data"; echo 18 > "$data/PG_VERSION"
        printf '%s\n' $$ "$data" 1700000000 5432 "$data" '' '  12345678       123' > "$data/postmaster.pid"
        chmod 755 "$1"; touch -d '2 minutes ago' "${data%/data}"
        exec $become env --default-signal=QUIT sleep 1000"#; // a shell in the background ignores it
    let clusters = tempfile::Builder::new().prefix("bg").rand_bytes(4).tempdir_in("/var/tmp")?;
    let mut other = Command::new("bash").args(["-c", script, "other"]).arg(clusters.path()).spawn()?;
    let left = clusters.path().join(format!("workbook-{}/cleft", rustix::process::getuid().as_raw()));
    let aged = || std::fs::metadata(&left).ok()?.modified().ok()?.elapsed().ok().filter(|age| age.as_secs() > 60);
    let end = Instant::now() + limit();
    while aged().is_none() {
        assert!(Instant::now() < end, "nothing is left in {}", left.display());
        std::thread::sleep(Duration::from_millis(20));
    }
    let test = Command::new(std::env::current_exe()?)
        .args(["--exact", NAME])
        .env("WORKBOOK_CHILD", "brief")
        .env("WORKBOOK_CLUSTERS", clusters.path())
        .stdout(Stdio::null())
        .status()?;
    let lives = other.try_wait()?.is_none();
    other.kill()?;
    other.wait()?;
    assert!(test.success() && !left.exists(), "it was not removed");
    assert!(lives, "another process was stopped");
    Ok(())
}

/// Whoever kills the guard, too, leaves a running server. The next process that makes a cluster removes it.
#[test]
fn what_is_left_all_the_same_is_swept() -> Result<()> {
    const NAME: &str = "what_is_left_all_the_same_is_swept";
    if std::env::var_os("WORKBOOK_CHILD").is_some() {
        return child();
    }
    let (mut first, data, postmaster) = with_child(NAME, "1")?;
    let folder = data.strip_suffix("/data").ok_or("no data directory")?;
    let guards = Command::new("pgrep").args(["-f", &format!("guard .*{folder}$")]).output()?;
    for pid in String::from_utf8(guards.stdout)?.split_whitespace() {
        signal(pid.parse()?, "KILL")?;
    }
    signal(first.id() as i32, "KILL")?;
    first.wait()?;
    assert!(Path::new(&data).exists() && !gone(postmaster), "the guard has not been killed");
    let aged = Command::new("touch").args(["-d", "2 minutes ago", folder]).status()?;
    assert!(aged.success());
    let (mut second, _, _) = with_child(NAME, "brief")?;
    second.wait()?;
    all_gone(&data, postmaster, "the next start");
    Ok(())
}
