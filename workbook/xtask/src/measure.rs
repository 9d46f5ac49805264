//! `cargo xtask measure`, for `cargo xtask bench`: `worker_spi` in Rust against the sample in C, in the same run.
//!
//! The two take turns in short blocks on two servers that differ in the library only, and what is compared is a ratio: so whatever
//! else the machine does meets both. A cycle is driven by SIGUSR1, which does nothing but set the worker's latch, and is over when
//! the worker sleeps again. What it costs is the worker's own processor time, as the kernel counts it in nanoseconds, and the
//! instructions that it has carried out, where the kernel lets us read the processor's counter.

use cluster::failure::Result;
use cluster::throwaway::{Installation, Mode, Throwaway, gone, signal, status};
use course::checks::{Random, number};
use perf_event::events::Hardware;
use perf_event::{Builder, Counter};
use postgres::Client;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long anything may take.
const LIMIT: Duration = Duration::from_secs(60);

/// What both servers are told. No cycle comes by itself, and nothing writes that is not asked to.
const CONF: &[&str] = &[
    "worker_spi.total_workers = 1",
    "worker_spi.naptime = 100000",
    "autovacuum = off",
    "max_wal_size = '16GB'",
    "checkpoint_timeout = '1h'",
    "max_worker_processes = 16",
];

#[derive(clap::Args)]
pub struct Arguments {
    /// The pg_config of the installation with worker_spi in Rust
    ours: PathBuf,
    /// That of the installation with the sample in C
    original: PathBuf,
    /// That of the installation with step 7
    step7: PathBuf,
    /// The file to write
    results: PathBuf,
    /// How much to do, in per cent
    effort: usize,
}

pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    measure(arguments).map_err(|error| anyhow::Error::msg(error.to_string()))
}

fn measure(arguments: &Arguments) -> Result<()> {
    let install = |path: &PathBuf| Installation::of(path).map(Arc::new);
    let (ours, original, step7) =
        (install(&arguments.ours)?, install(&arguments.original)?, install(&arguments.step7)?);
    let mut bench = Benchmark { effort: arguments.effort, metrics: Vec::new() };
    bench.library(&ours, &original)?;
    bench.start(&ours, &original)?;
    let mut sides = [Side::new("rust", &ours)?, Side::new("c", &original)?];
    bench.memory(&sides, "memory_idle")?;
    bench.reload(&mut sides)?;
    bench.cycles(&mut sides)?;
    bench.launches(&mut sides)?;
    bench.writers(&mut sides)?;
    bench.many_cycles(&ours, &original)?;
    let beside = bench.beside(&ours, &original, &step7)?;
    bench.write(&arguments.results, &ours, &beside)
}

/// One of the two: a server, and its worker 1.
struct Side {
    name: &'static str,
    server: Throwaway,
    client: Client,
    pid: i32,
    /// The instructions that worker 1 carries out outside of the kernel. None where they cannot be counted.
    instructions: Option<Counter>,
}

impl Side {
    fn new(name: &'static str, installation: &Arc<Installation>) -> Result<Self> {
        Self::start(name, installation, "worker_spi", "schema1", CONF)
    }

    fn start(
        name: &'static str,
        installation: &Arc<Installation>,
        library: &str,
        schema: &str,
        conf: &[&str],
    ) -> Result<Self> {
        let server = Throwaway::new(installation, &[&format!("shared_preload_libraries = '{library}'")])?;
        server.configure(conf)?;
        server.start()?;
        let mut client = server.connect("postgres")?;
        client.batch_execute("SET statement_timeout = 0")?;
        let table = format!("SELECT (to_regclass('{schema}.counted') IS NOT NULL)::int");
        server.eventually("the table", LIMIT, || (number(&mut client, &table).ok()? == 1).then_some(()))?;
        let title = format!("{library} worker 1");
        let find = || server.processes(&title).first().map(|(pid, _)| *pid);
        let pid = server.eventually("worker 1", LIMIT, find)?;
        let instructions = instructions(pid)?;
        let this = Self { name, server, client, pid, instructions };
        this.asleep()?;
        Ok(this)
    }

    /// Waits until the worker sleeps, and has slept for a while.
    fn asleep(&self) -> Result<()> {
        let mut seen = (switches(self.pid)?, Instant::now());
        self.server.eventually("the worker asleep", LIMIT, || {
            let now = switches(self.pid).ok()?;
            if now != seen.0 {
                seen = (now, Instant::now());
            }
            (seen.1.elapsed() > Duration::from_millis(100)).then_some(())
        })
    }

    /// One cycle. Returns when the worker sleeps until the next: a cycle itself may sleep, too, for a lock of PostgreSQL's.
    fn cycle(&mut self) -> Result<()> {
        let naps =
            format!("SELECT count(*) FROM pg_stat_activity WHERE pid = {} AND wait_event_type = 'Extension'", self.pid);
        let before = switches(self.pid)?;
        signal(self.pid, "USR1")?;
        let limit = Instant::now() + LIMIT;
        while switches(self.pid)? == before
            || number(&mut self.client, &naps)? == 0
            || status(self.pid, "State")? != "S (sleeping)"
        {
            if Instant::now() > limit {
                return Err(self.server.failure("a cycle has not ended within a minute"));
            }
            sleep(Duration::from_micros(20));
        }
        Ok(())
    }

    /// Runs these cycles with this before each, and returns what one has cost the worker.
    fn cost(&mut self, cycles: usize, before: &str) -> Result<Cost> {
        let mut spent = Cost::default();
        for _ in 0..cycles {
            if !before.is_empty() {
                self.client.batch_execute(before)?;
            }
            let start = self.used()?;
            self.cycle()?;
            spent += self.used()? - start;
        }
        Ok(spent / cycles as f64)
    }

    /// What the worker has used until now.
    fn used(&mut self) -> Result<Cost> {
        let instructions = self.instructions.as_mut().map(Counter::read).transpose()?;
        Ok(Cost {
            time: processor_time(self.pid)? as f64 / 1000.0,
            instructions: instructions.map_or(f64::NAN, |n| n as f64),
        })
    }
}

/// Processor time in µs, and instructions: not a number where they cannot be counted.
#[derive(Clone, Copy, Default)]
struct Cost {
    time: f64,
    instructions: f64,
}

impl std::ops::Sub for Cost {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self { time: self.time - other.time, instructions: self.instructions - other.instructions }
    }
}

impl std::ops::AddAssign for Cost {
    fn add_assign(&mut self, other: Self) {
        *self = Self { time: self.time + other.time, instructions: self.instructions + other.instructions };
    }
}

impl std::ops::Div<f64> for Cost {
    type Output = Self;
    fn div(self, by: f64) -> Self {
        Self { time: self.time / by, instructions: self.instructions / by }
    }
}

/// Counts the instructions of a process from now on. None where the kernel or the machine does not allow it.
fn instructions(pid: i32) -> Result<Option<Counter>> {
    use std::io::ErrorKind::{NotFound, PermissionDenied, Unsupported};
    let counter = Builder::new(Hardware::INSTRUCTIONS).observe_pid(pid).build().and_then(|mut counter| {
        counter.enable()?;
        Ok(counter)
    });
    match counter {
        Ok(counter) => Ok(Some(counter)),
        // ENOENT and EOPNOTSUPP: no such counter; EACCES and EPERM: perf_event_paranoid, a container.
        Err(error) if matches!(error.kind(), NotFound | PermissionDenied | Unsupported) => Ok(None),
        Err(error) => Err(format!("the counter of instructions: {error}").into()),
    }
}

/// How often a process has gone to sleep.
fn switches(pid: i32) -> Result<u64> {
    Ok(status(pid, "voluntary_ctxt_switches")?.parse()?)
}

/// The processor time that a process has used, in ns. Exact while it sleeps.
fn processor_time(pid: i32) -> Result<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/schedstat"))?;
    Ok(stat.split(' ').next().unwrap_or_default().parse()?)
}

/// The memory that only this process has, in kB.
fn private_memory(pid: i32) -> Result<f64> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let lines = text.lines().filter(|line| line.starts_with("Private_"));
    Ok(lines.filter_map(|line| line.split_whitespace().nth(1)?.parse::<f64>().ok()).sum())
}

/// The end of a server's log.
struct Tail {
    file: File,
    text: String,
}

impl Tail {
    fn of(server: &Throwaway) -> Result<Self> {
        let path = server.data().parent().ok_or("no folder above data")?.join("log");
        let mut file = File::open(&path)?;
        file.seek(SeekFrom::End(0))?;
        Ok(Self { file, text: String::new() })
    }

    /// Waits for this text, and returns how long it took.
    fn wait(&mut self, text: &str, since: Instant) -> Result<Duration> {
        loop {
            self.file.read_to_string(&mut self.text)?;
            if self.text.contains(text) {
                return Ok(since.elapsed());
            }
            if since.elapsed() > LIMIT {
                return Err(format!("no \"{text}\" in the log within a minute").into());
            }
            sleep(Duration::from_micros(20));
        }
    }
}

/// One thing that was measured, block by block.
struct Metric {
    id: String,
    unit: &'static str,
    each: usize,
    blocks: BTreeMap<&'static str, Vec<f64>>,
}

impl Metric {
    fn median(&self, side: &str) -> f64 {
        self.blocks.get(side).map_or(f64::NAN, |values| median(values.clone()))
    }

    /// The ratio of the medians, and the interval that holds it in 95 of 100 resamplings of the blocks.
    fn ratio(&self) -> (f64, f64, f64) {
        let (ours, original) = (&self.blocks["rust"], &self.blocks["c"]);
        let mut random = Random(0x9e37_79b9_7f4a_7c15);
        let mut sample = |values: &[f64]| {
            median((0..values.len()).map(|_| values[random.below(values.len() as u64) as usize]).collect())
        };
        let mut ratios: Vec<f64> = (0..4000).map(|_| sample(ours) / sample(original)).collect();
        ratios.sort_by(f64::total_cmp);
        (self.median("rust") / self.median("c"), ratios[100], ratios[3899])
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        length if length % 2 == 1 => values[middle],
        _ => (values[middle - 1] + values[middle]) / 2.0,
    }
}

struct Benchmark {
    effort: usize,
    metrics: Vec<Metric>,
}

impl Benchmark {
    /// So many, as far as the effort goes.
    fn share(&self, number: usize) -> usize {
        (number * self.effort / 100).max(3)
    }

    fn note(&mut self, id: &str, unit: &'static str, each: usize, side: &'static str, value: f64) {
        let known = self.metrics.iter().position(|metric| metric.id == id);
        let place = known.unwrap_or_else(|| {
            self.metrics.push(Metric { id: id.into(), unit, each, blocks: BTreeMap::new() });
            self.metrics.len() - 1
        });
        self.metrics[place].blocks.entry(side).or_default().push(value);
    }

    fn say(&self, ids: &[&str]) {
        for metric in self.metrics.iter().filter(|metric| ids.contains(&metric.id.as_str())) {
            let (ratio, low, high) = metric.ratio();
            println!(
                "{:<20} {ratio:.3} ({low:.3} to {high:.3})   {:.1} / {:.1} {}",
                metric.id,
                metric.median("rust"),
                metric.median("c"),
                metric.unit
            );
        }
    }

    /// The size of the library without its symbols.
    fn library(&mut self, ours: &Installation, original: &Installation) -> Result<()> {
        for (side, installation) in [("rust", ours), ("c", original)] {
            let stripped = std::env::temp_dir().join(format!("worker_spi-{}.so", std::process::id()));
            let library = installation.lib.join("worker_spi.so");
            let status = std::process::Command::new("strip").arg("-o").arg(&stripped).arg(&library).status()?;
            if !status.success() {
                return Err(format!("strip {}: {status}", library.display()).into());
            }
            let size = fs::metadata(&stripped)?.len() as f64 / 1024.0;
            fs::remove_file(&stripped)?;
            self.note("library", "kB", 1, side, size);
        }
        self.say(&["library"]);
        Ok(())
    }

    /// From the start of the server until it accepts connections.
    fn start(&mut self, ours: &Arc<Installation>, original: &Arc<Installation>) -> Result<()> {
        let mut servers = Vec::new();
        for (side, installation) in [("rust", ours), ("c", original)] {
            let server = Throwaway::new(installation, &["shared_preload_libraries = 'worker_spi'"])?;
            server.configure(CONF)?;
            server.start()?; // makes the table
            server.stop(Mode::Fast)?;
            servers.push((side, server));
        }
        for block in 0..self.share(40) {
            for index in order(block) {
                let (side, server) = &servers[index];
                let mut tail = Tail::of(server)?;
                let begin = Instant::now();
                server.start_without_waiting()?;
                let took = tail.wait("database system is ready to accept connections", begin)?;
                tail.wait("initialized with schema1.counted", begin)?;
                self.note("server_start", "ms", 1, side, milliseconds(took));
                server.stop(Mode::Fast)?;
            }
        }
        self.say(&["server_start"]);
        Ok(())
    }

    fn memory(&mut self, sides: &[Side], id: &str) -> Result<()> {
        for side in sides {
            self.note(id, "kB", 1, side.name, private_memory(side.pid)?);
        }
        self.say(&[id]);
        Ok(())
    }

    /// From SIGHUP to the first line that has the new value in it.
    fn reload(&mut self, sides: &mut [Side; 2]) -> Result<()> {
        for side in sides.iter_mut() {
            side.client.batch_execute("INSERT INTO schema1.counted VALUES ('total', 0)")?;
        }
        let each = 10;
        for block in 0..self.share(20) {
            for index in order(block) {
                let side = &sides[index];
                let mut times = Vec::new();
                for turn in 0..each {
                    let token = format!("r{block}x{turn}");
                    side.server.configure(&[&format!("log_line_prefix = '{token} '")])?;
                    let mut tail = Tail::of(&side.server)?;
                    let begin = Instant::now();
                    signal(side.pid, "HUP")?;
                    times.push(milliseconds(tail.wait(&format!("{token} LOG:  worker_spi worker 1: count"), begin)?));
                    side.asleep()?;
                }
                self.note("reload", "ms", each, side.name, median(times));
            }
        }
        self.say(&["reload"]);
        Ok(())
    }

    /// A cycle with none, one, a hundred and ten thousand deltas.
    fn cycles(&mut self, sides: &mut [Side; 2]) -> Result<()> {
        for (id, deltas, each, blocks) in [
            ("cycle_0", 0, 500, 20),
            ("cycle_1", 1, 500, 20),
            ("cycle_100", 100, 50, 20),
            ("cycle_10000", 10_000, 5, 20),
        ] {
            let mut insert = match deltas {
                0 => String::new(),
                _ => format!("INSERT INTO schema1.counted SELECT 'delta', 1 FROM generate_series(1, {deltas});"),
            };
            if deltas == 10_000 {
                insert.push_str("COMMIT; VACUUM schema1.counted"); // what earlier cycles have left would be read again
            }
            let statements: Vec<_> = insert.split("COMMIT;").map(str::to_owned).collect();
            for block in 0..self.share(blocks) {
                for index in order(block) {
                    let side = &mut sides[index];
                    side.client.batch_execute("VACUUM schema1.counted")?;
                    side.cost(3, "")?; // the plan is made anew after a vacuum
                    let cost = match deltas {
                        10_000 => {
                            let mut sum = Cost::default();
                            for _ in 0..each {
                                side.client.batch_execute(&statements[1])?;
                                sum += side.cost(1, &statements[0])?;
                            }
                            sum / each as f64
                        }
                        _ => side.cost(each, &statements[0])?,
                    };
                    let left = number(&mut side.client, "SELECT count(*) FROM schema1.counted WHERE type = 'delta'")?;
                    if left != 0 {
                        return Err(format!("{}: {left} deltas are left after a cycle", side.name).into());
                    }
                    self.note(id, "µs", each, side.name, cost.time);
                    if !cost.instructions.is_nan() {
                        self.note(
                            &id.replace("cycle", "instructions"),
                            "instructions",
                            each,
                            side.name,
                            cost.instructions,
                        );
                    }
                }
            }
            self.say(&[id, &id.replace("cycle", "instructions")]);
        }
        Ok(())
    }

    /// Launch, first work, and end of a dynamic worker.
    fn launches(&mut self, sides: &mut [Side; 2]) -> Result<()> {
        let open = "SELECT count(*) FROM schema7.counted WHERE type = 'delta'";
        let add = "INSERT INTO schema7.counted VALUES ('delta', 1)";
        for side in sides.iter_mut() {
            side.client.batch_execute("CREATE EXTENSION worker_spi")?;
            let pid: i32 = side.client.query_one("SELECT worker_spi_launch(7)", &[])?.get(0);
            let table = "SELECT (to_regclass('schema7.counted') IS NOT NULL)::int";
            side.server.eventually("schema7", LIMIT, || (number(&mut side.client, table).ok()? == 1).then_some(()))?;
            signal(pid, "TERM")?;
            side.server.eventually("the end of the worker", LIMIT, || gone(pid).then_some(()))?;
            side.client.batch_execute("INSERT INTO schema7.counted VALUES ('total', 0)")?;
        }
        let each = 50;
        for block in 0..self.share(20) {
            for index in order(block) {
                let side = &mut sides[index];
                side.client.batch_execute("VACUUM schema7.counted")?;
                let launch = side.client.prepare("SELECT worker_spi_launch(7)")?;
                let open = side.client.prepare(open)?;
                let mut times = [Vec::new(), Vec::new(), Vec::new(), Vec::new()];
                for _ in 0..each {
                    side.client.batch_execute(add)?;
                    let begin = Instant::now();
                    let pid: i32 = side.client.query_one(&launch, &[])?.get(0);
                    times[0].push(milliseconds(begin.elapsed()));
                    while side.client.query_one(&open, &[])?.get::<_, i64>(0) != 0 {
                        if begin.elapsed() > LIMIT {
                            return Err(side.server.failure("a launched worker does nothing"));
                        }
                    }
                    times[1].push(milliseconds(begin.elapsed()));
                    sleep(Duration::from_millis(3)); // so that it sleeps, too
                    times[3].push(processor_time(pid)? as f64 / 1e6);
                    let begin = Instant::now();
                    signal(pid, "TERM")?;
                    while !gone(pid) {
                        if begin.elapsed() > LIMIT {
                            return Err(side.server.failure("a launched worker does not end"));
                        }
                        sleep(Duration::from_micros(20));
                    }
                    times[2].push(milliseconds(begin.elapsed()));
                }
                for (id, times) in
                    ["launch_forked", "launch_work", "terminate", "launch_processor"].into_iter().zip(times)
                {
                    self.note(id, "ms", each, side.name, median(times));
                }
            }
        }
        self.say(&["launch_forked", "launch_work", "terminate", "launch_processor"]);
        Ok(())
    }

    /// What a row costs the worker while eight clients write: its processor time.
    fn writers(&mut self, sides: &mut [Side; 2]) -> Result<()> {
        for block in 0..self.share(10) {
            for index in order(block) {
                let side = &mut sides[index];
                side.client.batch_execute("VACUUM schema1.counted")?;
                let total = "SELECT value FROM schema1.counted WHERE type = 'total'";
                let (begin, start) = (number(&mut side.client, total)?, processor_time(side.pid)?);
                let mut clients = (0..8).map(|_| side.server.connect("postgres")).collect::<Result<Vec<_>>>()?;
                let stop = AtomicBool::new(false);
                std::thread::scope(|scope| -> Result<()> {
                    for client in &mut clients {
                        scope.spawn(|| {
                            let sql = "INSERT INTO schema1.counted SELECT 'delta', 1 FROM generate_series(1, 10)";
                            while !stop.load(Ordering::Relaxed) {
                                if client.batch_execute(sql).is_err() {
                                    break;
                                }
                            }
                        });
                    }
                    let end = Instant::now() + Duration::from_secs(2);
                    let mut driven = Ok(());
                    while driven.is_ok() && Instant::now() < end {
                        driven = side.cycle();
                    }
                    stop.store(true, Ordering::Relaxed);
                    driven
                })?;
                side.asleep()?;
                side.cycle()?;
                side.asleep()?;
                let seconds = (processor_time(side.pid)? - start) as f64 / 1e9;
                let rows = number(&mut side.client, total)? - begin;
                self.note("writers", "µs", 1, side.name, seconds * 1e6 / rows as f64);
            }
        }
        self.say(&["writers"]);
        Ok(())
    }

    /// Private memory after a hundred thousand cycles.
    fn many_cycles(&mut self, ours: &Arc<Installation>, original: &Arc<Installation>) -> Result<()> {
        let mut sides = [Side::new("rust", ours)?, Side::new("c", original)?];
        let mut cycles = 100_000 * self.effort / 100;
        for side in &mut sides {
            side.client.batch_execute("INSERT INTO schema1.counted VALUES ('total', 0)")?;
        }
        while cycles > 0 {
            for side in &mut sides {
                for _ in 0..cycles.min(500) {
                    side.cycle()?;
                }
            }
            cycles -= cycles.min(500);
        }
        self.memory(&sides, "memory_after")
    }

    /// Step 7's design beside the two: from commit to processed, and what cycles without work leave behind.
    fn beside(
        &mut self,
        ours: &Arc<Installation>,
        original: &Arc<Installation>,
        step7: &Arc<Installation>,
    ) -> Result<String> {
        let mut text = String::new();
        let short = [&["worker_spi.naptime = 1"], &CONF[..1], &CONF[2..]].concat(); // its shortest nap
        let long = [&["step7.total_workers = 1", "step7.naptime = '1h'"], &CONF[2..]].concat();
        for (name, installation, library, schema, conf) in [
            ("rust", ours, "worker_spi", "schema1", &short),
            ("c", original, "worker_spi", "schema1", &short),
            ("step7", step7, "step7_dynamic_launch", "step7", &long),
        ] {
            let mut side = Side::start(name, installation, library, schema, conf)?;
            if name != "step7" {
                side.client.batch_execute("INSERT INTO schema1.counted VALUES ('total', 0)")?;
            }
            let open = side.client.prepare(&format!("SELECT count(*) FROM {schema}.counted WHERE type = 'delta'"))?;
            let mut times = Vec::new();
            for turn in 0..self.share(40) {
                sleep(Duration::from_millis((turn as u64 * 389) % 1000)); // at any moment of a nap
                side.client.batch_execute(&format!("INSERT INTO {schema}.counted VALUES ('delta', 1)"))?;
                let begin = Instant::now();
                while side.client.query_one(&open, &[])?.get::<_, i64>(0) != 0 {
                    if begin.elapsed() > LIMIT {
                        return Err(side.server.failure("the delta is not processed"));
                    }
                    sleep(Duration::from_micros(20));
                }
                times.push(milliseconds(begin.elapsed()));
            }
            let (processed, worst) = (median(times.clone()), times.iter().copied().fold(0.0, f64::max));
            // No cycle of their own from here on.
            side.server.configure(if name == "step7" { &[] } else { &["worker_spi.naptime = 100000"] })?;
            side.server.reload()?;
            side.asleep()?;
            side.client.batch_execute(&format!("VACUUM {schema}.counted"))?;
            side.client.batch_execute("CHECKPOINT")?;
            side.cycle()?;
            side.asleep()?;
            let wal = "SELECT pg_current_wal_insert_lsn() - '0/0'";
            let xid = "SELECT pg_snapshot_xmax(pg_current_snapshot())::text::int8";
            let before = (number(&mut side.client, wal)?, number(&mut side.client, xid)?);
            for _ in 0..360 {
                side.cycle()?;
            }
            side.asleep()?;
            let after = (number(&mut side.client, wal)?, number(&mut side.client, xid)?);
            let (wal, xids) = (after.0 - before.0, after.1 - before.1);
            println!(
                "{name:<8} commit to processed {processed:.2} ms (at most {worst:.2}); 360 idle cycles: {wal} bytes of WAL, {xids} XIDs"
            );
            write!(
                text,
                "\n[[beside]]\nid = \"{name}\"\nprocessed_ms = {processed:.2}\nworst_ms = {worst:.2}\nidle_wal = {wal}\nidle_xids = {xids}\n"
            )?;
        }
        Ok(text)
    }

    fn write(&self, path: &Path, installation: &Installation, beside: &str) -> Result<()> {
        let cpu = fs::read_to_string("/proc/cpuinfo")?;
        let model =
            cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": ")).map(|(_, name)| name);
        let processors = cpu.lines().filter(|line| line.starts_with("processor")).count();
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
        let kernel = kernel.split(|c: char| c != '.' && !c.is_ascii_digit()).next().unwrap_or_default();
        let date = std::process::Command::new("date").arg("+%Y-%m-%d").output()?;
        let mut text = String::from(
            "# Written by scripts/bench. The ratios are Rust / C, with their 95 % interval over the blocks.\n",
        );
        writeln!(text, "date = \"{}\"", String::from_utf8_lossy(&date.stdout).trim())?;
        writeln!(text, "machine = \"{processors} x {}, Linux {kernel}\"", model.unwrap_or("?"))?;
        writeln!(text, "postgresql = \"{}\"", installation.version)?;
        for metric in &self.metrics {
            let (ratio, low, high) = metric.ratio();
            writeln!(
                text,
                "\n[[metric]]\nid = \"{}\"\nratio = {ratio:.3}\nlow = {low:.3}\nhigh = {high:.3}",
                metric.id
            )?;
            writeln!(
                text,
                "rust = {:.2}\nc = {:.2}\nunit = \"{}\"\nblocks = {}\neach = {}",
                metric.median("rust"),
                metric.median("c"),
                metric.unit,
                metric.blocks["c"].len(),
                metric.each
            )?;
        }
        text.push_str(beside);
        fs::write(path, text)?;
        println!("{}", PathBuf::from(path).display());
        Ok(())
    }
}

/// Who comes first changes from block to block.
fn order(block: usize) -> [usize; 2] {
    if block.is_multiple_of(2) { [0, 1] } else { [1, 0] }
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
