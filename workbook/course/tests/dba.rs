//! What the book's chapter for administrators states, on the PostgreSQL that is chosen: `cargo test -p course --test dba`,
//! `WORKBOOK_PG=15 cargo test -p course --test dba`.
//!
//! The chapter's table comes from [`FACTS`]; UPDATE_TABLES=1 writes it.

mod support;

use cluster::failure::{Result, reason};
use cluster::throwaway::{Installation, Mode, Throwaway, gone, limit, signal};
use course::checks::{Subject, ready};
use libtest_mimic::{Arguments, Trial};
use postgres::Client;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Each on clusters of its own. They wait more than they compute.
const SIDE_BY_SIDE: usize = 6;

/// Whether something concerns a worker. `Absent`: this major does not have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Yes,
    No,
    Absent,
}
use Answer::{Absent, No, Yes};

/// A row of the chapter's table.
struct Fact {
    id: &'static str,
    en: &'static str,
    ja: &'static str,
    /// On 15, 16, 17, 18 and 19.
    answers: [Answer; 5],
    probe: fn(&Subject) -> Result<Answer>,
}

const MAJORS: [u16; 5] = [15, 16, 17, 18, 19];

/// Does it concern a worker?
const FACTS: &[Fact] = &[
    Fact {
        id: "pg_hba",
        en: "`pg_hba.conf`: every line rejects",
        ja: "`pg_hba.conf`: すべての行が拒否",
        answers: [No; 5],
        probe: pg_hba,
    },
    Fact {
        id: "password_expired",
        en: "the role's password has expired (`VALID UNTIL`)",
        ja: "ロールのパスワードの期限切れ (`VALID UNTIL`)",
        answers: [No; 5],
        probe: password_expired,
    },
    Fact {
        id: "login_trigger",
        en: "an event trigger for `login`",
        ja: "`login` のイベントトリガ",
        answers: [Absent, Absent, No, No, No],
        probe: login_trigger,
    },
    Fact {
        id: "log_connections",
        en: "`log_connections`, `log_disconnections`",
        ja: "`log_connections`、`log_disconnections`",
        answers: [No; 5],
        probe: log_connections,
    },
    Fact {
        id: "log_statement",
        en: "`log_statement`, `log_min_duration_statement`",
        ja: "`log_statement`、`log_min_duration_statement`",
        answers: [No; 5],
        probe: log_statement,
    },
    Fact {
        id: "statement_timeout",
        en: "`statement_timeout`",
        ja: "`statement_timeout`",
        answers: [No; 5],
        probe: statement_timeout,
    },
    Fact { id: "lock_timeout", en: "`lock_timeout`", ja: "`lock_timeout`", answers: [Yes; 5], probe: lock_timeout },
    Fact {
        id: "transaction_timeout",
        en: "`transaction_timeout`",
        ja: "`transaction_timeout`",
        answers: [Absent, Absent, Yes, Yes, Yes],
        probe: transaction_timeout,
    },
    Fact {
        id: "max_connections",
        en: "`max_connections`: all taken",
        ja: "`max_connections`: すべて使用中",
        answers: [No; 5],
        probe: max_connections,
    },
    Fact {
        id: "database_limit_reached",
        en: "`ALTER DATABASE ... CONNECTION LIMIT`: exceeded",
        ja: "`ALTER DATABASE ... CONNECTION LIMIT`: 超過",
        answers: [No; 5],
        probe: database_limit_reached,
    },
    Fact {
        id: "role_limit_reached",
        en: "`ALTER ROLE ... CONNECTION LIMIT`: exceeded",
        ja: "`ALTER ROLE ... CONNECTION LIMIT`: 超過",
        answers: [No; 5],
        probe: role_limit_reached,
    },
    Fact {
        id: "allow_connections",
        en: "`ALTER DATABASE ... ALLOW_CONNECTIONS false`",
        ja: "`ALTER DATABASE ... ALLOW_CONNECTIONS false`",
        answers: [Yes; 5],
        probe: allow_connections,
    },
    Fact {
        id: "nologin", en: "the role is `NOLOGIN`", ja: "ロールが `NOLOGIN`", answers: [Yes; 5], probe: nologin
    },
    Fact {
        id: "connect_privilege",
        en: "`REVOKE CONNECT ON DATABASE`, for a worker that is no superuser",
        ja: "`REVOKE CONNECT ON DATABASE`、スーパーユーザーでないワーカー",
        answers: [Yes; 5],
        probe: connect_privilege,
    },
    Fact {
        id: "settings_of_role",
        en: "`ALTER ROLE ... SET`, `ALTER DATABASE ... SET`",
        ja: "`ALTER ROLE ... SET`、`ALTER DATABASE ... SET`",
        answers: [Yes; 5],
        probe: settings_of_role,
    },
];

/// Fails where the chapter is wrong.
type Claim = fn(&Subject) -> Result<()>;

/// What else the chapter states. Each holds on every major.
const CLAIMS: &[(&str, Claim)] = &[
    ("rows", rows),
    ("catalogs_only", catalogs_only),
    ("which_library", which_library),
    ("slots_are_shared", slots_are_shared),
    ("slots_while_waiting", slots_while_waiting),
    ("too_many", too_many),
    ("standby_first", standby_first),
    ("standby_pauses", standby_pauses),
    ("crash_loop", crash_loop),
    ("empty_string_is_not_empty", empty_string_is_not_empty),
    ("exit_loop", exit_loop),
    ("signals_by_others", signals_by_others),
    ("drop_database", drop_database),
    ("drop_by_the_owner", drop_by_the_owner),
    ("template_and_rename", template_and_rename),
    ("drop_extension", drop_extension),
    ("update_extension", update_extension),
    ("old_code", old_code),
    ("new_code_on_demand", new_code_on_demand),
    ("binary_upgrade", binary_upgrade),
    ("pg_upgrade", pg_upgrade),
    ("smart_shutdown", smart_shutdown),
    ("signals_of_a_worker", signals_of_a_worker),
    ("settings", settings),
    ("signal_handlers", signal_handlers),
    ("other_exit_code", other_exit_code),
    ("who_has_sent_it", who_has_sent_it),
    ("levels_by_process", levels_by_process),
    ("repack_takes_a_slot", repack_takes_a_slot),
];

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = arguments.test_threads.or(Some(SIDE_BY_SIDE));
    match trials(&arguments) {
        Ok(trials) => libtest_mimic::run(&arguments, trials).exit_code(),
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn trials(arguments: &Arguments) -> Result<Vec<Trial>> {
    let root: PathBuf = cluster::checkout().into();
    let subject = if arguments.list {
        None
    } else {
        Some(Arc::new(Subject::new(Arc::new(support::install(&root, "step7_dynamic_launch")?), "step7_dynamic_launch")))
    };
    let mut trials = Vec::new();
    for fact in FACTS {
        let subject = subject.clone();
        trials.push(Trial::test(format!("concerns/{}", fact.id), move || {
            let subject = subject.ok_or("nothing is installed")?;
            let column = MAJORS.iter().position(|major| *major == subject.installation.major);
            let expected = fact.answers[column.ok_or("a major that the table does not have")?];
            let seen = (fact.probe)(&subject).map_err(|failure| subject.complete(failure))?;
            if seen == expected { Ok(()) } else { Err(format!("expected {expected:?}, seen {seen:?}").into()) }
        }));
    }
    for (id, run) in CLAIMS {
        let subject = subject.clone();
        trials.push(Trial::test(format!("claims/{id}"), move || {
            let subject = subject.ok_or("nothing is installed")?;
            run(&subject).map_err(|failure| subject.complete(failure).into())
        }));
    }
    trials.push(Trial::test("table", move || table(&root).map_err(Into::into)));
    Ok(trials)
}

/// The chapter's table is what FACTS says.
fn table(root: &Path) -> Result<()> {
    for (language, head, words) in [
        ("en", "Does this concern a worker?", ["yes", "no", "–"]),
        ("ja", "ワーカーに効くか (○ 効く、× 効かない)", ["○", "×", "–"]),
    ] {
        let majors = MAJORS.map(|major| major.to_string());
        let mut text = format!("| {head} | {} |\n|{}\n", majors.join(" | "), "---|".repeat(MAJORS.len() + 1));
        for fact in FACTS {
            let cells = fact.answers.map(|answer| match answer {
                Yes => words[0],
                No => words[1],
                Absent => words[2],
            });
            let what = if language == "en" { fact.en } else { fact.ja };
            text.push_str(&format!("| {what} | {} |\n", cells.join(" | ")));
        }
        let file = root.join("book/tables").join(format!("concerns.{language}.md"));
        if std::env::var_os("UPDATE_TABLES").is_some() {
            fs::write(&file, text)?;
        } else if fs::read_to_string(&file)? != text {
            let hint = "UPDATE_TABLES=1 cargo test -p course --test dba table";
            return Err(format!("{} is stale: {hint}", file.display()).into());
        }
    }
    Ok(())
}

// ---- what the probes share

/// What `step7.launch` with these arguments says: the worker's PID, or why there is none.
fn launch(client: &mut Client, arguments: &str) -> std::result::Result<i32, String> {
    match client.query_one(&format!("SELECT step7.launch({arguments})"), &[]) {
        Ok(row) => Ok(row.get(0)),
        Err(error) => Err(reason(&error)),
    }
}

/// A server with a database `shop` and a role `clerk` that may work there; 16 slots.
fn shop(subject: &Subject, conf: &[&str]) -> Result<(Throwaway, Client)> {
    let mut all = vec!["max_worker_processes = 16"];
    all.extend(conf);
    let (server, mut client) = ready(subject, &all)?;
    client.batch_execute("CREATE DATABASE shop")?;
    client.batch_execute("CREATE ROLE clerk LOGIN")?;
    let mut shop = server.connect("shop")?;
    shop.batch_execute(&format!("CREATE EXTENSION {}", subject.step))?;
    shop.batch_execute("GRANT USAGE ON SCHEMA step7 TO clerk; ALTER TABLE step7.counted OWNER TO clerk")?;
    let backend: i32 = shop.query_one("SELECT pg_backend_pid()", &[])?.get(0);
    drop(shop);
    server.eventually("the session in shop gone", limit(), || gone(backend).then_some(()))?;
    Ok((server, client))
}

/// Fails with this text if the condition does not hold. No learner reads it.
fn expect(server: &Throwaway, condition: bool, what: impl FnOnce() -> String) -> Result<()> {
    if condition { Ok(()) } else { Err(server.failure(what())) }
}

/// Is this what refuses a worker? `launched` is what [`launch`] has said.
fn refuses(server: &Throwaway, launched: std::result::Result<i32, String>, expected: &str) -> Result<Answer> {
    match launched {
        Ok(_) => Ok(No),
        Err(why) if why.contains(expected) => Ok(Yes),
        Err(why) => Err(server.failure(format!("refused, but not because of \"{expected}\": {why}"))),
    }
}

/// The log lines of a process.
fn lines_of(server: &Throwaway, pid: i32) -> Vec<String> {
    let mark = format!(" [{pid}] ");
    server.log().lines().filter(|line| line.contains(&mark)).map(str::to_owned).collect()
}

/// A worker that waits for a lock that this client holds, and has done so for a second or has stopped to.
fn waits_for_a_lock(subject: &Subject, conf: &[&str], timeout: &str) -> Result<Answer> {
    let (server, mut client) = ready(subject, conf)?;
    let mark = server.mark();
    let mut holder = server.connect("postgres")?;
    holder.batch_execute("SET statement_timeout = 0; SET lock_timeout = 0; BEGIN; LOCK TABLE step7.counted")?;
    if subject.installation.major >= 17 {
        // The client has to outlive the limit that is set for everybody.
        client.batch_execute("SET transaction_timeout = 0")?;
    }
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = $1 AND wait_event_type = 'Lock'
                   AND clock_timestamp() - xact_start > interval '1 s'";
    server.eventually("a worker that waits or has stopped to", limit(), || {
        if server.log().get(mark..)?.contains(timeout) {
            return Some(Yes);
        }
        let count: i64 = client.query_one(waiting, &[&subject.step]).ok()?.get(0);
        (count > 0).then_some(No)
    })
}

// ---- does this concern a worker?

fn pg_hba(subject: &Subject) -> Result<Answer> {
    let server = subject.cluster(&[])?;
    fs::write(server.data().join("pg_hba.conf"), "local all all reject\nhost all all all reject\n")?;
    let mark = server.mark();
    server.start_without_waiting()?;
    server.wait_log(mark, "database system is ready to accept connections")?;
    let refused = server.connect("postgres").err().map(|error| error.to_string()).unwrap_or_default();
    expect(&server, refused.contains("pg_hba.conf rejects"), || format!("a client is not rejected: {refused}"))?;
    server.wait_log(mark, &format!("{}: started", subject.worker(1)))?;
    Ok(No)
}

fn password_expired(subject: &Subject) -> Result<Answer> {
    let (server, mut client) = shop(subject, &[])?;
    client.batch_execute("ALTER ROLE clerk PASSWORD 'secret' VALID UNTIL '2001-01-01'")?;
    refuses(&server, launch(&mut client, "1, 'shop', 'clerk'"), "password")
}

fn login_trigger(subject: &Subject) -> Result<Answer> {
    let (server, mut client) = shop(subject, &[])?;
    let mut shop = server.connect("shop")?;
    shop.batch_execute(
        "CREATE TABLE logins (); GRANT INSERT ON logins TO PUBLIC;
         CREATE FUNCTION note_login() RETURNS event_trigger LANGUAGE plpgsql AS
         $$ BEGIN INSERT INTO logins DEFAULT VALUES; END $$",
    )?;
    let made = shop.batch_execute("CREATE EVENT TRIGGER noted ON login EXECUTE FUNCTION note_login()");
    if let Err(error) = made {
        let seen = reason(&error);
        expect(&server, seen.contains("unrecognized event name"), || seen.clone())?;
        return Ok(Absent);
    }
    let mut count = || -> Result<i64> { Ok(shop.query_one("SELECT count(*) FROM logins", &[])?.get(0)) };
    let before = count()?;
    drop(server.connect("shop")?);
    expect(&server, count()? == before + 1, || "the trigger does not fire for a client".into())?;
    launch(&mut client, "1, 'shop'")?;
    Ok(if count()? > before + 1 { Yes } else { No })
}

fn log_connections(subject: &Subject) -> Result<Answer> {
    let (server, mut client) = shop(subject, &["log_connections = on", "log_disconnections = on"])?;
    let backend: i32 = client.query_one("SELECT pg_backend_pid()", &[])?.get(0);
    let of_client = lines_of(&server, backend).join("\n");
    expect(&server, of_client.contains("connection authorized"), || "a client is not logged".into())?;
    let worker = launch(&mut client, "1, 'shop', 'clerk'")?;
    client.query_one("SELECT step7.stop($1)", &[&worker])?;
    let seen = lines_of(&server, worker)
        .into_iter()
        .any(|line| line.contains(" connection ") || line.contains("session time"));
    Ok(if seen { Yes } else { No })
}

fn log_statement(subject: &Subject) -> Result<Answer> {
    let (server, mut client) = shop(subject, &["log_statement = all", "log_min_duration_statement = 0"])?;
    let backend: i32 = client.query_one("SELECT pg_backend_pid()", &[])?.get(0);
    let worker = launch(&mut client, "1, 'shop', 'clerk'")?;
    let mut shop = server.connect("shop")?;
    shop.batch_execute("INSERT INTO step7.counted VALUES ('delta', 1)")?;
    course::checks::total(subject, &server, &mut shop)?;
    client.query_one("SELECT step7.stop($1)", &[&worker])?;
    let logged =
        |pid| lines_of(&server, pid).iter().any(|line| line.contains("statement:") || line.contains("duration:"));
    expect(&server, logged(backend), || "a client is not logged".into())?;
    Ok(if logged(worker) { Yes } else { No })
}

fn statement_timeout(subject: &Subject) -> Result<Answer> {
    waits_for_a_lock(subject, &["statement_timeout = '200ms'"], "due to statement timeout")
}

fn lock_timeout(subject: &Subject) -> Result<Answer> {
    waits_for_a_lock(subject, &["lock_timeout = '200ms'"], "due to lock timeout")
}

fn transaction_timeout(subject: &Subject) -> Result<Answer> {
    if subject.installation.major < 17 {
        let server = subject.cluster(&[])?;
        server.start()?;
        let error = server.connect("postgres")?.batch_execute("SHOW transaction_timeout").expect_err("it exists");
        expect(&server, reason(&error).contains("unrecognized configuration parameter"), || reason(&error))?;
        return Ok(Absent);
    }
    let (server, mut client) = ready(subject, &[])?;
    client.batch_execute("SET transaction_timeout = 0")?;
    let before = subject.pid(&server, 1)?;
    let mark = server.mark();
    client.batch_execute("BEGIN; LOCK TABLE step7.counted")?;
    server.configure(&["transaction_timeout = '200ms'"])?;
    server.reload()?;
    // The worker's next transaction has the limit: it waits for the lock, and the process ends with exit code 1.
    server.wait_log(mark, "terminating connection due to transaction timeout")?;
    let one_or_two = format!("background worker \"{}\" (PID ", subject.step);
    server.wait_log(mark, &one_or_two)?;
    subject.other_pid(&server, 1, before)?;
    Ok(Yes)
}

fn max_connections(subject: &Subject) -> Result<Answer> {
    let conf = ["max_connections = 4", "superuser_reserved_connections = 0", "max_wal_senders = 0"];
    let (server, mut client) = shop(subject, &conf)?;
    let mut clients = Vec::new();
    let refused = loop {
        match server.connect("postgres") {
            Ok(client) => clients.push(client),
            Err(error) => break error.to_string(),
        }
        expect(&server, clients.len() < 6, || "max_connections does not count".into())?;
    };
    expect(&server, refused.contains("too many clients already"), || refused.clone())?;
    refuses(&server, launch(&mut client, "1, 'shop', 'clerk'"), "too many")
}

fn database_limit_reached(subject: &Subject) -> Result<Answer> {
    let (server, mut client) = shop(subject, &[])?;
    let _connected = server.connect_as("shop", "clerk")?;
    client.batch_execute("ALTER DATABASE shop CONNECTION LIMIT 0")?;
    let refused = server.connect_as("shop", "clerk").err().map(|error| error.to_string()).unwrap_or_default();
    expect(&server, refused.contains("too many connections for database"), || format!("a client: {refused}"))?;
    refuses(&server, launch(&mut client, "1, 'shop', 'clerk'"), "too many connections for database")
}

fn role_limit_reached(subject: &Subject) -> Result<Answer> {
    let (server, mut client) = shop(subject, &[])?;
    let _connected = server.connect_as("shop", "clerk")?;
    client.batch_execute("ALTER ROLE clerk CONNECTION LIMIT 0")?;
    let refused = server.connect_as("shop", "clerk").err().map(|error| error.to_string()).unwrap_or_default();
    expect(&server, refused.contains("too many connections for role"), || format!("a client: {refused}"))?;
    refuses(&server, launch(&mut client, "1, 'shop', 'clerk'"), "too many connections for role")
}

fn allow_connections(subject: &Subject) -> Result<Answer> {
    let (server, mut client) = shop(subject, &[])?;
    client.batch_execute("ALTER DATABASE shop ALLOW_CONNECTIONS false")?;
    // An author can ask for an exception. step7.launch lets only superusers do so.
    launch(&mut client, "1, 'shop', NULL, '{ALLOWCONN}'").map_err(|why| server.failure(&why))?;
    refuses(&server, launch(&mut client, "1, 'shop'"), "not currently accepting connections")
}

fn nologin(subject: &Subject) -> Result<Answer> {
    let (server, mut client) = shop(subject, &[])?;
    client.batch_execute("ALTER ROLE clerk NOLOGIN")?;
    let excepted = launch(&mut client, "2, 'shop', 'clerk', '{ROLELOGINCHECK}'");
    expect(&server, excepted.is_ok() == (subject.installation.major >= 17), || format!("{excepted:?}"))?;
    refuses(&server, launch(&mut client, "1, 'shop', 'clerk'"), "not permitted to log in")
}

fn connect_privilege(subject: &Subject) -> Result<Answer> {
    let (server, mut client) = shop(subject, &[])?;
    client.batch_execute("REVOKE CONNECT ON DATABASE shop FROM PUBLIC")?;
    launch(&mut client, "1, 'shop'").map_err(|why| server.failure(format!("a superuser's: {why}")))?;
    refuses(&server, launch(&mut client, "2, 'shop', 'clerk'"), "permission denied for database")
}

fn settings_of_role(subject: &Subject) -> Result<Answer> {
    let (server, mut client) = shop(subject, &[])?;
    client.batch_execute("ALTER ROLE clerk SET lock_timeout = '100ms'")?;
    let worker = launch(&mut client, "1, 'shop', 'clerk'")?;
    let mut shop = server.connect("shop")?;
    let mark = server.mark();
    shop.batch_execute("BEGIN; LOCK TABLE step7.counted")?;
    let by_role = server.wait_log(mark, "due to lock timeout")?;
    expect(&server, by_role.contains(&format!("[{worker}]")), || by_role.clone())?;
    shop.batch_execute("COMMIT")?;
    client.batch_execute("ALTER ROLE clerk RESET lock_timeout; ALTER DATABASE shop SET lock_timeout = '100ms'")?;
    client.query_one("SELECT step7.stop($1)", &[&worker])?;
    let worker = launch(&mut client, "2, 'shop', 'clerk'")?;
    let mark = server.mark();
    shop.batch_execute("SET lock_timeout = 0; BEGIN; LOCK TABLE step7.counted")?;
    let by_database = server.wait_log(mark, "due to lock timeout")?;
    expect(&server, by_database.contains(&format!("[{worker}]")), || by_database.clone())?;
    Ok(Yes)
}

// ---- which workers there are

/// The step-1 worker of this installation, which connects to nothing.
fn first_step(subject: &Subject) -> Result<Subject> {
    let root = cluster::checkout();
    static ONCE: std::sync::Mutex<Option<Installation>> = std::sync::Mutex::new(None);
    let mut once = ONCE.lock().map_err(|error| error.to_string())?;
    if once.is_none() {
        *once = Some(support::install(root, "step1_registration")?);
    }
    let installation = once.clone().ok_or("nothing is installed")?;
    assert_eq!(installation.major, subject.installation.major);
    Ok(Subject::new(Arc::new(installation), "step1_registration"))
}

/// A worker without a connection has a process and a slot, and no row. `pg_terminate_backend` does not find it, a signal does.
fn rows(subject: &Subject) -> Result<()> {
    let first = first_step(subject)?;
    let server = first.server(&[])?;
    let pid = first.pid(&server, 1)?;
    let mut client = server.connect("postgres")?;
    let row = client.query_opt("SELECT FROM pg_stat_activity WHERE pid = $1", &[&pid])?;
    expect(&server, row.is_none(), || "it has a row".into())?;
    let told: bool = client.query_one("SELECT pg_terminate_backend($1)", &[&pid])?.get(0);
    expect(&server, !told, || "pg_terminate_backend finds it".into())?;
    server.wait_log(0, &format!("WARNING:  PID {pid} is not a PostgreSQL"))?;
    signal(pid, "TERM")?;
    first.other_pid(&server, 1, pid)?;
    Ok(())
}

/// The logical replication launcher is a worker that ships with PostgreSQL: connected, but to no database.
fn catalogs_only(subject: &Subject) -> Result<()> {
    let (server, mut client) = ready(subject, &[])?;
    let sql =
        "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'logical replication launcher' AND datname IS NULL";
    server.eventually("the launcher's row", limit(), || {
        (client.query_one(sql, &[]).ok()?.get::<_, i64>(0) == 1).then_some(())
    })
}

/// No view names the library of a worker. The process's memory map does: of one that was launched, this library only.
fn which_library(subject: &Subject) -> Result<()> {
    let server = Throwaway::new(&subject.installation, &["log_min_messages = debug1"])?;
    server.start()?;
    let mut client = server.connect("postgres")?;
    client.batch_execute(&format!("CREATE EXTENSION {}", subject.step))?;
    let mark = server.mark();
    let worker = launch(&mut client, "1")?;
    let library = subject.installation.lib.join(format!("{}.so", subject.step)).display().to_string();
    let maps = |pid: i32| fs::read_to_string(format!("/proc/{pid}/maps"));
    // As root, we may read what the server's user maps; as anybody else it is our own.
    expect(&server, maps(worker)?.contains(&library), || "the worker does not map its library".into())?;
    expect(&server, !maps(server.postmaster()?)?.contains(&library), || "the postmaster maps it, too".into())?;
    server.wait_log(mark, &format!("registering background worker \"{} dynamic worker 1\"", subject.step))?;
    server.wait_log(mark, &format!("starting background worker process \"{} dynamic worker 1\"", subject.step))?;
    Ok(())
}

// ---- slots

/// Parallel queries get what workers leave.
fn slots_are_shared(subject: &Subject) -> Result<()> {
    // Two static workers and PostgreSQL's own launcher of logical replication; one slot is left.
    let (server, mut client) = ready(subject, &["max_worker_processes = 4"])?;
    let seen = parallel(&mut client)?;
    expect(&server, seen == "Workers Planned: 2, Workers Launched: 1", || format!("with one slot: {seen}"))?;
    launch(&mut server.connect("postgres")?, "1")?;
    let seen = parallel(&mut client)?;
    expect(&server, seen == "Workers Planned: 2, Workers Launched: 0", || format!("with no slot: {seen}"))
}

/// A worker that waits for its restart keeps its slot.
fn slots_while_waiting(subject: &Subject) -> Result<()> {
    let server = subject.cluster(&["step7.database = 'missing'", "max_worker_processes = 3"])?;
    server.start()?;
    let mut client = server.connect("postgres")?;
    let mut waiting = 0;
    while waiting < 3 {
        // Between two attempts no process of ours is there.
        let before = server.processes(&subject.step).is_empty();
        let seen = parallel(&mut client)?;
        expect(&server, seen == "Workers Planned: 2, Workers Launched: 0", || seen.clone())?;
        waiting += usize::from(before && server.processes(&subject.step).is_empty());
    }
    Ok(())
}

/// How many parallel workers a query has planned, and has got.
fn parallel(client: &mut Client) -> Result<String> {
    client.batch_execute(
        "DROP TABLE IF EXISTS big; CREATE TABLE big AS SELECT generate_series(1, 100000) AS n; ANALYZE big;
         SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0",
    )?;
    let plan = client.query("EXPLAIN (ANALYZE, COSTS off, TIMING off) SELECT count(*) FROM big", &[])?;
    let lines: Vec<String> = plan.iter().map(|row| row.get(0)).collect();
    let workers = lines.iter().filter(|line| line.contains("Workers")).map(|line| line.trim());
    Ok(workers.collect::<Vec<_>>().join(", "))
}

/// Over the limit a static worker is left out; the server starts, and one line in the log says so.
fn too_many(subject: &Subject) -> Result<()> {
    let server = subject.cluster(&["max_worker_processes = 2"])?;
    server.start()?;
    server.wait_log(0, "LOG:  too many background workers")?;
    server.wait_log(0, "Up to 2 background workers can be registered with the current settings.")?;
    subject.pid(&server, 1)?;
    expect(&server, subject.pid_now(&server, 2).is_none(), || "worker 2 runs".into())
}

/// A standby with fewer slots than its primary does not start.
fn standby_first(subject: &Subject) -> Result<()> {
    let primary = subject.server(&["max_worker_processes = 10"])?;
    let standby = primary.standby(&["max_worker_processes = 9"])?;
    let failed = standby.start().is_err();
    expect(&standby, failed, || "it starts".into())?;
    standby.wait_log(0, "FATAL:  recovery aborted because of insufficient parameter settings")?;
    standby.wait_log(
        0,
        "max_worker_processes = 9 is a lower setting than on the primary server, where its value was 10.",
    )?;
    standby.configure(&["max_worker_processes = 10"])?;
    standby.start()
}

/// A primary that gets more slots than its standby has: the standby stops to follow, and says so.
fn standby_pauses(subject: &Subject) -> Result<()> {
    let primary = subject.server(&[])?;
    let standby = primary.standby(&[])?;
    standby.start()?;
    let mark = standby.mark();
    primary.configure(&["max_worker_processes = 12"])?;
    primary.restart(Mode::Fast)?;
    standby.wait_log(mark, "WARNING:  hot standby is not possible because of insufficient parameter settings")?;
    standby.wait_log(mark, "recovery has paused")?;
    let paused: bool = standby.connect("postgres")?.query_one("SELECT pg_is_wal_replay_paused()", &[])?.get(0);
    expect(&standby, paused, || "it is not paused".into())?;
    let mark = standby.mark();
    // The answer may get lost: the end of the recovery is the end of the server.
    let _ = standby.connect("postgres")?.batch_execute("SELECT pg_wal_replay_resume()");
    standby.wait_log(mark, "FATAL:  recovery aborted because of insufficient parameter settings")?;
    standby.wait_log(mark, "database system is shut down")?;
    Ok(())
}

// ---- getting back a server

/// A worker that crashes again and again ends all sessions each time. Without its library, the server is as it was.
fn crash_loop(subject: &Subject) -> Result<()> {
    let (server, mut client) = ready(subject, &[])?;
    client.batch_execute("CREATE TABLE kept AS SELECT 1 AS n")?;
    for _ in 0..3 {
        let mark = server.mark();
        signal(subject.pid(&server, 1)?, "KILL")?;
        server.wait_log(mark, "terminating any other active server processes")?;
        // Not a second of RESTART_TIME passes: after a crash the workers start at once.
        server.wait_log(mark, &format!("{}: started", subject.worker(1)))?;
    }
    expect(&server, client.query("SELECT 1", &[]).is_err(), || "the session has lived on".into())?;
    server.stop(Mode::Fast)?;
    // A setting on the command line wins over all files, so nothing has to be edited to see what is there.
    let conf = server.data().join("postgresql.conf");
    pg_ctl(&server, &["start", "-w", "-s", "-o", "-c shared_preload_libraries="])?;
    let left = server.processes(&subject.step);
    expect(&server, left.is_empty(), || format!("{left:?}"))?;
    let mut client = server.connect("postgres")?;
    let kept: i64 = client.query_one("SELECT count(*) FROM kept", &[])?.get(0);
    expect(&server, kept == 1, || "the table is lost".into())?;
    client.batch_execute("ALTER SYSTEM RESET shared_preload_libraries")?;
    drop(client);
    server.stop(Mode::Fast)?;
    let text = fs::read_to_string(&conf)?;
    let without: Vec<_> = text.lines().filter(|line| !line.starts_with("shared_preload_libraries")).collect();
    fs::write(&conf, format!("{}\n", without.join("\n")))?;
    server.start()
}

/// `ALTER SYSTEM SET shared_preload_libraries = ''` asks for a library without a name. That server does not start.
fn empty_string_is_not_empty(subject: &Subject) -> Result<()> {
    let (server, mut client) = ready(subject, &[])?;
    client.batch_execute("ALTER SYSTEM SET shared_preload_libraries = ''")?;
    drop(client);
    server.stop(Mode::Fast)?;
    let auto = server.data().join("postgresql.auto.conf");
    let text = fs::read_to_string(&auto)?;
    expect(&server, text.contains(r#"shared_preload_libraries = '""'"#), || text.clone())?;
    expect(&server, server.start().is_err(), || "it starts".into())?;
    server.wait_log(0, "FATAL:  could not access file \"\"")?;
    pg_ctl(&server, &["start", "-w", "-s", "-o", "-c shared_preload_libraries="])?;
    server.connect("postgres")?.batch_execute("ALTER SYSTEM RESET shared_preload_libraries")?;
    server.restart(Mode::Fast)?;
    let null = server.connect("postgres")?.batch_execute("ALTER SYSTEM SET shared_preload_libraries = NULL");
    expect(&server, null.is_ok() == (subject.installation.major >= 19), || format!("NULL: {null:?}"))?;
    server.restart(Mode::Fast)
}

/// A worker that ends with exit code 1 again and again costs a process a second and two lines in the log. Sessions live on.
fn exit_loop(subject: &Subject) -> Result<()> {
    let server = subject.cluster(&["step7.database = 'missing'", "max_worker_processes = 16"])?;
    server.start()?;
    let mut client = server.connect("postgres")?;
    for _ in 0..3 {
        let mark = server.mark();
        server.wait_log(mark, "FATAL:  database \"missing\" does not exist")?;
        server.wait_log(mark, "exited with exit code 1")?;
    }
    client.batch_execute("CREATE DATABASE missing")?;
    server.wait_log(0, &format!("{}: started", subject.worker(1)))?;
    Ok(())
}

/// Members of pg_signal_backend reach a worker of an ordinary role, and not one that works as a superuser.
fn signals_by_others(subject: &Subject) -> Result<()> {
    let (server, mut client) = shop(subject, &[])?;
    client.batch_execute("CREATE ROLE operator LOGIN; GRANT pg_signal_backend TO operator")?;
    let ordinary = launch(&mut client, "1, 'shop', 'clerk'")?;
    let superuser = subject.pid(&server, 1)?;
    let mut operator = server.connect_as("postgres", "operator")?;
    let error = operator.query_one("SELECT pg_terminate_backend($1)", &[&superuser]).err();
    let seen = error.map(|error| reason(&error)).unwrap_or_default();
    expect(&server, seen.starts_with("ERROR 42501"), || format!("on a superuser's worker: {seen}"))?;
    operator.query_one("SELECT pg_terminate_backend($1)", &[&ordinary])?;
    server.eventually("the ordinary worker gone", limit(), || gone(ordinary).then_some(()))
}

// ---- databases and extensions

/// Refused after five seconds, with SQLSTATE 55006.
fn in_use(server: &Throwaway, client: &mut Client, sql: &str) -> Result<()> {
    let start = Instant::now();
    let seen = client.batch_execute(sql).map_or_else(|error| reason(&error), |()| "success".into());
    let took = start.elapsed();
    expect(server, seen.starts_with("ERROR 55006") && took > Duration::from_secs(4), || {
        format!("{sql}: {seen} after {took:?}")
    })
}

fn drop_database(subject: &Subject) -> Result<()> {
    let (server, mut client) = shop(subject, &[])?;
    let worker = launch(&mut client, "1, 'shop', 'clerk'")?;
    in_use(&server, &mut client, "DROP DATABASE shop")?;
    // A process that is stopped stands for one that does not look for interrupts.
    let kill = |name: &str| Command::new("kill").args([name, &worker.to_string()]).status();
    kill("-STOP")?;
    let refused = in_use(&server, &mut client, "DROP DATABASE shop WITH (FORCE)");
    kill("-CONT")?;
    refused?;
    server.eventually("the worker gone", limit(), || gone(worker).then_some(()))?;
    let worker = launch(&mut client, "2, 'shop', 'clerk'")?;
    client.batch_execute("DROP DATABASE shop WITH (FORCE)")?;
    expect(&server, gone(worker), || "the worker is still there".into())
}

/// The owner of a database, who is no superuser, cannot force out a worker that is one.
fn drop_by_the_owner(subject: &Subject) -> Result<()> {
    let (server, mut client) = shop(subject, &[])?;
    client.batch_execute("ALTER DATABASE shop OWNER TO clerk; ALTER ROLE clerk CREATEDB")?;
    launch(&mut client, "1, 'shop'")?;
    let mut clerk = server.connect_as("postgres", "clerk")?;
    let seen =
        clerk.batch_execute("DROP DATABASE shop WITH (FORCE)").map_or_else(|e| reason(&e), |()| "success".into());
    expect(&server, seen.starts_with("ERROR 42501"), || seen.clone())
}

fn template_and_rename(subject: &Subject) -> Result<()> {
    let (server, mut client) = shop(subject, &["allow_in_place_tablespaces = on"])?;
    launch(&mut client, "1, 'shop', 'clerk'")?;
    client.batch_execute("CREATE TABLESPACE elsewhere LOCATION ''")?;
    in_use(&server, &mut client, "CREATE DATABASE copy TEMPLATE shop")?;
    in_use(&server, &mut client, "ALTER DATABASE shop SET TABLESPACE elsewhere")?;
    in_use(&server, &mut client, "ALTER DATABASE shop RENAME TO store")
}

/// The extension goes, its workers stay: they belong to the library.
fn drop_extension(subject: &Subject) -> Result<()> {
    let (server, mut client) = ready(subject, &[])?;
    let before = subject.pid(&server, 1)?;
    let start = Instant::now();
    client.batch_execute(&format!("DROP EXTENSION {}", subject.step))?;
    expect(&server, start.elapsed() < Duration::from_secs(3), || format!("it took {:?}", start.elapsed()))?;
    course::checks::drive(&server, &[before], 2)?;
    expect(&server, subject.pid_now(&server, 1) == Some(before), || "the worker has gone".into())
}

/// A further version of the extension, made of one function.
fn update_extension(subject: &Subject) -> Result<()> {
    let scratch = tempfile::tempdir()?;
    let installation = Arc::new(subject.installation.copy_to(scratch.path())?);
    open_to_the_server(scratch.path())?;
    let subject = Subject::new(installation.clone(), &subject.step);
    let (server, mut client) = ready(&subject, &[])?;
    let installed = "SELECT extversion FROM pg_extension WHERE extname = $1";
    let version: String = client.query_one(installed, &[&subject.step])?.get(0);
    let script = installation.share.join("extension").join(format!("{}--{version}--99.sql", subject.step));
    fs::write(script, "CREATE FUNCTION step7.answer() RETURNS integer LANGUAGE sql RETURN 42;\n")?;
    let before = (subject.pid(&server, 1)?, subject.pid(&server, 2)?);
    client.batch_execute(&format!("ALTER EXTENSION {} UPDATE TO '99'", subject.step))?;
    let answer: i32 = client.query_one("SELECT step7.answer()", &[])?.get(0);
    let after = (subject.pid(&server, 1)?, subject.pid(&server, 2)?);
    expect(&server, answer == 42 && after == before, || format!("{answer}, {before:?}, {after:?}"))
}

/// An installation whose library can be replaced, and the library with another text in the worker's first line.
fn replaceable(subject: &Subject, scratch: &Path) -> Result<(Subject, impl Fn() -> Result<()> + use<>)> {
    let installation = Arc::new(subject.installation.copy_to(scratch)?);
    open_to_the_server(scratch)?;
    let library = installation.lib.join(format!("{}.so", subject.step));
    let replace = move || -> Result<()> {
        let (old, new) = (b": started with argument ", b": STARTED with argument ");
        let mut bytes = fs::read(&library)?;
        let at: Vec<_> = (0..bytes.len() - old.len()).filter(|at| bytes[*at..].starts_with(old)).collect();
        for at in &at {
            bytes[*at..*at + new.len()].copy_from_slice(new);
        }
        if at.is_empty() {
            return Err("the library does not have the text".into());
        }
        // Another file under the name, as package managers do it: who runs the old one keeps it.
        let other = library.with_extension("new");
        fs::write(&other, bytes)?;
        let mode = fs::metadata(&library)?.permissions();
        fs::set_permissions(&other, mode)?;
        Ok(fs::rename(other, &library)?)
    };
    Ok((Subject::new(installation, &subject.step), replace))
}

/// A preloaded library is what the postmaster has loaded: a worker that is started again still has the old code.
fn old_code(subject: &Subject) -> Result<()> {
    let scratch = tempfile::tempdir()?;
    let (subject, replace) = replaceable(subject, scratch.path())?;
    let (server, mut client) = ready(&subject, &[])?;
    replace()?;
    let before = subject.pid(&server, 1)?;
    let mark = server.mark();
    client.query_one("SELECT pg_terminate_backend($1)", &[&before])?;
    server.wait_log(mark, &format!("{}: started", subject.worker(1)))?;
    // A crash of the cluster does not load it either: it is the same postmaster.
    let mark = server.mark();
    signal(subject.pid(&server, 1)?, "KILL")?;
    server.wait_log(mark, &format!("{}: started", subject.worker(1)))?;
    let mark = server.mark();
    server.restart(Mode::Fast)?;
    server.wait_log(mark, &format!("{}: STARTED", subject.worker(1)))?;
    Ok(())
}

/// A worker that is launched, from a library that is not preloaded, has the new code at once: two versions run side by side.
fn new_code_on_demand(subject: &Subject) -> Result<()> {
    let scratch = tempfile::tempdir()?;
    let (subject, replace) = replaceable(subject, scratch.path())?;
    let server = Throwaway::new(&subject.installation, &[])?;
    server.start()?;
    let mut client = server.connect("postgres")?;
    client.batch_execute(&format!("CREATE EXTENSION {}", subject.step))?;
    launch(&mut client, "1")?;
    server.wait_log(0, "dynamic worker 1: started")?;
    replace()?;
    launch(&mut client, "2")?;
    server.wait_log(0, "dynamic worker 2: STARTED")?;
    let running: i64 = client.query_one("SELECT count(*) FROM step7.workers()", &[])?.get(0);
    expect(&server, running == 2, || format!("{running} workers"))
}

// ---- upgrades

/// Runs a program of the installation as the server's owner.
fn program(server: &Throwaway, name: &str) -> Command {
    let mut command = Command::new(server.installation().bin.join(name));
    command.env("LC_ALL", "C.UTF-8").env_remove("RUST_BACKTRACE").stdin(Stdio::null());
    command
}

fn pg_ctl(server: &Throwaway, arguments: &[&str]) -> Result<()> {
    let log = server.data().parent().ok_or("no folder above the data")?.join("log");
    let mut command = program(server, "pg_ctl");
    let out = command.args(arguments).arg("-D").arg(server.data()).arg("-l").arg(log).output()?;
    if out.status.success() {
        return Ok(());
    }
    Err(server.failure(format!("pg_ctl {arguments:?}: {}", String::from_utf8_lossy(&out.stderr))))
}

/// As root, the server is somebody else, who must be able to read its programs and libraries.
fn open_to_the_server(folder: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    Ok(fs::set_permissions(folder, fs::Permissions::from_mode(0o755))?)
}

/// pg_upgrade starts its servers with `-b`. That keeps no worker away; a library that asks `IsBinaryUpgrade` registers none.
fn binary_upgrade(subject: &Subject) -> Result<()> {
    let (server, client) = ready(subject, &[])?;
    drop(client);
    server.stop(Mode::Fast)?;
    let mark = server.mark();
    pg_ctl(&server, &["start", "-w", "-s", "-o", "-b"])?;
    let left = server.processes(&subject.step);
    expect(&server, left.is_empty(), || format!("{left:?}"))?;
    let worker = launch(&mut server.connect("postgres")?, "1")?;
    expect(&server, !gone(worker), || "PostgreSQL itself has kept the worker away".into())?;
    let text = server.log().get(mark..).unwrap_or_default().to_owned();
    expect(&server, !text.contains(&format!("{}: started", subject.worker(1))), || "a static worker has run".into())
}

/// An upgrade to the same major, with the library in the new installation and without.
fn pg_upgrade(subject: &Subject) -> Result<()> {
    let (old, mut client) = ready(subject, &[])?;
    client.batch_execute("INSERT INTO step7.counted VALUES ('delta', 5)")?;
    course::checks::total(subject, &old, &mut client)?;
    drop(client);
    old.stop(Mode::Fast)?;
    let upgrade = |new: &Throwaway, check: bool| -> Result<(bool, String)> {
        let folder = new.data().parent().ok_or("no folder above the data")?.to_path_buf();
        let mut command = program(new, "pg_upgrade");
        command.arg("-b").arg(&old.installation().bin).arg("-B").arg(&new.installation().bin);
        command.arg("-d").arg(old.data()).arg("-D").arg(new.data());
        command.args(["-U", "postgres", "-p", "50432", "-P", "50433"]).arg("-s").arg(&folder).current_dir(&folder);
        if check {
            command.arg("--check");
        }
        let out = command.output()?;
        let text = format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
        Ok((out.status.success(), text))
    };
    // PostgreSQL without the library: the check says so, and in which file.
    let root = cluster::checkout();
    let shell = course::build_dir::Shell::of(root, "step7")?;
    let bare = shell.installation()?;
    let bare = bare.copy_to(&shell.scratch()?.join(format!("without-{}", bare.major)))?;
    // The original may have one: every test of the step installs its library there.
    let library = bare.lib.join(format!("{}.so", subject.step));
    if library.exists() {
        std::fs::remove_file(&library)?;
    }
    let bare = Arc::new(bare);
    let without = Throwaway::new(&bare, &[])?;
    let (passed, text) = upgrade(&without, true)?;
    expect(&old, !passed && text.contains("loadable_libraries.txt"), || format!("without the library:\n{text}"))?;
    // With it, preloaded in both: it passes, and no worker has run meanwhile.
    let new = subject.cluster(&[])?;
    let (passed, text) = upgrade(&new, false)?;
    expect(&new, passed, || format!("with the library:\n{text}"))?;
    subject.start(&new)?;
    let mut client = new.connect("postgres")?;
    let total = course::checks::total(subject, &new, &mut client)?;
    expect(&new, total == 5, || format!("the total is {total}"))
}

// ---- the end

/// A smart shutdown waits for the clients, and the workers work until the last of them has gone.
fn smart_shutdown(subject: &Subject) -> Result<()> {
    let (server, mut client) = ready(subject, &[])?;
    let worker = subject.pid(&server, 1)?;
    let mark = server.mark();
    pg_ctl(&server, &["stop", "-W", "-s", "-m", "smart"])?;
    server.wait_log(mark, "received smart shutdown request")?;
    client.batch_execute("INSERT INTO step7.counted VALUES ('delta', 5)")?;
    let total = course::checks::total(subject, &server, &mut client)?;
    expect(&server, total == 5 && !gone(worker), || format!("the total is {total}"))?;
    drop(client);
    server.eventually("the worker gone", limit(), || gone(worker).then_some(()))?;
    server.wait_log(mark, "database system is shut down")?;
    Ok(())
}

/// The page of signals: what each does to a connected worker of the last step.
fn signals_of_a_worker(subject: &Subject) -> Result<()> {
    let (server, mut client) = ready(subject, &[])?;
    let pid = subject.pid(&server, 1)?;
    let mark = server.mark();
    signal(pid, "HUP")?;
    server.wait_log(mark, &format!("{}: settings reloaded", subject.worker(1)))?;
    course::checks::drive(&server, &[pid], 2)?; // SIGUSR1
    signal(pid, "INT")?;
    course::checks::drive(&server, &[pid], 2)?;
    expect(&server, !gone(pid), || "SIGINT has ended it".into())?;
    let mark = server.mark();
    signal(pid, "TERM")?;
    server.wait_log(
        mark,
        &format!("FATAL:  terminating background worker \"{}\" due to administrator command", subject.step),
    )?;
    server.wait_log(mark, &format!("background worker \"{}\" (PID {pid}) exited with exit code 1", subject.step))?;
    let pid = subject.other_pid(&server, 1, pid)?;
    let mark = server.mark();
    signal(pid, "KILL")?;
    server.wait_log(
        mark,
        &format!("background worker \"{}\" (PID {pid}) was terminated by signal 9: Killed", subject.step),
    )?;
    server.wait_log(mark, "terminating any other active server processes")?;
    server.wait_log(mark, "all server processes terminated; reinitializing")?;
    server.wait_log(mark, "automatic recovery in progress")?;
    expect(&server, client.query("SELECT 1", &[]).is_err(), || "the session has lived on".into())
}

/// Which of these signals a process catches, and which it ignores: `("TERM ...", "HUP ...")`.
fn dispositions(pid: i32) -> Result<(String, String)> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let names = |key: &str| -> Result<String> {
        let mask = status.lines().find_map(|line| line.strip_prefix(key)).ok_or("no such line")?;
        let mask = u64::from_str_radix(mask.trim(), 16)?;
        let known = [("HUP", 1), ("INT", 2), ("QUIT", 3), ("USR1", 10), ("USR2", 12), ("PIPE", 13), ("TERM", 15)];
        let named: Vec<_> =
            known.iter().filter(|(_, number)| mask >> (number - 1) & 1 == 1).map(|(name, _)| *name).collect();
        Ok(named.join(" "))
    };
    Ok((names("SigCgt:")?, names("SigIgn:")?))
}

/// What PostgreSQL has installed before it calls the main function, and what the steps add. The kernel knows.
fn signal_handlers(subject: &Subject) -> Result<()> {
    let first = first_step(subject)?;
    let server = first.server(&[])?;
    let seen = dispositions(first.pid(&server, 1)?)?;
    let expected = ("QUIT TERM".to_owned(), "HUP INT USR1 USR2 PIPE".to_owned());
    expect(&server, seen == expected, || format!("without a connection: {seen:?}"))?;
    let (server, _client) = ready(subject, &[])?;
    let seen = dispositions(subject.pid(&server, 1)?)?;
    let expected = ("HUP INT QUIT USR1 TERM".to_owned(), "USR2 PIPE".to_owned());
    expect(&server, seen == expected, || format!("with a connection: {seen:?}"))
}

/// An exit code that is neither 0 nor 1 is a crash. SIGQUIT, the signal of an immediate shutdown, makes such a one: 2.
fn other_exit_code(subject: &Subject) -> Result<()> {
    let (server, _client) = ready(subject, &[])?;
    let pid = subject.pid(&server, 1)?;
    let mark = server.mark();
    Command::new("kill").args(["-QUIT", &pid.to_string()]).status()?;
    server.wait_log(mark, &format!("background worker \"{}\" (PID {pid}) exited with exit code 2", subject.step))?;
    server.wait_log(mark, "terminating any other active server processes")?;
    // The server comes back, and so does the worker.
    server.wait_log(mark, &format!("{}: started", subject.worker(1)))?;
    Ok(())
}

/// Since 19, the line below the end of a worker names the process that has sent SIGTERM.
fn who_has_sent_it(subject: &Subject) -> Result<()> {
    let (server, mut client) = ready(subject, &[])?;
    let pid = subject.pid(&server, 1)?;
    let me: i32 = client.query_one("SELECT pg_backend_pid()", &[])?.get(0);
    let mark = server.mark();
    client.query_one("SELECT pg_terminate_backend($1)", &[&pid])?;
    server.wait_log(mark, &format!("background worker \"{}\" (PID {pid}) exited with exit code 1", subject.step))?;
    let lines = lines_of(&server, pid);
    let named = lines.iter().any(|line| line.contains(&format!("DETAIL:  Signal sent by PID {me}, UID ")));
    expect(&server, named == (subject.installation.major >= 19), || lines.join("\n"))
}

/// Since 19, each type of process can have a level of its own in the log.
fn levels_by_process(subject: &Subject) -> Result<()> {
    let levels = "log_min_messages = 'warning, bgworker:debug1'";
    let server = Throwaway::new(&subject.installation, &[])?;
    server.start()?;
    let set = server.connect("postgres")?.batch_execute(&format!("ALTER SYSTEM SET {levels}"));
    expect(&server, set.is_ok() == (subject.installation.major >= 19), || format!("{set:?}"))?;
    if subject.installation.major < 19 {
        return Ok(());
    }
    let mark = server.mark();
    server.restart(Mode::Fast)?;
    server.wait_log(mark, "DEBUG:  logical replication launcher started")?;
    let log = server.log();
    // The postmaster, which is no worker, would say with debug1 that it has registered one.
    expect(&server, !log[mark..].contains("DEBUG:  registering background worker"), || log[mark..].to_owned())
}

/// Since 19 there is a command that takes a slot and fails without one. The one slot is that of the logical replication launcher.
fn repack_takes_a_slot(subject: &Subject) -> Result<()> {
    let server = Throwaway::new(&subject.installation, &["max_worker_processes = 1"])?;
    server.start()?;
    let mut client = server.connect("postgres")?;
    client.batch_execute("CREATE TABLE full_of_holes (id int PRIMARY KEY)")?;
    let repack = client.batch_execute("REPACK (CONCURRENTLY) full_of_holes");
    let seen = repack.map_or_else(|error| reason(&error), |()| "success".into());
    let expected = if subject.installation.major >= 19 { "out of background worker slots" } else { "syntax error" };
    expect(&server, seen.contains(expected), || seen)
}

/// The table of the page on settings, in both languages, against a server without any.
fn settings(subject: &Subject) -> Result<()> {
    let server = Throwaway::new(&subject.installation, &[])?;
    server.start()?;
    let mut client = server.connect("postgres")?;
    let root = cluster::checkout();
    for (language, empty) in [("en", "empty"), ("ja", "空")] {
        let text = fs::read_to_string(root.join("book").join(language).join("src/settings.md"))?;
        let rows = text.lines().skip_while(|line| !line.starts_with("|---")).take_while(|line| !line.is_empty());
        let mut count = 0;
        for row in rows.skip(1) {
            let cells: Vec<_> = row.trim_matches(['|', ' ']).split(" | ").map(|cell| cell.replace('`', "")).collect();
            let [name, value, context, _] = cells.as_slice() else { return Err(format!("{language}: {row}").into()) };
            // What our own session has set does not count.
            let sql = "SELECT context, current_setting(name), source FROM pg_settings WHERE name = $1";
            client.batch_execute("RESET ALL; SET statement_timeout = 0")?;
            let Some(found) = client.query_opt(sql, &[name])? else {
                let expected = name == "transaction_timeout" && subject.installation.major < 17;
                expect(&server, expected, || format!("{language}: there is no {name}"))?;
                continue;
            };
            let seen: (String, String) = (found.get(0), found.get(1));
            let shown = if value == empty { String::new() } else { value.clone() };
            expect(&server, seen == (context.clone(), shown), || format!("{language}: {name} is {seen:?}"))?;
            count += 1;
        }
        expect(&server, count >= 12, || format!("{language}: only {count} settings"))?;
    }
    Ok(())
}
