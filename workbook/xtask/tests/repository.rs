//! What no compiler reads: workflows, forms, the development container, what assistants are told, the changelogs, links.
//!
//! Each rule has a fault that it finds: otherwise it could be satisfied because it looks at nothing.

use pulldown_cmark::{Event, Parser, Tag};
use regex::Regex;
use serde::{Deserialize, de::DeserializeOwned, de::IgnoredAny};
use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    cluster::checkout().to_owned()
}

#[test]
fn it_is_in_order() {
    let problems = Checkout { root: root(), changed: None }.problems();
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

/// File, what is replaced in it, by what, and what is said then.
const FAULTS: [[&str; 4]; 16] = [
    [".github/workflows/test.yml", " .ci/run\n", " .ci/runn\n", "names .ci/runn, which does not exist"],
    [".ci/site", "\nscripts/handout all", "\nscripts/handouts all", "names scripts/handouts, which does not exist"],
    [".github/workflows/site.yml", "# v7.0.1", "# v7", "without its commit and full version"],
    [".github/workflows/test.yml", "    timeout-minutes", "    timeout", "missing field `timeout-minutes`"],
    [".github/workflows/test.yml", "permissions:", "permission:", "missing field `permissions`"],
    [".github/workflows/test.yml", "rust:1.", "rust:0.", "rust-toolchain.toml wants"],
    [".github/ISSUE_TEMPLATE/1-step.yml", "Step / ステップ", "Step", "not in both languages: \"Step\""],
    [".github/ISSUE_TEMPLATE/3-idea.yml", "id: who", "id: idea", "two parts have the id idea"],
    [".github/ISSUE_TEMPLATE/1-step.yml", "        - \"7\"\n", "", "does not offer the step 7"],
    [".github/pull_request_template.md", " / どう確かめたか", "", "not in both languages"],
    [".devcontainer/devcontainer.json", "scripts/setup && ", "", "does not call scripts/setup"],
    ["AGENTS.md", "workbook doctor", "workbook doktor", "names cargo workbook doktor"],
    ["AGENTS.md", "steps/*/transcripts", "steps/*/scripts", "names steps/*/scripts/, which does not exist"],
    ["CLAUDE.md", "AGENTS", "README", "does not lead to AGENTS.md"],
    ["CHANGELOG.ja.md", "\n- ", "\n  ", "do not follow those of the English one"],
    ["README.md", "](CONTRIBUTING.md", "](CONTRIBUTE.md", "links to CONTRIBUTE.md, which does not exist"],
];

#[test]
fn each_fault_is_found() {
    for [file, from, to, said] in FAULTS {
        let text = fs::read_to_string(root().join(file)).unwrap();
        let changed = text.replacen(from, to, 1);
        assert_ne!(text, changed, "{file} does not have {from:?}");
        let problems = Checkout { root: root(), changed: Some((file, changed)) }.problems();
        assert!(
            problems.iter().any(|problem| problem.contains(said)),
            "{to:?} in {file}: {said:?} is not said:\n{}",
            problems.join("\n")
        );
    }
}

/// Git for Windows writes CRLF where nothing forbids it, and the checkout is then used in WSL or in a container.
#[test]
fn a_clone_of_git_for_windows_has_lf() {
    let work = tempfile::tempdir().unwrap();
    let git = |folder: &Path, arguments: &[&str]| {
        let mut command = Command::new("git");
        command.current_dir(folder).args([
            "-c",
            "user.name=test",
            "-c",
            "user.email=test@localhost",
            "-c",
            "core.safecrlf=false",
        ]);
        let done = command.args(arguments).output().unwrap();
        assert!(done.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap()
    };
    // The checkout as it is, whether committed or not.
    let from = work.path().join("from");
    for file in git(&root(), &["ls-files", "-z", "--cached", "--others", "--exclude-standard"]).split_terminator('\0') {
        let to = from.join(file);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(root().join(file), to).ok(); // removed, or a folder
    }
    let with_cr = |name: &str, attributes: Option<&str>| {
        if let Some(attributes) = attributes {
            fs::write(from.join(".gitattributes"), attributes).unwrap();
        }
        fs::remove_dir_all(from.join(".git")).ok();
        git(&from, &["init", "--quiet"]);
        git(&from, &["add", "--all", "--force"]);
        git(&from, &["commit", "--quiet", "--no-verify", "--message", "all"]);
        let to = work.path().join(name);
        git(work.path(), &["clone", "--quiet", "-c", "core.autocrlf=true", "from", name]);
        let files = git(&to, &["ls-files", "-z"]);
        let mut files: Vec<String> = files.split_terminator('\0').map(str::to_owned).collect();
        files.retain(|file| fs::read_to_string(to.join(file)).is_ok_and(|text| text.contains('\r')));
        files
    };
    assert_eq!(with_cr("clone", None), Vec::<String>::new());
    assert!(with_cr("without", Some("* text=auto\n")).contains(&"scripts/run".to_owned()), "the test sees no CRLF");
}

/// The checkout, with one file as if it were another.
struct Checkout {
    root: PathBuf,
    changed: Option<(&'static str, String)>,
}

// What the files have to hold. A field that is missing, or of another kind, is what the parser says.

#[derive(Deserialize)]
struct Workflow {
    #[serde(rename = "on")]
    _on: IgnoredAny,
    #[serde(rename = "permissions")]
    _permissions: IgnoredAny,
    jobs: BTreeMap<String, Job>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Job {
    #[serde(rename = "timeout-minutes")]
    _timeout_minutes: u32,
    container: Option<String>,
    needs: Option<String>,
    steps: Vec<Run>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Run {
    Script {
        run: String,
    },
    Action {
        #[serde(rename = "uses")]
        _uses: String,
    },
}

#[derive(Deserialize)]
struct Form {
    #[serde(rename = "name")]
    _name: Both,
    #[serde(rename = "description")]
    _description: Both,
    body: Vec<Part>,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Part {
    Markdown {
        #[serde(rename = "attributes")]
        _attributes: Shown,
    },
    Dropdown(Field),
    Textarea(Field),
    Input(Field),
    Checkboxes(Field),
}

#[derive(Deserialize)]
struct Shown {
    #[serde(rename = "value")]
    _value: Both,
}

#[derive(Deserialize)]
struct Field {
    id: String,
    attributes: Attributes,
}

#[derive(Deserialize)]
struct Attributes {
    #[serde(rename = "label")]
    _label: Both,
    #[serde(rename = "description")]
    _description: Option<Both>,
    #[serde(default)]
    options: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Container {
    image: String,
    post_create_command: String,
}

/// A text in English and in Japanese.
#[derive(Deserialize)]
#[serde(try_from = "String")]
struct Both;

impl TryFrom<String> for Both {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let english = Regex::new("[A-Za-z]{2}").unwrap().is_match(&text);
        let japanese = Regex::new("[\u{3040}-\u{30ff}\u{4e00}-\u{9fff}]").unwrap().is_match(&text);
        if english && japanese { Ok(Self) } else { Err(format!("not in both languages: {text:?}")) }
    }
}

impl Checkout {
    fn read(&self, file: &str) -> String {
        match &self.changed {
            Some((changed, text)) if *changed == file => text.clone(),
            _ => fs::read_to_string(self.root.join(file)).unwrap_or_default(),
        }
    }

    fn files(&self, folder: &str) -> Vec<String> {
        let entries = fs::read_dir(self.root.join(folder)).unwrap_or_else(|error| panic!("{folder}: {error}"));
        let mut files: Vec<String> =
            entries.flatten().map(|entry| format!("{folder}/{}", entry.file_name().to_string_lossy())).collect();
        files.sort();
        files
    }

    /// Everything that is wrong, with its file.
    fn problems(&self) -> Vec<String> {
        let mut all = vec![];
        let mut add = |file: &str, problems: Vec<String>| {
            all.extend(problems.into_iter().map(|problem| format!("{file}: {problem}")))
        };
        let mut runs = String::new();
        for file in self.files(".github/workflows") {
            add(&file, self.workflow(&file, &mut runs));
        }
        let missing = [".ci/run", ".ci/site"].iter().filter(|script| !runs.contains(**script));
        add(".github/workflows", missing.map(|script| format!("no workflow runs {script}")).collect());
        for file in self.files(".ci") {
            let code = self
                .read(&file)
                .lines()
                .filter(|line| !line.trim_start().starts_with('#'))
                .collect::<Vec<_>>()
                .join("\n");
            add(&file, self.scripts_exist(&code));
        }
        let mut forms = self.files(".github/ISSUE_TEMPLATE");
        forms.retain(|file| !file.ends_with("/config.yml"));
        for file in &forms {
            add(file, self.form(file));
        }
        if forms.len() < 3 {
            add(".github/ISSUE_TEMPLATE", vec!["has no form for a step, for the book or for ideas".into()]);
        }
        add(".devcontainer/devcontainer.json", self.container(&self.read(".devcontainer/devcontainer.json")));
        add("AGENTS.md", self.agents(&self.read("AGENTS.md")));
        for file in ["CLAUDE.md", ".github/copilot-instructions.md", ".gemini/settings.json"] {
            let leads = self.read(file).contains("AGENTS.md");
            add(file, if leads { vec![] } else { vec!["does not lead to AGENTS.md".into()] });
        }
        let lines = self.read(".github/pull_request_template.md");
        let lines = lines.lines().filter(|line| !line.trim().is_empty());
        add(
            ".github/pull_request_template.md",
            lines.filter_map(|line| Both::try_from(line.to_owned()).err()).collect(),
        );
        // Both changelogs have the same versions, the same kinds of changes and as many entries.
        let shape = |file: &str| -> Vec<String> {
            let text = self.read(file);
            let lines = text.lines().filter(|line| line.starts_with("##") || line.starts_with("- "));
            lines
                .map(|line| {
                    if line.starts_with("## ") {
                        line.into()
                    } else {
                        line.split(' ').next().unwrap_or_default().into()
                    }
                })
                .collect()
        };
        if shape("CHANGELOG.md") != shape("CHANGELOG.ja.md") {
            add("CHANGELOG.ja.md", vec!["its versions and entries do not follow those of the English one".into()]);
        }
        for name in ["README", "CONTRIBUTING", "CHANGELOG", "offline/README"] {
            for file in [format!("{name}.md"), format!("{name}.ja.md")] {
                add(&file, self.links(&file));
            }
        }
        all
    }

    fn parsed<T: DeserializeOwned>(&self, file: &str) -> Result<T, Vec<String>> {
        serde_saphyr::from_str(&self.read(file)).map_err(|error| vec![format!("cannot be read: {error}")])
    }

    fn workflow(&self, file: &str, runs: &mut String) -> Vec<String> {
        let workflow: Workflow = match self.parsed(file) {
            Ok(workflow) => workflow,
            Err(problems) => return problems,
        };
        let mut problems = vec![];
        for (name, job) in &workflow.jobs {
            problems.extend(job.container.iter().flat_map(|image| self.right_image(image)));
            if let Some(needed) = job.needs.as_ref().filter(|needed| !workflow.jobs.contains_key(*needed)) {
                problems.push(format!("the job {name} needs {needed}, which does not exist"));
            }
            for step in &job.steps {
                if let Run::Script { run } = step {
                    problems.extend(self.scripts_exist(run));
                    *runs += run;
                }
            }
        }
        let full = Regex::new(r"uses: [\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$").unwrap();
        let text = self.read(file);
        let actions = text.lines().filter(|line| line.contains("uses:") && !full.is_match(line));
        problems.extend(actions.map(|line| format!("an action without its commit and full version: {}", line.trim())));
        problems
    }

    fn form(&self, file: &str) -> Vec<String> {
        let form: Form = match self.parsed(file) {
            Ok(form) => form,
            Err(problems) => return problems,
        };
        let mut problems = self.scripts_exist(&self.read(file));
        let mut ids = HashSet::new();
        for part in &form.body {
            let (Part::Dropdown(field) | Part::Textarea(field) | Part::Input(field) | Part::Checkboxes(field)) = part
            else {
                continue;
            };
            if !ids.insert(&field.id) {
                problems.push(format!("two parts have the id {}", field.id));
            }
            let offered: HashSet<&String> = field.attributes.options.iter().collect();
            if matches!(part, Part::Dropdown(_))
                && (offered.is_empty() || offered.len() < field.attributes.options.len())
            {
                problems.push(format!("the options of {} are not different texts", field.id));
            }
            if file.ends_with("/1-step.yml") && field.id == "step" {
                let steps =
                    self.files("steps").into_iter().filter(|step| self.root.join(step).join("Cargo.toml").exists());
                let names = steps.map(|step| {
                    let name = step.trim_start_matches("steps/");
                    name.strip_prefix("step").and_then(|name| name.split('_').next()).unwrap_or(name).to_owned()
                });
                problems.extend(
                    names.filter(|name| !offered.contains(name)).map(|name| format!("does not offer the step {name}")),
                );
            }
        }
        problems
    }

    fn container(&self, text: &str) -> Vec<String> {
        let container: Container = match serde_json::from_str(text) {
            Ok(container) => container,
            Err(error) => return vec![format!("cannot be read: {error}")],
        };
        let mut problems = self.right_image(&container.image);
        problems.extend(self.scripts_exist(&container.post_create_command));
        if !container.post_create_command.contains("scripts/setup") {
            problems.push("does not call scripts/setup".into());
        }
        problems
    }

    /// What assistants are told: the places and commands that it names are there.
    fn agents(&self, text: &str) -> Vec<String> {
        let mut problems = vec![];
        let pages = Regex::new(r"\bbook/(?:ja|en)/\S*").unwrap();
        problems.extend(self.scripts_exist(&pages.replace_all(text, "")));
        let place = Regex::new(r"`((?:steps|book|workbook|scripts)/[^`\s]*|[A-Z]+\.md)`").unwrap();
        for place in place.captures_iter(text).map(|found| found[1].to_owned()) {
            let is_there = |place: &str| self.root.join(place).exists();
            let found = match place.split_once("/*/") {
                Some((folder, rest)) => self.files(folder).iter().any(|folder| is_there(&format!("{folder}/{rest}"))),
                None => is_there(&place),
            };
            if !found {
                problems.push(format!("names {place}, which does not exist"));
            }
        }
        let command = Regex::new("cargo workbook ([a-z]+)").unwrap();
        let named: HashSet<String> = command.captures_iter(text).map(|found| found[1].to_owned()).collect();
        let help = help(&self.root);
        let known = |name: &str| Regex::new(&format!("(?m)^ +{name} ")).unwrap().is_match(help);
        problems.extend(
            named
                .iter()
                .filter(|name| !known(name))
                .map(|name| format!("names cargo workbook {name}, which does not exist")),
        );
        for words in ["cargo workbook solution --give-up", "cargo workbook hint", "CONTRIBUTING.md"] {
            if !text.contains(words) {
                problems.push(format!("does not name {words}"));
            }
        }
        problems
    }

    /// The links of a page to other files of the checkout.
    fn links(&self, file: &str) -> Vec<String> {
        let text = self.read(file);
        let folder = self.root.join(file).parent().map(Path::to_owned).unwrap_or_default();
        let targets = Parser::new(&text).filter_map(|event| match event {
            Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => Some(dest_url.to_string()),
            _ => None,
        });
        let targets = targets.filter(|target| !target.contains("://") && !target.starts_with('#'));
        let missing = targets.filter(|target| !folder.join(target.split('#').next().unwrap_or_default()).exists());
        missing.map(|target| format!("links to {target}, which does not exist")).collect()
    }

    fn right_image(&self, image: &str) -> Vec<String> {
        let channel = self.read("rust-toolchain.toml");
        let rust = &Regex::new(r#"(?m)^channel = "(\d+\.\d+)"#).unwrap().captures(&channel).unwrap()[1];
        if !image.starts_with("rust:") || image.starts_with(&format!("rust:{rust}-")) {
            return vec![];
        }
        vec![format!("takes the image {image}, but rust-toolchain.toml wants {rust}")]
    }

    /// The scripts that a text names are there, and can be executed.
    fn scripts_exist(&self, text: &str) -> Vec<String> {
        let text = Regex::new(r"\S*\*\S*").unwrap().replace_all(text, ""); // no patterns
        let script = Regex::new(r"(?:^|[^\w/.$-])(?:\./)?((?:scripts|\.ci|book)/[\w./-]*\w)").unwrap();
        let mut problems = vec![];
        for name in script.captures_iter(&text).map(|found| found[1].to_owned()) {
            match fs::metadata(self.root.join(&name)) {
                Err(_) => problems.push(format!("names {name}, which does not exist")),
                Ok(file) if file.is_file() && !name.contains(".") && file.permissions().mode() & 0o111 == 0 => {
                    problems.push(format!("runs {name}, which cannot be executed"));
                }
                Ok(_) => {}
            }
        }
        problems
    }
}

/// What `cargo workbook --help` prints.
fn help(root: &Path) -> &'static str {
    static HELP: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    HELP.get_or_init(|| {
        let mut command = Command::new(env!("CARGO"));
        let done = command.current_dir(root).args(["workbook", "--help"]).env("WORKBOOK_LANG", "en").output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap()
    })
}
