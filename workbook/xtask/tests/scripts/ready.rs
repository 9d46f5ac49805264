//! scripts/ready says that a machine is ready when it is, and only then: its last line and its exit code.

use crate::support::{Place, bash, expect, expect_within, find, output, root};
use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

fn ready(lang: &str) -> Command {
    let mut ready = Command::new(root().join("scripts/ready"));
    ready.args(["--lang", lang]);
    if std::env::var_os("USER").is_none() {
        // A container may not set it, and the doctor minds.
        ready.env("USER", output(bash("id -un")).trim());
    }
    ready
}

fn last_line(text: &str) -> &str {
    text.lines().last().unwrap_or_default()
}

#[test]
fn a_machine_that_is_ready() {
    let seen = expect_within(900, "it is", &ready("ja"), 0, &["短い検査はすべて合格です", "== 4/4"]);
    assert!(last_line(&seen.text).starts_with("準備完了"), "{}", last_line(&seen.text));
}

#[test]
fn a_fault_that_the_doctor_finds() {
    let mut ready = ready("en");
    ready.env("PGRX_PG_CONFIG_PATH", "/nowhere");
    let seen = expect_within(900, "a fault", &ready, 3, &["FAULT", "!Ready for the workshop", "!== 3/4"]);
    assert!(last_line(&seen.text).contains("not ready for the workshop"), "{}", last_line(&seen.text));
}

#[test]
fn no_rust() {
    let place = Place::new();
    fs::create_dir(place.at("bin")).unwrap();
    for program in "bash sh env id sed cut sha256sum dirname basename sort date uname mkdir flock rm stat".split(' ') {
        symlink(find(program).unwrap(), place.path().join("bin").join(program)).unwrap();
    }
    let mut ready = ready("en");
    ready.env("PATH", place.at("bin")).env("CARGO_HOME", place.at("none")).env("WORKBOOK_CACHE", place.at("c"));
    expect("no Rust", &ready, 1, &["no Rust compiler", "next: install Rust", "not ready for the workshop"]);
}

#[test]
fn an_unknown_option() {
    let mut ready = ready("en");
    expect("an unknown option", ready.arg("--nonsense"), 2, &["--nonsense", "usage", "!not ready"]);
}
