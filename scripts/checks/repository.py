"""What no compiler reads: workflows, forms, the development container, what assistants are told, the changelog.

python3 scripts/checks/repository.py [ROOT]: prints what is wrong, a line for each problem. Called by repository.sh, which also breaks
copies of these files and wants each fault found.
"""
import json
import os
import re
import sys
from pathlib import Path

import yaml

ROOT = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).resolve().parents[2])
JAPANESE = re.compile(r"[\u3040-\u30ff\u4e00-\u9fff]")
SCRIPT = re.compile(r"(?<![\w/.$-])(?:\./)?((?:scripts|\.ci|book)/[\w./-]*\w)")
FORM_PARTS = {"markdown", "dropdown", "textarea", "input", "checkboxes"}
problems = []


def problem(file, text):
    problems.append(f"{file.relative_to(ROOT)}: {text}")


def load(file):
    try:
        data = (json.loads if file.suffix == ".json" else yaml.safe_load)(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, json.JSONDecodeError) as error:
        problem(file, "cannot be parsed: " + " ".join(str(error).split()))
        return None
    if not isinstance(data, dict):
        problem(file, "is no mapping")
        return None
    return data


def scripts_exist(file, text, runs=True):
    for name in SCRIPT.findall(re.sub(r"\S*\*\S*", "", text)):  # no patterns
        script = ROOT / name
        if script.is_dir():
            continue
        if not script.is_file():
            problem(file, f"names {name}, which does not exist")
        elif runs and not script.suffix and not os.access(script, os.X_OK):
            problem(file, f"runs {name}, which cannot be executed")


def both_languages(file, what, text):
    if not text or not JAPANESE.search(text) or not re.search(r"[A-Za-z]{2}", text):
        problem(file, f"{what} is not in both languages: {text!r}")


rust = re.search(r'^channel = "(\d+\.\d+)', (ROOT / "rust-toolchain.toml").read_text(encoding="utf-8"), re.M)[1]


def right_image(file, image):
    if image and image.startswith("rust:") and not image.startswith(f"rust:{rust}-"):
        problem(file, f"takes the image {image}, but rust-toolchain.toml wants {rust}")


workflows = sorted((ROOT / ".github/workflows").glob("*.y*ml"))
if not workflows:
    problem(ROOT / ".github/workflows", "has no workflow")
called = set()
for file in workflows:
    data = load(file)
    if data is None:
        continue
    if True not in data and "on" not in data:  # YAML 1.1 reads `on` as true
        problem(file, "does not say when it runs (on)")
    if "permissions" not in data:
        problem(file, "does not limit its permissions")
    for name, job in data.get("jobs", {}).items():
        if "timeout-minutes" not in job:
            problem(file, f"the job {name} has no timeout-minutes")
        right_image(file, job.get("container"))
        needs = job.get("needs", [])
        for needed in [needs] if isinstance(needs, str) else needs:
            if needed not in data["jobs"]:
                problem(file, f"the job {name} needs {needed}, which does not exist")
        for step in job.get("steps", []):
            if "run" in step:
                scripts_exist(file, step["run"])
                called.update(SCRIPT.findall(step["run"]))
            elif "uses" not in step:
                problem(file, f"a step of the job {name} neither runs nor uses anything")
    for line in re.findall(r"^.*\buses:.*$", file.read_text(encoding="utf-8"), re.M):
        if not re.search(r"uses: [\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$", line):
            problem(file, f"an action without its commit and full version: {line.strip()}")
for script in (".ci/run", ".ci/site"):
    if script not in called:
        problem(ROOT / ".github/workflows", f"no workflow runs {script}")

for file in sorted((ROOT / ".ci").iterdir()):
    scripts_exist(file, "\n".join(line for line in file.read_text(encoding="utf-8").splitlines() if not line.lstrip().startswith("#")))

forms = [f for f in sorted((ROOT / ".github/ISSUE_TEMPLATE").glob("*.y*ml")) if f.stem != "config"]
if len(forms) < 3:
    problem(ROOT / ".github/ISSUE_TEMPLATE", f"has {len(forms)} forms; there should be one for a step, one for the book, one for ideas")
for file in [*forms, ROOT / ".github/ISSUE_TEMPLATE/config.yml"]:
    data = load(file)
    if data is None or file.stem == "config":
        continue
    for key in ("name", "description"):
        both_languages(file, key, data.get(key))
    ids = []
    for part in data.get("body") or []:
        kind, attributes = part.get("type"), part.get("attributes") or {}
        if kind not in FORM_PARTS:
            problem(file, f"a part of an unknown type: {kind}")
        if kind == "markdown":
            both_languages(file, "a text", attributes.get("value"))
            continue
        ids.append(part.get("id"))
        both_languages(file, f"the label of {part.get('id')}", attributes.get("label"))
        if "description" in attributes:
            both_languages(file, f"the description of {part.get('id')}", attributes["description"])
        options = attributes.get("options", [])
        if kind == "dropdown" and (not options or any(not isinstance(o, str) for o in options) or len(set(options)) < len(options)):
            problem(file, f"the options of {part.get('id')} are not different texts")
    if not ids or None in ids or len(set(ids)) < len(ids):
        problem(file, f"ids are missing or not unique: {ids}")
    scripts_exist(file, file.read_text(encoding="utf-8"))
form = load(ROOT / ".github/ISSUE_TEMPLATE/1-step.yml") or {}
steps = {re.sub(r"^step(\d+)_.*", r"\1", manifest.parent.name) for manifest in (ROOT / "steps").glob("*/Cargo.toml")}
offered = {o for part in form.get("body", []) if part.get("id") == "step" for o in part["attributes"]["options"]}
for step in sorted(steps - offered):
    problem(ROOT / ".github/ISSUE_TEMPLATE/1-step.yml", f"does not offer the step {step}")

container = ROOT / ".devcontainer/devcontainer.json"
data = load(container) or {}
right_image(container, data.get("image"))
scripts_exist(container, data.get("postCreateCommand", ""))
if "scripts/setup" not in data.get("postCreateCommand", ""):
    problem(container, "does not call scripts/setup")
load(ROOT / ".gemini/settings.json")

# What assistants are told: the places and commands that it names are there, and each assistant is led to it.
agents = ROOT / "AGENTS.md"
text = agents.read_text(encoding="utf-8")
scripts_exist(agents, re.sub(r"\bbook/(?:ja|en)/\S*", "", text))
for name in re.findall(r"`((?:steps|book|workbook|scripts|work)/[^`\s]*|[A-Z]+\.md)`", text):
    if not name.startswith("work/") and not list(ROOT.glob(name.rstrip("/"))):
        problem(agents, f"names {name}, which does not exist")
commands = set(re.findall(r'\bsub\(\s*"([a-z]+)"', (ROOT / "workbook/cli/src/cli.rs").read_text(encoding="utf-8")))
for name in re.findall(r"cargo workbook ([a-z]+)", text):
    if name not in commands:
        problem(agents, f"names cargo workbook {name}, which does not exist")
for words in ("cargo workbook solution --give-up", "cargo workbook hint", "CONTRIBUTING.md"):
    if words not in text:
        problem(agents, f"does not name {words}")
for name in ("CLAUDE.md", ".github/copilot-instructions.md", ".gemini/settings.json"):
    if not (ROOT / name).is_file() or "AGENTS.md" not in (ROOT / name).read_text(encoding="utf-8"):
        problem(ROOT / name, "does not lead to AGENTS.md")

for line in (ROOT / ".github/pull_request_template.md").read_text(encoding="utf-8").splitlines():
    if line.strip():
        both_languages(ROOT / ".github/pull_request_template.md", "a line", line)

# Both changelogs have the same versions, the same kinds of changes and as many entries.
shapes = []
for name in ("CHANGELOG.md", "CHANGELOG.ja.md"):
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    shapes.append([re.sub(r"^(### ).*", r"\1", line) if line.startswith("#") else "-" for line in lines if re.match(r"##+ |- ", line)])
if shapes[0] != shapes[1]:
    problem(ROOT / "CHANGELOG.ja.md", "its versions and entries do not follow those of the English one")
if not any(line.startswith("## [") for line in shapes[0]):
    problem(ROOT / "CHANGELOG.md", "names no version")

print("\n".join(problems), end="\n" if problems else "")
sys.exit(bool(problems))
