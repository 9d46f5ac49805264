#!/usr/bin/env bash
# shellcheck disable=SC2016 # sed's scripts are written in single quotes
# What GitHub, editors and assistants read is whole, and names what exists. Then each kind of fault is put into a copy, and must be
# found: otherwise this check could be green because it looks at nothing.
. "$(dirname "${BASH_SOURCE[0]}")/../lib/testing.sh"

python=''
for p in python3 /usr/bin/python3; do # Debian's has the package; another one before it in the PATH need not
  if "$p" -c 'import yaml' 2> /dev/null; then python=$p; break; fi
done
[ -n "$python" ] || { not_ok "a Python with yaml" "scripts/setup --for-tests installs python3-yaml"; exit; }
look() { "$python" "$ROOT/scripts/checks/repository.py" "$1" 2>&1; }

verdict "workflows, forms, container, assistants' files and changelogs are in order" "$(look "$ROOT")"

fault "a workflow that is no YAML" "cannot be parsed" .github/workflows/test.yml 's/^jobs:/jobs: [/'
fault "a script that does not exist" "names .ci/runn, which does not exist" .github/workflows/test.yml 's,\.ci/run$,.ci/runn,'
fault "a script that the site needs and that does not exist" "names scripts/handouts, which does not exist" .ci/site 's,^scripts/handout all,scripts/handouts all,'
fault "an action without its full version" "without its commit and full version" .github/workflows/site.yml 's/@[0-9a-f]* # v7.*/@v7/'
fault "a job that can run for ever" "has no timeout-minutes" .github/workflows/test.yml '/timeout-minutes/d'
fault "an image with another Rust" "rust-toolchain.toml wants" .github/workflows/test.yml 's/rust:[0-9.]*-/rust:1.80-/'
fault "a label in one language" "the label of doctor is not in both languages" .github/ISSUE_TEMPLATE/1-step.yml 's,\(label: What `cargo workbook doctor` prints\) /.*,\1,'
fault "two parts with one id" "not unique" .github/ISSUE_TEMPLATE/3-idea.yml 's/id: who/id: idea/'
fault "a step that cannot be chosen" "does not offer the step 7" .github/ISSUE_TEMPLATE/1-step.yml '/- "7"/d'
fault "a container without the set-up" "does not call scripts/setup" .devcontainer/devcontainer.json 's,scripts/setup && ,,'
fault "a container file that is no JSON" "cannot be parsed" .devcontainer/devcontainer.json 's/"image"/image/'
fault "a command that assistants cannot run" "names cargo workbook doktor" AGENTS.md 's/workbook doctor/workbook doktor/'
fault "a place that is not there" "names steps/*/clues.toml" AGENTS.md 's/hints\.toml/clues.toml/'
fault "an assistant that is not told" "does not lead to AGENTS.md" CLAUDE.md 's/AGENTS/README/'
fault "an entry in one changelog only" "do not follow those of the English one" CHANGELOG.ja.md '0,/^- /{/^- /d}'

# Git for Windows writes CRLF where nothing forbids it, and the checkout is then used in WSL or in a container.
windows() { # FOLDER: what has a carriage return in a clone that was made there
  local from=$TMP/from to=$TMP/windows
  rm -rf "$from" "$to"
  cp -R "$1" "$from"
  (cd "$from" && git init --quiet && git add --all --force && git -c user.name=test -c user.email=test@localhost commit --quiet --no-verify -m all &&
    git clone --quiet -c core.autocrlf=true "$from" "$to" && cd "$to" && git ls-files -z | xargs -0 grep -lI -d skip $'\r') 2>&1
}
look() { windows "$1"; }
fault "a checkout whose scripts begin with CRLF" "scripts/run" .gitattributes 's/eol=lf//'
verdict "a checkout of Git for Windows has LF" "$(windows "$TMP/copy")"
