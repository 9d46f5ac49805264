//! The throw-away clusters themselves: start, crash, standby, and nothing left behind.

use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use workbook::throwaway::{Installation, Mode, Result, Throwaway, limit};

fn installation() -> Result<Arc<Installation>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().ok_or("no folder above the crate")?;
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
fn a_wait_ends_with_the_log() -> Result<()> {
    let cluster = Throwaway::new(&installation()?, &[])?;
    cluster.start()?;
    let error = cluster
        .eventually("the moon", Duration::from_millis(50), || None::<()>)
        .expect_err("there is no moon")
        .to_string();
    assert!(error.starts_with("the moon: not within 50ms"), "{error}");
    assert!(error.contains("database system is ready to accept connections"), "{error}");
    Ok(())
}

/// The test below runs itself as a child: that makes a cluster, says where it is, and waits to be killed.
fn child() -> Result<()> {
    let cluster = Throwaway::new(&installation()?, &[])?;
    cluster.start()?;
    println!("\n{} {}", cluster.data().display(), cluster.postmaster()?);
    std::thread::sleep(Duration::from_secs(60));
    Err("nobody has killed the child".into())
}

#[test]
fn nothing_is_left_of_a_killed_test() -> Result<()> {
    if std::env::var_os("WORKBOOK_CHILD").is_some() {
        return child();
    }
    for signal in ["KILL", "INT"] {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["--exact", "nothing_is_left_of_a_killed_test", "--nocapture"])
            .env("WORKBOOK_CHILD", "1")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let mut text = String::new();
        let mut out = child.stdout.take().ok_or("no output")?;
        let end = Instant::now() + limit();
        let (data, postmaster) = loop {
            let mut bytes = [0; 1024];
            let count = out.read(&mut bytes)?;
            text.push_str(&String::from_utf8_lossy(&bytes[..count]));
            if let Some(line) = text.lines().find(|line| line.starts_with('/') && line.contains("/data ")) {
                let (data, pid) = line.split_once(' ').ok_or("no PID")?;
                break (data.to_owned(), pid.parse::<i32>()?);
            }
            assert!(count > 0 && Instant::now() < end, "the child said only: {text}");
        };
        workbook::throwaway::signal(child.id() as i32, signal)?;
        child.wait()?;
        let end = Instant::now() + limit();
        while Path::new(&data).exists() || !workbook::throwaway::gone(postmaster) {
            assert!(Instant::now() < end, "{data} or its postmaster {postmaster} is left after SIG{signal}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    Ok(())
}
