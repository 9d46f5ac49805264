//! The verdict on a learner's copy: built, installed, loaded, and judged by the step's checks.

use crate::build_dir::{BuildDir, Shell};
use crate::checks::{self, Check, Subject, Tier};
use crate::error::{Error, Result, machine};
use crate::starter::{self, Open};
use crate::step::Step;
use cluster::Lang;
use cluster::failure::Failure;
use cluster::log;
use cluster::tell;
use cluster::throwaway::{self, Installation, Throwaway, no_line};
use std::collections::BTreeMap;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How many checks run side by side: most of them wait, for a server that starts or for a worker that naps.
const SIDE_BY_SIDE: usize = 4;

/// The shortest time after which the quick checks give up waiting: a worker that naps for a second, and half a second more. A machine
/// that is slow to start a server gets more.
const PATIENCE: Duration = Duration::from_millis(1500);

/// How long a server that is ready may be without any worker, if the log has nothing to say.
const ABSENT: Duration = Duration::from_millis(700);

/// What happens, as it happens.
#[derive(Clone, Debug)]
pub enum Event {
    /// Another command builds in the same place, and is waited for.
    Waiting,
    /// The dependencies are compiled, once.
    FirstBuild,
    /// The compiler works.
    Building,
    /// It is built and installed.
    Built(Duration),
    /// A server has started with it, and its worker has reported itself.
    Booted(Duration),
    /// These checks come now.
    Tier(Tier, usize),
    /// A check has passed.
    Passed(&'static str, Duration),
    /// All quick checks have passed, so long after the command.
    Quick(Duration),
    /// So many checks of the steps before have passed, too.
    Inherited(usize, Duration),
}

/// The verdict.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// All checks that were asked for have passed.
    Green,
    /// It does not compile: what the compiler says.
    DoesNotCompile(String),
    /// A check has failed.
    Red(Red),
}

/// A check that has failed.
#[derive(Clone, Debug)]
pub struct Red {
    /// The check.
    pub check: &'static str,
    /// What was seen.
    pub seen: String,
    /// The end of the server's log.
    pub log: Vec<String>,
    /// The name of the hint that fits.
    pub hint: Option<String>,
}

/// Where a learner's copy of one step is built and judged.
pub struct Judge {
    step: Arc<Step>,
    lang: Lang,
    root: PathBuf,
    shell: Shell,
    source: PathBuf,
    folder: PathBuf,
    build_dir: BuildDir,
    target: PathBuf,
    /// The private PostgreSQL into which the copy is installed.
    pub installation: Arc<Installation>,
    running: Vec<JoinHandle<()>>,
    stop: Arc<AtomicBool>,
}

/// The environment of a step.
pub fn shell(root: &Path, step: &str) -> Result<Shell> {
    Shell::of(root, step).map_err(|error| {
        // The script has said the cause and the next command already.
        let text = error.to_string();
        let text = text.trim().trim_start_matches("error: ").trim_start_matches("エラー: ").to_owned();
        let text = if text.is_empty() {
            tell!("scripts/lib failed", "scripts/lib が失敗しました")
        } else {
            text.into()
        };
        Error::Machine(text.into())
    })
}

impl Judge {
    /// Prepares everything but the build. Waits for another command that is at work.
    pub fn open(
        root: &Path,
        step: &Arc<Step>,
        source: PathBuf,
        lang: Lang,
        tell: &mut dyn FnMut(Event),
    ) -> Result<Self> {
        Self::open_in("learner", root, step, source, lang, tell)
    }

    /// The same in another place, so that several can be at work at once.
    pub fn open_in(
        place: &str,
        root: &Path,
        step: &Arc<Step>,
        source: PathBuf,
        lang: Lang,
        tell: &mut dyn FnMut(Event),
    ) -> Result<Self> {
        let shell = shell(root, &step.name)?;
        let original = shell.installation()?;
        let shared = shell.target()?;
        if !compiled(&shared) {
            tell(Event::FirstBuild);
            first_build(&shell, &step.name, original.major)?;
        }
        let lock = fs::File::open(shared.join("workshops").join(place).join("lock"));
        if lock.is_ok_and(|lock| lock.try_lock().is_err()) {
            tell(Event::Waiting);
        }
        let build_dir = BuildDir::open(root, &shell, place)?;
        let folder = shell.scratch()?.join(format!("{place}/{}-{}", step.name, original.major));
        let bin = folder.join("pg").join(original.major.to_string()).join("bin/pg_config");
        let installation = match Installation::of(&bin) {
            Ok(copy) if copy.version == original.version && folder.join("whole").exists() => copy,
            _ => {
                let copy = original.copy_to(&folder)?;
                fs::write(folder.join("whole"), &copy.version).map_err(|error| machine(&folder, error))?;
                copy
            }
        };
        Ok(Self {
            step: step.clone(),
            lang,
            root: root.into(),
            shell,
            source,
            folder,
            build_dir,
            target: shared.join("workshops").join(place),
            installation: Arc::new(installation),
            running: Vec::new(),
            stop: Arc::default(),
        })
    }

    /// cargo's target folder for learners' copies.
    pub fn target(&self) -> &Path {
        &self.target
    }

    /// Judges the finished step as it is, in a copy of its own. Returns its folder.
    pub fn use_finished(&mut self) -> Result<PathBuf> {
        self.source = self.build_dir.copy(&self.step.name, &self.folder.join("fresh"))?;
        Ok(self.source.clone())
    }

    /// Judges not the learner's copy but a fresh one, with these holes open. Returns its folder.
    pub fn use_fresh(&mut self, open: Open) -> Result<PathBuf> {
        let folder = self.folder.join("fresh");
        self.source = self.build_dir.copy(&self.step.name, &folder)?;
        let sources = self.source.join("src");
        let copy = folder.join("copy");
        starter::write(&self.step, open, &copy, self.lang)?;
        let put = fs::remove_dir_all(&sources).and_then(|()| fs::rename(copy.join("src"), &sources));
        put.map_err(|error| machine(&sources, error))?;
        Ok(self.source.clone())
    }

    /// Builds, installs and judges, up to these tiers.
    pub fn verdict(&mut self, tiers: &[Tier], tell: &mut dyn FnMut(Event)) -> Result<Verdict> {
        let begin = Instant::now();
        tell(Event::Building);
        if let Some(text) = self.build()? {
            return Ok(Verdict::DoesNotCompile(text));
        }
        tell(Event::Built(begin.elapsed()));
        let subject = Subject::new(self.installation.clone(), &self.step.name);
        let booted = match self.boot(&subject)? {
            Ok(took) => took,
            Err(red) => return Ok(Verdict::Red(red)),
        };
        tell(Event::Booted(booted));
        for tier in tiers {
            let chosen = throwaway::chosen_limit().is_some();
            let limit = (*tier == Tier::Quick && !chosen).then_some(PATIENCE.max(booted * 8));
            let checks: Vec<_> = self.step.checks.iter().filter(|check| check.tier == *tier).collect();
            tell(Event::Tier(*tier, checks.len()));
            if let Some(red) = self.run_checks(checks, limit, tell)? {
                return Ok(Verdict::Red(red));
            }
            if *tier == Tier::Quick {
                tell(Event::Quick(begin.elapsed()));
            }
        }
        Ok(Verdict::Green)
    }

    /// Judges what has been judged green by what the steps before demand, up to these tiers.
    pub fn judge_inherited(&mut self, tiers: &[Tier], tell: &mut dyn FnMut(Event)) -> Result<Verdict> {
        let begin = Instant::now();
        let mut checks = checks::inherited(&self.step.name);
        checks.retain(|check| tiers.contains(&check.tier));
        let count = checks.len();
        tell(Event::Tier(Tier::Full, count));
        if let Some(red) = self.run_checks(checks, None, &mut |_| ())? {
            return Ok(Verdict::Red(red));
        }
        if count > 0 {
            tell(Event::Inherited(count, begin.elapsed()));
        }
        Ok(Verdict::Green)
    }

    /// What the compiler warns of; empty if it has nothing to say.
    pub fn warnings(&self) -> Result<String> {
        match self.compile("never")? {
            (true, text) => Ok(text),
            (false, text) => Err(Error::Machine(text.into())),
        }
    }

    fn compile(&self, colour: &str) -> Result<(bool, String)> {
        let mut command = self.shell.command(&format!(
            "export CARGO_TARGET_DIR=\"$OWN_TARGET\"; cd \"$SOURCE\" && \
             exec cargo build --quiet --color {colour} --lib --no-default-features --features pg{} 2>&1",
            self.installation.major
        ));
        command.env("SOURCE", &self.source).env("OWN_TARGET", &self.target);
        let out = command.output().map_err(|error| Error::Machine(error.into()))?;
        Ok((out.status.success(), String::from_utf8_lossy(&out.stdout).into_owned()))
    }

    /// Compiles and installs. Returns the compiler's messages if the copy does not compile.
    fn build(&self) -> Result<Option<String>> {
        let colour = if std::io::IsTerminal::is_terminal(&std::io::stdout()) && std::env::var_os("NO_COLOR").is_none() {
            "always"
        } else {
            "never"
        };
        let (success, text) = self.compile(colour)?;
        if !success {
            // The learner's crate is named when rustc has refused it. Whatever else fails is the machine's.
            let theirs =
                text.contains(&format!("could not compile `{}`", self.step.name)) && !text.contains("linking with");
            let room = text.contains("No space left on device");
            return if theirs && !room { Ok(Some(text)) } else { Err(Error::Machine(text.trim().into())) };
        }
        self.install()?;
        Ok(None)
    }

    /// Installs what was built. The SQL is generated again only when what it is made from has changed: cargo-pgrx takes it from a
    /// section of the library.
    fn install(&self) -> Result<()> {
        let name = &self.step.name;
        let built = self.target.join(format!("debug/lib{name}.so"));
        let bytes = fs::read(&built).map_err(|error| machine(&built, error))?;
        let control = fs::read(self.source.join(format!("{name}.control"))).unwrap_or_default();
        let manifest = fs::read(self.source.join("Cargo.toml")).unwrap_or_default();
        let mut hash = DefaultHasher::new();
        (section(&bytes, b".pgrxsc"), control, manifest).hash(&mut hash);
        let stamp = self.folder.join("sql");
        let now = hash.finish().to_string();
        let known = section(&bytes, b".pgrxsc").is_some() && fs::read_to_string(&stamp).is_ok_and(|old| old == now);
        if known {
            // A new file in its place: one that is loaded must not change.
            let (new, installed) = (self.folder.join("new.so"), self.library());
            let put = fs::write(&new, &bytes).and_then(|()| fs::rename(&new, &installed));
            return put.map_err(|error| machine(&installed, error));
        }
        let _ = fs::remove_file(&stamp);
        self.build_dir.install(&self.shell, name, &self.source, &self.installation)?;
        fs::write(&stamp, now).map_err(|error| machine(&stamp, error))
    }

    /// The installed library.
    pub fn library(&self) -> PathBuf {
        self.installation.lib.join(format!("{}.so", self.step.name))
    }

    /// Starts a server, proves that it has loaded what was built, and waits until worker 1 has reported itself. A worker that
    /// cannot do that any more is noticed at once.
    fn boot(&mut self, subject: &Subject) -> Result<Result<Duration, Red>> {
        let cluster = subject.cluster(&[])?;
        let booted = self.boot_on(&cluster, subject);
        // The server's end takes as long as its start, and the checks need not wait for it.
        self.running.push(std::thread::spawn(move || drop(cluster)));
        booted
    }

    fn boot_on(&self, cluster: &Throwaway, subject: &Subject) -> Result<Result<Duration, Red>> {
        let begin = Instant::now();
        let worker = subject.worker(1);
        let first = self.step.checks.first().map_or("", |check| check.id);
        let red = |cluster: &Throwaway| {
            let missing = no_line(&format!("{worker}: started")).within(begin.elapsed());
            self.red(first, cluster.failure(missing))
        };
        if let Err(error) = cluster.start() {
            // Does one without the library start?
            self.control()?;
            return Ok(Err(self.red(first, error)));
        }
        self.prove(cluster)?;
        let report = format!("{worker}: started");
        let mut absent = None;
        loop {
            let text = cluster.log();
            if text.contains(&report) {
                return Ok(Ok(begin.elapsed()));
            }
            let ended = |line: &str| log::ended(line).is_some_and(|end| end.worker.starts_with(&self.step.name));
            // The server runs, so the machine does its part.
            if text.lines().any(ended) || begin.elapsed() > Duration::from_secs(20) {
                return Ok(Err(red(cluster)));
            }
            if !cluster.processes(&self.step.name).is_empty() {
                absent = None;
            } else if absent.get_or_insert_with(Instant::now).elapsed() > ABSENT {
                return Ok(Err(red(cluster)));
            }
            std::thread::sleep(Duration::from_millis(5)); // neither the log nor the process table sends an event
        }
    }

    /// Fails if a server without the library does not work either: then it is not the learner's fault.
    fn control(&self) -> Result<()> {
        let server = Throwaway::new(&self.installation, &[])?;
        server.start()?;
        Ok(server.connect("postgres").map(drop)?)
    }

    /// Fails unless the file that the server has loaded is the file that was built. Many libraries have this name: the finished
    /// step's, the variants', the learner's.
    fn prove(&self, cluster: &Throwaway) -> Result<()> {
        let postmaster = cluster.postmaster()?;
        let Ok(maps) = fs::read_to_string(format!("/proc/{postmaster}/maps")) else { return Ok(()) };
        let file = format!("/{}.so", self.step.name);
        let loaded = maps.lines().find(|line| line.trim_end_matches(" (deleted)").ends_with(&file)).map(|line| {
            let mut words = line.split_whitespace().skip(4);
            let inode = words.next().and_then(|word| word.parse::<u64>().ok()).unwrap_or(0);
            (inode, words.collect::<Vec<_>>().join(" "))
        });
        let built = self.target.join(format!("debug/lib{}.so", self.step.name));
        let installed = self.library();
        let same = |inode: u64| -> std::io::Result<bool> {
            Ok(fs::metadata(&installed)?.ino() == inode && fs::read(&installed)? == fs::read(&built)?)
        };
        match loaded {
            Some((inode, _)) if same(inode).unwrap_or(false) => Ok(()),
            loaded => {
                let loaded = loaded.map_or("-".to_owned(), |(_, path)| path);
                let built = built.display();
                Err(Failure::from(tell!(
                    "the server has loaded {loaded}, which is not what was built ({built})",
                    "サーバーが読み込んだ {loaded} は、ビルドしたもの ({built}) と異なります"
                ))
                .into())
            }
        }
    }

    /// Runs checks side by side, and reports them in their order. Stops at the first that fails.
    fn run_checks(
        &mut self,
        checks: Vec<&'static Check>,
        limit: Option<Duration>,
        tell: &mut dyn FnMut(Event),
    ) -> Result<Option<Red>> {
        let (send, receive) = mpsc::channel();
        let next = Arc::new(AtomicUsize::new(0));
        self.stop.store(false, Ordering::Relaxed);
        for _ in 0..SIDE_BY_SIDE.min(checks.len()) {
            let (installation, step) = (self.installation.clone(), self.step.name.clone());
            let (checks, next, send, stop) = (checks.clone(), next.clone(), send.clone(), self.stop.clone());
            self.running.push(std::thread::spawn(move || {
                throwaway::set_limit(limit);
                while !stop.load(Ordering::Relaxed) {
                    let place = next.fetch_add(1, Ordering::Relaxed);
                    let Some(check) = checks.get(place) else { break };
                    let begin = Instant::now();
                    let subject = Subject::new(installation.clone(), &step);
                    let result = std::panic::catch_unwind(|| check.judge(&subject));
                    let result = match result {
                        Ok(result) => result,
                        Err(_) => Err(tell!("the check itself has failed", "検査そのものが失敗しました。").into()),
                    };
                    if send.send((place, result, begin.elapsed())).is_err() {
                        break;
                    }
                }
            }));
        }
        drop(send);
        let mut done = BTreeMap::new();
        let mut shown = 0;
        for (place, result, took) in receive {
            done.insert(place, (result, took));
            while let Some((result, took)) = done.remove(&shown) {
                let id = checks[shown].id;
                match result {
                    Ok(()) => tell(Event::Passed(id, took)),
                    Err(failed) => {
                        self.stop.store(true, Ordering::Relaxed);
                        if is_machine_fault(&failed.to_string()) {
                            return Err(Error::Machine(failed));
                        }
                        return Ok(Some(self.red(id, failed)));
                    }
                }
                shown += 1;
            }
        }
        self.rest();
        Ok(None)
    }

    /// Waits for checks that are still running after the first has failed, and for servers that are being removed.
    pub fn rest(&mut self) {
        for thread in self.running.drain(..) {
            // Checks catch their panics. A server whose assertion has failed does not.
            if let Err(panic) = thread.join() {
                std::panic::resume_unwind(panic);
            }
        }
    }

    fn red(&self, check: &'static str, failed: Failure) -> Red {
        // The hints know the English words.
        let hint = self.step.hint_for(check, &failed.to_string()).map(|hint| hint.name.clone());
        let log = failed.log.iter().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect();
        Red { check, seen: failed.what.get(self.lang).trim().to_owned(), log, hint }
    }

    /// The checkout.
    pub fn root(&self) -> &Path {
        &self.root
    }
}

/// Messages that a full disk or a starved system leaves, whatever the worker does.
fn is_machine_fault(text: &str) -> bool {
    let signs =
        ["No space left on device", "Cannot allocate memory", "Too many open files", "could not create shared memory"];
    signs.iter().any(|sign| text.contains(sign))
}

/// Are the dependencies compiled already?
fn compiled(target: &Path) -> bool {
    let entries = fs::read_dir(target.join("debug/deps")).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name()).any(|name| {
        let name = name.to_string_lossy();
        name.starts_with("libpgrx-") && name.ends_with(".rlib")
    })
}

/// Compiles the finished step in the shared target folder, so that everybody has the dependencies from there.
fn first_build(shell: &Shell, step: &str, major: u16) -> Result<()> {
    let command = format!("cargo build --quiet --lib -p {step} --no-default-features --features pg{major} 2>&1");
    let out = shell.command(&command).output().map_err(|error| Error::Machine(error.into()))?;
    if out.status.success() {
        return Ok(());
    }
    Err(Error::Machine(String::from_utf8_lossy(&out.stdout).trim().into()))
}

/// A section of an ELF file (64 bit, little endian).
fn section<'a>(file: &'a [u8], wanted: &[u8]) -> Option<&'a [u8]> {
    let number = |at: usize, bytes: usize| -> Option<usize> {
        let slice = file.get(at..at + bytes)?;
        Some(slice.iter().rev().fold(0, |sum, byte| sum << 8 | usize::from(*byte)))
    };
    if file.get(..6)? != b"\x7fELF\x02\x01" {
        return None;
    }
    let (table, size, count, names) = (number(40, 8)?, number(58, 2)?, number(60, 2)?, number(62, 2)?);
    let place = |index: usize| -> Option<(usize, usize)> {
        let header = table + index * size;
        Some((number(header + 24, 8)?, number(header + 32, 8)?))
    };
    let (names, _) = place(names)?;
    (0..count).find_map(|index| {
        let name = file.get(names + number(table + index * size, 4)?..)?;
        let (start, length) = place(index)?;
        (name.starts_with(wanted) && name.get(wanted.len()) == Some(&0)).then(|| file.get(start..start + length))?
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::step;

    /// Somebody else's library in the place of the one that was built: not the learner's fault, and no verdict.
    #[test]
    fn a_library_that_was_not_built_is_noticed() {
        let root = cluster::checkout();
        let steps = step::all(root).unwrap();
        let mut judge = Judge::open_in("exercises-0", root, &steps[0], "".into(), Lang::En, &mut |_| ()).unwrap();
        judge.use_finished().unwrap();
        assert!(judge.build().unwrap().is_none());
        let subject = Subject::new(judge.installation.clone(), &steps[0].name);
        assert!(judge.boot(&subject).unwrap().is_ok());
        let mut bytes = fs::read(judge.library()).unwrap();
        bytes.push(0); // it can be loaded all the same
        let new = judge.folder.join("other.so");
        fs::write(&new, bytes).unwrap();
        fs::rename(new, judge.library()).unwrap();
        match judge.boot(&subject) {
            Err(error @ Error::Machine(_)) => {
                assert!(error.show(Lang::En).contains("is not what was built"), "{}", error.show(Lang::En));
            }
            _ => panic!("nobody has noticed"),
        }
    }

    #[test]
    fn a_section_of_a_file_that_is_no_library() {
        assert_eq!(section(b"#!/bin/sh", b".text"), None);
        let me = fs::read(std::env::current_exe().unwrap()).unwrap();
        assert!(section(&me, b".text").is_some_and(|text| text.len() > 1000));
        assert_eq!(section(&me, b".nonsense"), None);
        assert_eq!(section(&me[..200], b".text"), None);
    }
}
