//! What a reader sees of a failure, as far as it can be told from the log alone. The whole way is tested by scripts/checks/live.sh.

use std::path::PathBuf;
use workbook::{Environment, Error, Lang, Message, run};

fn environment() -> Environment {
    Environment {
        root: PathBuf::from("/nowhere"),
        step: "step1_registration".into(),
        source: PathBuf::from("/nowhere/steps/step1_registration"),
        home: PathBuf::from("/nowhere/step1"),
        pg_config: PathBuf::from("/nowhere/bin/pg_config"),
        major: "18".into(),
        port: 1,
    }
}

fn lines(text: &str) -> Vec<String> {
    text.lines().map(str::to_string).collect()
}

#[test]
fn an_error_is_the_log_then_the_cause_then_the_next_command() {
    let error = Error::new(Message::ServerGone, Message::RunAgain("step1".into())).with_log(lines("first\nsecond"));
    assert_eq!(
        error.show(Lang::En),
        "The last lines of the server log:\n    first\n    second\nerror: the server ended\n  next: scripts/run step1\n"
    );
    assert_eq!(
        error.show(Lang::Ja),
        "サーバーログの最後の部分:\n    first\n    second\nエラー: サーバーが終了しました\n  次の操作: scripts/run step1\n"
    );
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
