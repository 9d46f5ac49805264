//! The thread, and everything in it. Nothing in this file calls PostgreSQL; there is no `use pgrx` on purpose.

use futures_util::future::{Either, select};
use std::pin::pin;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc as questions, oneshot};
use tokio_postgres::{NoTls, SimpleQueryMessage};

/// What came back, as text that belongs to nobody: no pointer into PostgreSQL's memory crosses between the threads.
pub type Answer = Result<String, String>;

// ANCHOR: driver
/// The main thread's side.
pub struct Driver {
    thread: Option<JoinHandle<()>>,
    questions: questions::UnboundedSender<String>,
    answers: mpsc::Receiver<Answer>,
    /// Dropped, it tells the thread to stop, whatever it is doing.
    stop: Option<oneshot::Sender<()>>,
    /// Whether a question has no answer yet.
    pub waiting: bool,
}

impl Driver {
    /// Starts the thread. Call it before the signals are unblocked.
    pub fn start(conninfo: String) -> std::io::Result<Self> {
        let (questions, asked) = questions::unbounded_channel();
        let (told, answers) = mpsc::channel();
        let (stop, stopped) = oneshot::channel();
        // One thread, and no more: this runtime starts none of its own.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = std::thread::Builder::new()
            .name("driver".into())
            .spawn(move || runtime.block_on(serve(conninfo, asked, told, stopped)))?;
        Ok(Self { thread: Some(thread), questions, answers, stop: Some(stop), waiting: false })
    }

    /// Asks, and does not wait.
    pub fn ask(&mut self, question: String) {
        self.waiting = self.questions.send(question).is_ok();
    }

    /// An answer, if there is one.
    pub fn answer(&self) -> Option<Answer> {
        self.answers.try_recv().ok()
    }

    /// A panic ends a thread, and nothing else.
    pub fn has_died(&self) -> bool {
        self.thread.as_ref().is_none_or(|thread| thread.is_finished())
    }

    /// Tells the thread to stop and waits for its end, but not for ever. Returns whether it has ended.
    pub fn stop(&mut self, limit: Duration) -> bool {
        drop(self.stop.take());
        let end = Instant::now() + limit;
        while !self.has_died() && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(1));
        }
        match self.thread.take_if(|thread| thread.is_finished()) {
            Some(thread) => thread.join().is_ok(),
            None => false,
        }
    }
}
// ANCHOR_END: driver

// ANCHOR: serve
/// The thread: one question after the other, until it is told to stop. Where it waits for the network, it also waits for that.
async fn serve(
    conninfo: String,
    mut questions: questions::UnboundedReceiver<String>,
    answers: mpsc::Sender<Answer>,
    mut stop: oneshot::Receiver<()>,
) {
    loop {
        let work = pin!(async {
            let question = questions.recv().await?;
            Some(ask(&conninfo, &question).await.map_err(|error| describe(&error)))
        });
        let Either::Left((Some(answer), _)) = select(work, &mut stop).await else { return };
        if answers.send(answer).is_err() {
            return;
        }
        wake_main_thread();
    }
}

async fn ask(conninfo: &str, question: &str) -> Result<String, tokio_postgres::Error> {
    let (client, connection) = tokio_postgres::connect(conninfo, NoTls).await?;
    let query = pin!(client.simple_query(question));
    // Both at once: the connection moves the bytes that the query waits for.
    let rows = match select(query, pin!(connection)).await {
        Either::Left((rows, _)) => rows?,
        Either::Right((Err(error), _)) => return Err(error),
        Either::Right((Ok(()), query)) => query.await?,
    };
    let first = rows.iter().find_map(|row| match row {
        SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
        _ => None,
    });
    Ok(first.unwrap_or_default())
}

fn describe(error: &tokio_postgres::Error) -> String {
    error.as_db_error().map_or_else(|| error.to_string(), |server| server.message().to_owned())
}

/// A signal is the one thing that a thread may use to wake the main thread: PostgreSQL's handler for SIGUSR1 sets the latch, and it
/// runs in the main thread, as all others have the signal blocked.
fn wake_main_thread() {
    let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::USR1);
}
// ANCHOR_END: serve
