//! The checks: what a step's worker must do, judged from outside, through SQL, the server log, the process table and signals.
//!
//! A check knows nothing of the code that it judges: the finished step, a learner's copy and a wrong answer are all the same to it.
//! Its title and explanation are in `steps/<step>/checks.toml`, in both languages.

mod step1;
mod step2;
mod step3;
mod step4;
mod step5;
mod step6;
mod step7;
mod worker_spi;

use cluster::failure::{Failure, Logs, Result, reason};
use cluster::log;
use cluster::tell;
use cluster::text::Text;
use cluster::throwaway::{Installation, Mode, Throwaway, ended, limit, signal, status};
use postgres::Client;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

/// When a check is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tier {
    /// Within a few seconds of every change.
    Quick,
    /// With the others of its step.
    Full,
    /// Chaos and soak: for CI.
    Long,
}

/// One thing that a step's worker must do.
pub struct Check {
    /// Its name, unique within the step.
    pub id: &'static str,
    /// When it is run.
    pub tier: Tier,
    /// Fails with what was expected and what was seen.
    pub run: fn(&Subject) -> Result<()>,
    /// From which step on it does not hold any more, since the idea of that step changes the matter.
    until: Option<usize>,
}

impl Check {
    const fn new(id: &'static str, tier: Tier, run: fn(&Subject) -> Result<()>) -> Self {
        Self { id, tier, run, until: None }
    }

    /// Steps after its own must pass it, too, but only those before this one; and why.
    const fn until(mut self, step: usize, why: &'static str) -> Self {
        assert!(!why.is_empty());
        self.until = Some(step);
        self
    }
}

impl Check {
    /// Runs it. An error of an SQL statement has the log of its server below it.
    pub fn judge(&self, subject: &Subject) -> Result<()> {
        (self.run)(subject).map_err(|failure| subject.complete(failure))
    }
}

/// The checks of all that is judged, by the full name: of the steps, and of `worker_spi`, which is none and has no exercise.
pub fn all() -> impl Iterator<Item = (&'static str, &'static [Check])> {
    steps().into_iter().chain([("worker_spi", worker_spi::CHECKS)])
}

/// What only newer majors have, by the check that judges it. On others that check is not run, so that it does not count as passed.
const SINCE: [(&str, &str, u16); 2] = [("worker_spi", "interruptible", 19), ("worker_spi", "not_interruptible", 19)];

/// From which major on there is something to judge.
pub fn since(step: &str, check: &Check) -> u16 {
    SINCE.iter().find(|(of, id, _)| (*of, *id) == (step, check.id)).map_or(0, |(_, _, major)| *major)
}

/// The checks of all steps, by the step's full name.
pub fn steps() -> [(&'static str, &'static [Check]); 7] {
    [
        ("step1_registration", step1::CHECKS),
        ("step2_db_connection", step2::CHECKS),
        ("step3_spi_transaction", step3::CHECKS),
        ("step4_guc_sighup", step4::CHECKS),
        ("step5_pg_stat_activity", step5::CHECKS),
        ("step6_latch", step6::CHECKS),
        ("step7_dynamic_launch", step7::CHECKS),
    ]
}

/// The checks of the steps before that still hold in this one, each with the step that describes it.
fn earlier(step: &str) -> Vec<(&'static str, &'static Check)> {
    let place = steps().iter().position(|(name, _)| *name == step).unwrap_or(0);
    let mut found: Vec<(&'static str, &'static Check)> = Vec::new();
    for (owner, checks) in steps().into_iter().take(place) {
        let holds = |check: &&Check| check.until.is_none_or(|until| place + 1 < until);
        for check in checks.iter().filter(holds) {
            if !found.iter().any(|(_, known)| known.id == check.id) {
                found.push((owner, check));
            }
        }
    }
    found
}

/// What a step's worker must do beside its own checks: what the steps before demand, where that still holds.
pub fn inherited(step: &str) -> Vec<&'static Check> {
    let own: Vec<_> =
        all().filter(|(name, _)| *name == step).flat_map(|(_, checks)| checks).map(|own| own.id).collect();
    earlier(step).into_iter().map(|(_, check)| check).filter(|check| !own.contains(&check.id)).collect()
}

/// The step in whose `checks.toml` this check of a step is described. A step names an earlier check again where its own idea can
/// break it: then that one's.
pub fn described_in<'a>(step: &'a str, check: &str) -> &'a str {
    earlier(step).iter().find(|(_, known)| known.id == check).map_or(step, |(owner, _)| owner)
}

/// What is judged: an installation into which the library of a step has been installed.
pub struct Subject {
    /// The installation.
    pub installation: Arc<Installation>,
    /// The step's full name: that of the library, of the extension and of the workers' type.
    pub step: String,
    notes: Mutex<Vec<String>>,
    logs: Logs,
}

impl Subject {
    /// This step in this installation.
    pub fn new(installation: Arc<Installation>, step: &str) -> Self {
        Self { installation, step: step.into(), notes: Mutex::default(), logs: Logs::default() }
    }

    /// Keeps a figure that a check has measured.
    pub fn note(&self, text: String) {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner).push(text);
    }

    /// The failure with the log of the server on which an SQL statement has failed.
    pub fn complete(&self, failure: Failure) -> Failure {
        self.logs.complete(failure)
    }

    /// What the checks have measured, since the last time that this was asked.
    pub fn notes(&self) -> Vec<String> {
        std::mem::take(&mut *self.notes.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The step's short name, which is its schema and the prefix of its settings.
    pub fn short(&self) -> &str {
        self.step.split('_').next().unwrap_or(&self.step)
    }

    /// A cluster that is not started yet, with the library preloaded.
    pub fn cluster(&self, conf: &[&str]) -> Result<Throwaway> {
        let cluster = Throwaway::new(&self.installation, &[&format!("shared_preload_libraries = '{}'", self.step)])?;
        cluster.configure(conf)?;
        Ok(cluster.keep_log(&self.logs))
    }

    /// A running server, whose worker 1 has reported itself.
    pub fn server(&self, conf: &[&str]) -> Result<Throwaway> {
        let server = self.cluster(conf)?;
        self.start(&server)?;
        Ok(server)
    }

    /// Starts a cluster and waits until worker 1 has reported itself.
    pub fn start(&self, server: &Throwaway) -> Result<()> {
        let mark = server.mark();
        server.start()?;
        server.wait_log(mark, &format!("{}: started", self.worker(1)))?;
        Ok(())
    }

    /// The name of a worker.
    pub fn worker(&self, number: i32) -> String {
        format!("{} worker {number}", self.step)
    }

    /// The PID of a worker, as the process table has it; waits for the worker.
    pub fn pid(&self, server: &Throwaway, number: i32) -> Result<i32> {
        let name = self.worker(number);
        let missing = tell!("no {name} in the process table", "プロセス一覧に {name} が現れませんでした。");
        server.eventually(missing, limit(), || self.pid_now(server, number))
    }

    /// The PID of a worker if it is there now.
    pub fn pid_now(&self, server: &Throwaway, number: i32) -> Option<i32> {
        let title = format!("postgres: {}", self.worker(number));
        let found = |(pid, text): (i32, String)| {
            (text == title || text.strip_prefix(&title).is_some_and(|rest| rest.starts_with(' '))).then_some(pid)
        };
        server.processes(&self.step).into_iter().find_map(found)
    }

    /// The PID of a worker that is not this one; waits for it.
    pub fn other_pid(&self, server: &Throwaway, number: i32, before: i32) -> Result<i32> {
        let name = self.worker(number);
        let missing = tell!(
            "no {name} with another PID than {before} in the process table",
            "PID が {before} でない {name} がプロセス一覧に現れませんでした。"
        );
        server.eventually(missing, limit(), || self.pid_now(server, number).filter(|pid| *pid != before))
    }
}

/// Fails with this text if the condition does not hold.
pub fn expect(server: &Throwaway, condition: bool, what: impl FnOnce() -> Text) -> Result<()> {
    if condition { Ok(()) } else { Err(server.failure(what())) }
}

/// Fails if there is a worker of the step.
pub fn no_worker(subject: &Subject, server: &Throwaway) -> Result<()> {
    let workers = server.processes(&subject.step);
    expect(server, workers.is_empty(), || {
        let seen: Vec<_> = workers.iter().map(|(pid, title)| format!("{title} (PID {pid})")).collect();
        let seen = seen.join(", ");
        tell!("expected no worker, seen: {seen}", "ワーカーがないはずですが、次のプロセスがあります: {seen}")
    })
}

/// Fails unless a number is what it has to be.
pub fn total_is(server: &Throwaway, seen: i64, expected: i64) -> Result<()> {
    expect(server, seen == expected, || {
        tell!("the total is {seen}, expected {expected}", "total は {expected} のはずですが、{seen} でした。")
    })
}

/// Fails unless a statement fails with this error: `ERROR 42501`, or with its message. Returns the error.
pub fn refused(server: &Throwaway, client: &mut Client, sql: &str, expected: &str) -> Result<postgres::Error> {
    let Err(error) = client.batch_execute(sql) else {
        return Err(server.failure(tell!(
            "{sql}: expected {expected}, seen success",
            "{sql}: 「{expected}」になるはずですが、成功しました。"
        )));
    };
    let seen = reason(&error);
    expect(server, seen == expected || seen.starts_with(&format!("{expected}: ")), || {
        tell!("{sql}: expected {expected}, seen {seen}", "{sql}: 「{expected}」になるはずですが、「{seen}」でした。")
    })?;
    Ok(error)
}

/// Stops a server fast and fails if that takes longer than a second, from the request to the end, as the server's log has them: how
/// long `pg_ctl` takes to start and to look is not the worker's.
pub fn stops_within_a_second(server: &Throwaway) -> Result<()> {
    let mark = server.mark();
    server.stop(Mode::Fast)?;
    let written = |text: &str| -> Result<SystemTime> {
        let line = server.wait_log(mark, text)?;
        Ok(log::written(&line).ok_or_else(|| format!("no time at the beginning: {line}"))?)
    };
    let took = written("database system is shut down")?.duration_since(written("received fast shutdown request")?)?;
    let took = took.as_secs_f64();
    expect(server, took < 1.0, || {
        tell!(
            "a fast shutdown took {took:.2} s, expected less than 1 s",
            "高速シャットダウンは 1 秒以内に終わるはずですが、{took:.2} 秒かかりました。"
        )
    })
}

/// Sends a signal to a process that waits inside PostgreSQL, and returns when it has been handled and the process waits again: what
/// ends the wait must not come before the wait has reset the latch.
pub fn signal_in_wait(server: &Throwaway, pid: i32, name: &str) -> Result<()> {
    let asleep = || -> Option<String> {
        status(pid, "State").ok()?.starts_with('S').then_some(())?;
        status(pid, "voluntary_ctxt_switches").ok()
    };
    let missing = || tell!("the SIG{name} did not reach the worker", "SIG{name} がワーカーに届きませんでした。");
    let before = server.eventually(missing(), limit(), asleep)?;
    signal(pid, name)?;
    server.eventually(missing(), limit(), || asleep().filter(|now| *now != before)).map(drop)
}

/// A server with the table, and a client in its database.
pub fn ready(subject: &Subject, conf: &[&str]) -> Result<(Throwaway, Client)> {
    let server = subject.server(conf)?;
    let mut client = server.connect("postgres")?;
    let table = format!("SELECT to_regclass('{}.counted') IS NOT NULL", subject.short());
    let missing = tell!("no table {}.counted", "テーブル {}.counted が作られませんでした。", subject.short());
    server.eventually(missing, limit(), || client.query_one(&table, &[]).ok()?.get::<_, bool>(0).then_some(()))?;
    Ok((server, client))
}

/// One number.
pub fn number(client: &mut Client, sql: &str) -> Result<i64> {
    Ok(client.query_one(&format!("SELECT ({sql})::int8"), &[])?.get::<_, Option<i64>>(0).unwrap_or_default())
}

/// Waits until no delta is left, and returns the total.
pub fn total(subject: &Subject, server: &Throwaway, client: &mut Client) -> Result<i64> {
    let schema = subject.short();
    let left = format!("SELECT count(*) FROM {schema}.counted WHERE type = 'delta'");
    let missing = tell!("some deltas were not counted", "まだ足されていない delta があります。");
    server.eventually(missing, limit(), || (number(client, &left).ok()? == 0).then_some(()))?;
    number(client, &format!("SELECT value FROM {schema}.counted WHERE type = 'total'"))
}

/// Wakes these workers by SIGUSR1 until their database counts so many more commits.
pub fn drive(server: &Throwaway, pids: &[i32], commits: i64) -> Result<()> {
    let counted = "SELECT xact_commit FROM pg_stat_database WHERE datname = 'postgres'";
    let mut other = server.connect("template1")?;
    let target = number(&mut other, counted)? + commits;
    let missing =
        tell!("the workers did not commit {commits} times", "ワーカーのコミットが {commits} 回に達しませんでした。");
    server.eventually(missing, Duration::from_secs(60), || {
        for _ in 0..10 {
            pids.iter().try_for_each(|pid| signal(*pid, "USR1")).ok()?;
            std::thread::sleep(Duration::from_micros(500)); // signals that come together count as one
        }
        (number(&mut other, counted).ok()? >= target).then_some(())
    })
}

/// xorshift: enough to make moments that nobody has chosen.
pub struct Random(pub u64);

impl Random {
    /// A number below the limit.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

/// User and system time of these processes, in ticks of 10 ms.
pub fn cpu_ticks(pids: &[i32]) -> Result<u64> {
    let mut sum = 0;
    for pid in pids {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).map_err(|_| ended(*pid))?;
        let fields: Vec<_> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
        sum += fields[11].parse::<u64>()? + fields[12].parse::<u64>()?;
    }
    Ok(sum)
}

/// Memory of these processes, in kB: `RssAnon` is what is in use of their own, `VmSize` the whole address space.
pub fn memory(pids: &[i32], kind: &str) -> Result<u64> {
    let mut sum = 0;
    for pid in pids {
        sum += status(*pid, kind)?.split_whitespace().next().unwrap_or_default().parse::<u64>()?;
    }
    Ok(sum)
}
