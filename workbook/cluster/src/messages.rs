//! Everything that the command says, in both languages side by side: a message without one of them does not compile.

pub use crate::lang::Lang;

/// A message with what is filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the texts below say what each is")]
pub enum Message {
    /// Said already, in the reader's language.
    Said(String),
    Error(Box<Message>),
    Next(Box<Message>),
    LastLogLines,
    Building(String),
    BuildFailed(String),
    Fix {
        source: String,
        again: String,
    },
    Starting {
        step: String,
        port: u16,
    },
    Waiting,
    Alive {
        step: String,
        seconds: u64,
    },
    ProcessTable,
    Activity,
    NoActivityRow,
    LogLines(String),
    Stop(String),
    Psql,
    NotInEnvironment(String),
    SelectStep,
    CannotRun {
        program: String,
        why: String,
    },
    SetUp,
    AnotherRun,
    ServerDidNotStart,
    LibraryGone(String),
    LibraryUnfit(String),
    PortTaken(u16),
    DiskFull,
    SharedMemory,
    TooManyWorkers,
    ClusterUnfit,
    WorkerFatal {
        worker: String,
        why: String,
    },
    WorkerKeepsDying {
        worker: String,
        code: String,
    },
    NoWorker(String),
    WorkerCrashed {
        worker: String,
        signal: String,
    },
    ServerGone,
    WorkerSilent {
        step: String,
        seconds: u64,
    },
    WorkerNotAlive(String),
    FreeDisk,
    Clean,
    RaiseWorkers,
    FollowLog {
        step: String,
        again: String,
    },
    RunAgain(String),
    CannotStop,
}

impl Message {
    /// The text in a language.
    pub fn text(&self, lang: Lang) -> String {
        use Message::*;
        let (en, ja) = match self {
            Said(text) => return text.clone(),
            Error(cause) => (format!("error: {}", cause.text(lang)), format!("エラー: {}", cause.text(lang))),
            Next(what) => (format!("  next: {}", what.text(lang)), format!("  次の操作: {}", what.text(lang))),
            LastLogLines => ("The last lines of the server log:".into(), "サーバーログの最後の部分:".into()),
            Building(step) => (
                format!("Building and installing {step} (the first build takes one to two minutes)"),
                format!("{step} をビルドしてインストールします (初回のビルドには 1 ～ 2 分かかります)"),
            ),
            BuildFailed(step) => (
                format!("{step} does not compile; the compiler's messages are above"),
                format!("{step} をコンパイルできません。コンパイラのメッセージは上に表示されています"),
            ),
            Fix { source, again } => (
                format!("correct {source}/src, then: {again}"),
                format!("{source}/src を修正した後: {again}"),
            ),
            Starting { step, port } => (
                format!("Starting PostgreSQL on port {port} with shared_preload_libraries = '{step}'"),
                format!("PostgreSQL を起動します (ポート {port}、shared_preload_libraries = '{step}')"),
            ),
            Waiting => ("Waiting for the worker to report itself".into(), "ワーカーからの起動の報告を待っています".into()),
            Alive { step, seconds } => (
                format!("{step} is alive (after {seconds} s, with the build)."),
                format!("{step} のワーカーが動作しています (ビルドを含めて {seconds} 秒)。"),
            ),
            ProcessTable => (
                "In the process table, a child of the postmaster:".into(),
                "プロセス一覧での表示 (postmaster の子プロセスです):".into(),
            ),
            Activity => ("In pg_stat_activity:".into(), "pg_stat_activity での表示:".into()),
            NoActivityRow => (
                "In pg_stat_activity: no row. That view shows clients, PostgreSQL's auxiliary processes, and the background workers \
                 that have connected to a database. This one has not connected."
                    .into(),
                "pg_stat_activity での表示: 行はありません。このビューに現れるのは、クライアント、PostgreSQL の補助プロセス、\
                 データベースに接続したバックグラウンドワーカーです。このワーカーは接続していません。"
                    .into(),
            ),
            LogLines(path) => (format!("In the server log ({path}):"), format!("サーバーログでの表示 ({path}):")),
            Stop(step) => (
                format!("The server stays up. Stop it with: scripts/run --stop {step}    Follow its log: scripts/run --log {step}"),
                format!("サーバーは動作し続けます。停止: scripts/run --stop {step}    ログの表示: scripts/run --log {step}"),
            ),
            Psql => (
                "psql in the database postgres (leave it with \\q):".into(),
                "データベース postgres に psql で接続します (\\q で終了します):".into(),
            ),
            NotInEnvironment(name) => (
                format!("no step is selected in this shell ({name} is not set)"),
                format!("このシェルではステップが選択されていません ({name} が設定されていません)"),
            ),
            SelectStep => ("scripts/run step1".into(), "scripts/run step1".into()),
            CannotRun { program, why } => (format!("{program} cannot be run: {why}"), format!("{program} を実行できません: {why}")),
            SetUp => (
                "scripts/setup, then repeat the command".into(),
                "scripts/setup を実行した後、もう一度実行してください".into(),
            ),
            AnotherRun => (
                "Another scripts/run of this step is at work. Waiting for it ...".into(),
                "このステップの別の scripts/run が実行中です。終わるのを待っています...".into(),
            ),
            ServerDidNotStart => ("PostgreSQL did not start".into(), "PostgreSQL が起動しませんでした".into()),
            LibraryGone(library) => (
                format!("PostgreSQL did not start: it has to preload {library}, and there is no such library (any more)"),
                format!("PostgreSQL が起動しませんでした。事前ロードする共有ライブラリ {library} が存在しません"),
            ),
            LibraryUnfit(why) => (
                format!("PostgreSQL did not start: it cannot load the step's library: {why}"),
                format!("PostgreSQL が起動しませんでした。ステップの共有ライブラリをロードできません: {why}"),
            ),
            PortTaken(port) => (
                format!("PostgreSQL did not start: port {port} is used by another program"),
                format!("PostgreSQL が起動しませんでした。ポート {port} は別のプログラムが使っています"),
            ),
            DiskFull => (
                "PostgreSQL did not start: no space is left on the disk".into(),
                "PostgreSQL が起動しませんでした。ディスクに空き容量がありません".into(),
            ),
            SharedMemory => (
                "PostgreSQL did not start: the system gives it no shared memory".into(),
                "PostgreSQL が起動しませんでした。共有メモリを確保できません".into(),
            ),
            TooManyWorkers => (
                "a worker was not registered: max_worker_processes is too low".into(),
                "ワーカーを登録できませんでした。max_worker_processes の値が小さすぎます".into(),
            ),
            ClusterUnfit => (
                "PostgreSQL did not start: this database cluster was made by another PostgreSQL".into(),
                "PostgreSQL が起動しませんでした。このデータベースクラスタは別の PostgreSQL で作成されたものです".into(),
            ),
            WorkerFatal { worker, why } => (
                format!("the worker \"{worker}\" ended before it was ready: {why}"),
                format!("ワーカー「{worker}」が準備の完了前に終了しました: {why}"),
            ),
            WorkerKeepsDying { worker, code } => (
                format!("the worker \"{worker}\" ends with exit code {code} as soon as it is started, again and again"),
                format!("ワーカー「{worker}」が、起動のたびに終了コード {code} ですぐに終了しています"),
            ),
            NoWorker(step) => (
                format!(
                    "the server runs without a worker of {step}, and has logged no failure: the worker has ended with exit code 0 \
                     (then the postmaster does not start it again), or none was registered"
                ),
                format!(
                    "サーバーは動作していますが {step} のワーカーが存在せず、失敗のログもありません。ワーカーが終了コード 0 で終了した\
                     (この場合 postmaster は再起動しません) か、ワーカーが登録されていません"
                ),
            ),
            WorkerCrashed { worker, signal } => (
                format!("the worker \"{worker}\" was killed by signal {signal}: PostgreSQL then restarts all its processes, again and again. The server has been stopped"),
                format!("ワーカー「{worker}」がシグナル {signal} で異常終了しました。そのたびに PostgreSQL の全プロセスが再起動するため、サーバーを停止しました"),
            ),
            ServerGone => ("the server ended".into(), "サーバーが終了しました".into()),
            WorkerSilent { step, seconds } => (
                format!("no worker of {step} has reported itself within {seconds} s (the line \"{step} worker 1: started\")"),
                format!("{step} のワーカーから {seconds} 秒以内に起動の報告がありませんでした (「{step} worker 1: started」という行)"),
            ),
            WorkerNotAlive(step) => (
                format!("a worker of {step} reported itself, and is not alive any more"),
                format!("{step} のワーカーは起動を報告しましたが、すでに終了しています"),
            ),
            FreeDisk => (
                "make room (df -h shows where), then repeat the command".into(),
                "空き容量を増やし (df -h で確認できます)、もう一度実行してください".into(),
            ),
            Clean => (
                "scripts/clean (removes the workbook's own clusters), then repeat the command".into(),
                "scripts/clean (このワークブックのデータベースクラスタを削除します) の後、もう一度実行してください".into(),
            ),
            RaiseWorkers => (
                "scripts/clean, or raise max_worker_processes with ALTER SYSTEM, then repeat the command".into(),
                "scripts/clean を実行するか、ALTER SYSTEM で max_worker_processes を増やした後、もう一度実行してください".into(),
            ),
            FollowLog { step, again } => (
                format!("scripts/run --log {step}   (the whole log; correct the cause, then: {again})"),
                format!("scripts/run --log {step}   (ログ全体を確認し、原因を修正した後: {again})"),
            ),
            RunAgain(again) => (again.clone(), again.clone()),
            CannotStop => ("the server that is running cannot be stopped".into(), "動作中のサーバーを停止できません".into()),
        };
        match lang {
            Lang::En => en,
            Lang::Ja => ja,
        }
    }
}
