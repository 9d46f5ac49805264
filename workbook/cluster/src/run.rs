//! From source to a living worker: build, install, start, wait until the worker has reported itself, show it, open psql.

use crate::environment::Environment;
use crate::error::{Error, Result};
use crate::log::{self, Exit, Log};
use crate::messages::{Lang, Message};
use crate::process::{self, Process};
use crate::server::Cluster;
use std::fs::File;
use std::io::IsTerminal;
use std::os::unix::process::CommandExt;
use std::process::Stdio;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long a worker may take from the server's start to its own report.
const READY_LIMIT: Duration = Duration::from_secs(30);

/// How long a server that is ready may have no worker process at all, if none has failed.
const ABSENT_LIMIT: Duration = Duration::from_secs(5);

/// `scripts/run STEP`: a server with the step's worker alive in it, and psql, if there is a terminal.
pub fn run(env: &Environment, lang: Lang) -> Result<()> {
    start(env, lang, false)?;
    let again = Message::Stop(env.step.clone());
    println!("\n{}", again.text(lang));
    if std::io::stdin().is_terminal() && std::io::stdout().is_terminal() {
        println!("{}", Message::Psql.text(lang));
        // psql takes our place, so that Ctrl-C is its own.
        let error = Cluster::new(env).psql().exec();
        return Err(Error::new(Message::CannotRun { program: "psql".into(), why: error.to_string() }, Message::SetUp));
    }
    Ok(())
}

/// Builds the step, starts its server, and shows its living worker; with `quiet`, without a word.
pub fn start(env: &Environment, lang: Lang, quiet: bool) -> Result<()> {
    let begin = Instant::now();
    let cluster = Cluster::new(env);
    let say = |message: Message| {
        if !quiet {
            println!("{}", message.text(lang));
        }
    };

    // Two of us at once would stop each other's server. The lock is not passed on to the server.
    let lock = lock(env, &say)?;
    say(Message::Building(env.step.clone()));
    build_and_install(env, quiet)?;
    cluster.stop()?;
    say(Message::Starting { step: env.step.clone(), port: env.port });
    let log = cluster.start()?;
    say(Message::Waiting);
    let workers = wait_for_workers(env, &cluster, &log)?;
    drop(lock);

    say(Message::Alive { step: env.step.clone(), seconds: begin.elapsed().as_secs() });
    if !quiet {
        show(&cluster, &log, &workers, lang)?;
    }

    // The proof of life comes last: a worker may have died while we were showing it.
    let alive = process::workers(&process::all(), cluster.postmaster().unwrap_or(0), &env.step);
    if !workers.iter().any(|w| alive.iter().any(|a| a.pid == w.pid)) {
        return Err(Error::new(Message::WorkerNotAlive(env.step.clone()), env.follow_log()).with_log(log.tail(15)));
    }
    Ok(())
}

fn lock(env: &Environment, say: &dyn Fn(Message)) -> Result<File> {
    let path = env.home.join(".run.lock");
    let unable = |error: std::io::Error| {
        Error::new(Message::CannotRun { program: path.display().to_string(), why: error.to_string() }, Message::Clean)
    };
    let file = File::create(&path).map_err(unable)?;
    if file.try_lock().is_err() {
        say(Message::AnotherRun);
        file.lock().map_err(unable)?;
    }
    Ok(file)
}

fn build_and_install(env: &Environment, quiet: bool) -> Result<()> {
    let output = || if quiet { Stdio::null() } else { Stdio::inherit() };
    let status = env
        .command("cargo")
        .args(["pgrx", "install", "--pg-config"])
        .arg(&env.pg_config)
        .current_dir(&env.source)
        .stdout(output())
        .stderr(output())
        .status()
        .map_err(|error| {
            Error::new(Message::CannotRun { program: "cargo pgrx".into(), why: error.to_string() }, Message::SetUp)
        })?;
    if status.success() {
        return Ok(());
    }
    let source = env.source.strip_prefix(&env.root).unwrap_or(&env.source).display().to_string();
    Err(Error::new(Message::BuildFailed(env.step.clone()), Message::Fix { source, again: env.again() }))
}

/// Waits until every living worker of the step has reported itself. Ends early when that will not happen any more.
fn wait_for_workers(env: &Environment, cluster: &Cluster, log: &Log) -> Result<Vec<Process>> {
    let begin = Instant::now();
    let postmaster = cluster.postmaster().unwrap_or(0);
    let mut looked = Instant::now();
    let mut absent_since = None;
    let failed = |cause: Message| Err(Error::new(cause, env.follow_log()).with_log(log.tail(15)));
    loop {
        let lines = log.lines();
        let started: Vec<u32> = lines.iter().filter_map(|line| Some(log::started(line, &env.step)?.0)).collect();
        // The process table costs more than the log: look when there is a report, and now and then.
        if !started.is_empty() || looked.elapsed() > Duration::from_millis(300) {
            looked = Instant::now();
            let all = process::all();
            let living = process::workers(&all, postmaster, &env.step);
            if !living.is_empty() && living.iter().all(|w| started.contains(&w.pid)) {
                return Ok(living);
            }
            if !all.iter().any(|p| p.pid == postmaster) {
                return failed(Message::ServerGone);
            }
            if !living.is_empty() || lines.iter().any(|line| log::ended(line).is_some()) {
                absent_since = None;
            } else if absent_since.get_or_insert_with(Instant::now).elapsed() > ABSENT_LIMIT {
                return failed(Message::NoWorker(env.step.clone()));
            }
        }
        if let Some(cause) = hopeless(env, &lines) {
            let result = failed(cause.clone());
            if matches!(cause, Message::WorkerCrashed { .. }) {
                // Otherwise the server would go through recovery once a second, and fill its log.
                cluster.stop()?;
            }
            return result;
        }
        if lines.iter().any(|line| line.contains("too many background workers")) {
            return Err(Error::new(Message::TooManyWorkers, Message::RaiseWorkers).with_log(log.tail(15)));
        }
        if begin.elapsed() > READY_LIMIT {
            let step = env.step.clone();
            return failed(match started.is_empty() {
                true => Message::WorkerSilent { step, seconds: READY_LIMIT.as_secs() },
                false => Message::WorkerNotAlive(step),
            });
        }
        sleep(Duration::from_millis(30)); // a file and the process table have no event that can be awaited everywhere
    }
}

/// Why there will be no worker, if the log shows it: it ended by a signal, or twice with an exit code.
/// (The end with exit code 0 is not logged: PostgreSQL finds it worth a DEBUG1 only.)
pub fn hopeless(env: &Environment, lines: &[String]) -> Option<Message> {
    let ends: Vec<_> = lines.iter().filter_map(|l| log::ended(l)).filter(|e| e.worker.starts_with(&env.step)).collect();
    for end in &ends {
        let worker = end.worker.clone();
        match &end.how {
            Exit::Signal(signal) => return Some(Message::WorkerCrashed { worker, signal: signal.clone() }),
            Exit::Code(code) if ends.iter().filter(|e| e.worker == end.worker).count() >= 2 => {
                // The reason, if the worker has given one, is in its own line.
                let why = lines.iter().find_map(|l| {
                    let (before, why) = l.split_once("FATAL:  ").or_else(|| l.split_once("ERROR:  "))?;
                    (log::pid_of(before)? == end.pid).then(|| why.to_string())
                });
                return Some(match why {
                    Some(why) => Message::WorkerFatal { worker, why },
                    None => Message::WorkerKeepsDying { worker, code: code.clone() },
                });
            }
            Exit::Code(_) => {}
        }
    }
    None
}

fn show(cluster: &Cluster, log: &Log, workers: &[Process], lang: Lang) -> Result<()> {
    let heading = |message: Message| println!("\n{}", message.text(lang));
    let indent = |text: &str| text.trim_end().lines().for_each(|line| println!("    {}", line.trim_end()));

    heading(Message::ProcessTable);
    let mut pids: Vec<u32> = cluster.postmaster().into_iter().collect();
    pids.extend(workers.iter().map(|w| w.pid));
    indent(&process::table(&pids));

    let list = workers.iter().map(|w| w.pid.to_string()).collect::<Vec<_>>().join(", ");
    let from = format!("FROM pg_stat_activity WHERE pid IN ({list})");
    if cluster.query(&format!("SELECT count(*) {from}"), true)?.trim() == "0" {
        heading(Message::NoActivityRow);
    } else {
        heading(Message::Activity);
        let columns = "pid, backend_type, datname, usename, application_name, state, wait_event_type, wait_event";
        indent(&cluster.query(&format!("SELECT {columns} {from} ORDER BY pid"), false)?);
    }
    heading(Message::LogLines(cluster.log_path().display().to_string()));
    indent(&log.tail(8).join("\n"));
    Ok(())
}
