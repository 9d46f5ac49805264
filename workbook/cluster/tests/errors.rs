//! What a reader sees of a failure, as far as it can be told from the log alone. The whole way is tested by workbook/xtask/tests/scripts/live.rs.

use cluster::environment::Environment;
use cluster::error::Error;
use cluster::messages::Message;
use cluster::{Lang, log, run};
use std::path::PathBuf;

fn environment() -> Environment {
    Environment {
        root: PathBuf::from("/nowhere"),
        step: "step1_registration".into(),
        source: PathBuf::from("/nowhere/steps/step1_registration"),
        home: PathBuf::from("/nowhere/step1"),
        pg_config: PathBuf::from("/nowhere/bin/pg_config"),
        major: "18".into(),
        port: 1,
        variables: Vec::new(),
    }
}

fn lines(text: &str) -> Vec<String> {
    text.lines().map(str::to_string).collect()
}

#[test]
fn an_error_is_the_log_then_the_cause_then_the_next_command() {
    let error =
        Error::new(Message::ServerGone, Message::RunAgain("scripts/run step1".into())).with_log(lines("first\nsecond"));
    assert_eq!(
        error.show(Lang::En),
        "The last lines of the server log:\n    first\n    second\nerror: the server ended\n  next: scripts/run step1\n"
    );
    assert_eq!(
        error.show(Lang::Ja),
        "サーバーログの最後の部分:\n    first\n    second\nエラー: サーバーが終了しました\n  次の操作: scripts/run step1\n"
    );
}

/// A learner's copy and the finished step are built into one server, by different commands.
#[test]
fn what_is_to_be_typed_again_is_what_was_typed() {
    let mut env = environment();
    assert_eq!(env.again(), "scripts/run step1_registration");
    env.source = PathBuf::from("/nowhere/work/step1_registration");
    for lang in [Lang::En, Lang::Ja] {
        let log = env.follow_log().text(lang);
        assert!(
            log.starts_with("scripts/run --log step1_registration ") && log.ends_with(": cargo workbook run 1)"),
            "{log}"
        );
        for line in
            ["… FATAL:  something new", "… LOG:  could not bind IPv4 address \"127.0.0.1\": Address already in use"]
        {
            let next = log::why_not_started(&lines(line), &env.step, env.port, &env.again()).1.text(lang);
            assert!(next.contains("cargo workbook run 1") && !next.contains("scripts/run step1"), "{next}");
        }
    }
}

#[test]
fn one_end_of_a_worker_is_not_the_end_of_hope() {
    let log = "x [1] LOG:  background worker \"step1_registration worker 1\" (PID 7) exited with exit code 1";
    assert_eq!(run::hopeless(&environment(), &lines(log)), None);
}

#[test]
fn two_ends_are_and_the_reason_is_taken_from_the_workers_own_line() {
    let log = "x [7] FATAL:  database \"none\" does not exist\n\
               x [1] LOG:  background worker \"step1_registration worker 1\" (PID 7) exited with exit code 1\n\
               x [8] FATAL:  database \"none\" does not exist\n\
               x [1] LOG:  background worker \"step1_registration worker 1\" (PID 8) exited with exit code 1";
    let worker = "step1_registration worker 1".to_string();
    assert_eq!(
        run::hopeless(&environment(), &lines(log)),
        Some(Message::WorkerFatal { worker: worker.clone(), why: "database \"none\" does not exist".into() })
    );
    let silent = log.lines().filter(|l| !l.contains("FATAL")).map(str::to_string).collect::<Vec<_>>();
    assert_eq!(run::hopeless(&environment(), &silent), Some(Message::WorkerKeepsDying { worker, code: "1".into() }));
}

#[test]
fn other_workers_of_the_server_do_not_count() {
    let log =
        "x [1] LOG:  background worker \"logical replication launcher\" (PID 7) was terminated by signal 9: Killed";
    assert_eq!(run::hopeless(&environment(), &lines(log)), None);
    let log =
        "x [1] LOG:  background worker \"step1_registration worker 1\" (PID 7) was terminated by signal 9: Killed";
    assert_eq!(
        run::hopeless(&environment(), &lines(log)),
        Some(Message::WorkerCrashed { worker: "step1_registration worker 1".into(), signal: "9: Killed".into() })
    );
}
