//! Every rule of the doctor: its fault is made to happen, the rule fires, its own command is typed, and the fault is gone.
//!
//! All of it happens in a copy of the checkout with a cache of its own. What only root can break or mend (owners, mounts) is broken in a
//! mount namespace of its own; without root those four rules are left out, and the test says so.

use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use workbook::commands::doctor;

/// Rule, how to break it (bash; `$T` is the test's folder, `$HERE` the checkout's cache, `$PG` the private PostgreSQL), and whether
/// that needs root.
const SABOTAGE: &[(&str, &str, bool)] = &[
    (
        "rust",
        r#"printf '#!/bin/sh\necho rustc 1.80.1\n' > $T/fake/rustc; chmod +x $T/fake/rustc; PATH=$T/fake:$PATH"#,
        false,
    ),
    // No rustup, and set-up has fetched Debian's compiler.
    (
        "rust",
        r#"need=$(sed -n 's/^channel = "\(.*\)"/\1/p' rust-toolchain.toml); ln -sfn "$(rustc --print sysroot)" "$T/c/tools/rust-$need"
           printf '#!/bin/sh\necho rustc 1.80.1\n' > $T/fake/rustc; chmod +x $T/fake/rustc; PATH=$T/fake:$PATH; export CARGO_HOME=$T/nowhere"#,
        false,
    ),
    ("compiler", r#"rm -f $T/path/cc; apt "ln -sf $(readlink -f /usr/bin/cc) $T/path/cc""#, false),
    ("libclang", r#"mount -t tmpfs none /usr/lib/llvm-*/lib; apt "umount /usr/lib/llvm-*/lib""#, true),
    ("libclang_path", "export LIBCLANG_PATH=/nowhere", false),
    ("ps", r#"rm -f $T/path/ps; apt "ln -sf /usr/bin/ps $T/path/ps""#, false),
    ("cache_path", "export WORKBOOK_CACHE='/tmp/a b'", false),
    ("cache_owner", "chown nobody $WORKBOOK_CACHE", true),
    ("cargo_pgrx", "rm -rf $WORKBOOK_CACHE/tools/cargo-pgrx-*; export CARGO_HOME=$T/nowhere", false),
    ("own_postgresql", "export PG_CONFIG=/nowhere/pg_config", false),
    (
        "too_old",
        "export PG_CONFIG=$T/old; printf '#!/bin/sh\\necho PostgreSQL 14.9\\n' > $T/old; chmod +x $T/old",
        false,
    ),
    (
        "too_new",
        "export PG_CONFIG=$T/new; printf '#!/bin/sh\\necho PostgreSQL 99.1\\n' > $T/new; chmod +x $T/new",
        false,
    ),
    ("postgresql", "rm -rf $PG", false),
    (
        "postgresql_runs",
        "rm $PG/bin/postgres; printf '#!/bin/sh\\necho broken >&2; exit 1\\n' > $PG/bin/postgres; chmod +x $PG/bin/postgres",
        false,
    ),
    ("headers", "rm $(find $PG/include -path '*server/postgres.h')", false),
    ("root", "mv $PG/bin/initdb.real $PG/bin/initdb", true),
    ("user", "export USER=somebody", false),
    ("localhost", "grep -v localhost /etc/hosts > $T/hosts; mount --bind $T/hosts /etc/hosts", true),
    ("port", ":", false), // the test itself listens
    ("stale_pid", "echo 4194303 > $HERE/step1/data-18/postmaster.pid", false),
    // The number belongs to a PostgreSQL of somebody else's by now.
    (
        "stale_pid",
        "cp /bin/sleep $T/postgres; (cd /; exec $T/postgres 1000) & trap \"kill $!\" EXIT; echo $! > $HERE/step1/data-18/postmaster.pid",
        false,
    ),
    ("preload", r#"echo "shared_preload_libraries = 'gone'" >> $HERE/step1/data-18/postgresql.auto.conf"#, false),
    ("locale", "export LC_ALL=ja_JP.eucJP; unset WORKBOOK_LANG", false),
    ("rustflags", "export RUSTFLAGS=-g CARGO_ENCODED_RUSTFLAGS=-g", false),
    ("pgrx_variables", "export PGRX_PG_CONFIG_PATH=/usr/bin/pg_config", false),
    ("progress", "mkdir -p $ROOT/work; echo '{' > $ROOT/work/progress.json", false),
    // The last one: what mends it removes all that the others need.
    (
        "disk",
        r#"mkdir -p $HERE; touch $HERE/ballast
           printf '#!/bin/sh\nif [ -e %s ]; then printf "h\\nx 1 1 102400 1 /\\n"; else exec /usr/bin/df "$@"; fi\n' $HERE/ballast > $T/fake/df
           chmod +x $T/fake/df; PATH=$T/fake:$PATH"#,
        false,
    ),
];

struct Machine {
    folder: tempfile::TempDir,
    root: bool,
}

fn bash(script: &str) -> Command {
    let mut command = Command::new("bash");
    command.args(["-c", script]);
    command
}

fn output(command: &mut Command) -> String {
    let out = command.output().unwrap();
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(out.status.success(), "{command:?}: {text}{}", String::from_utf8_lossy(&out.stderr));
    text
}

impl Machine {
    fn new() -> Self {
        let original = cluster::checkout();
        let folder = tempfile::Builder::new().prefix("bgwd").rand_bytes(4).tempdir_in("/var/tmp").unwrap();
        let machine = Self { folder, root: output(&mut bash("id -u")).trim() == "0" };
        // What is large is linked, what will be broken is copied.
        let script = r#"
            set -e; cd "$ORIGINAL"; chmod 755 "$T"
            real=$(. scripts/lib/common.sh; echo "$CACHE $HERE")
            read -r cache here <<< "$real"
            mkdir -p "$T/wb" "$T/fake" "$T/path" "$T/saved" "$T/c/tools"
            tar --exclude=./target --exclude=./.git --exclude=./work --exclude=./book -cf - . | tar -C "$T/wb" -xf -
            ln -s "$cache/dl" "$T/c/dl"
            cp -a "$cache"/tools/cargo-pgrx-* "$T/c/tools/"
            cp "$cache"/tools/cargo-pgrx-*/bin/cargo-pgrx "$T/saved/"
            new=$(cd "$T/wb"; WORKBOOK_CACHE=$T/c; export WORKBOOK_CACHE; . scripts/lib/common.sh; echo "$HERE")
            mkdir -p "$new/pg"; cp -al "$here/pg/18" "$new/pg/18" 2> /dev/null || cp -a "$here/pg/18" "$new/pg/18"
            cp -a "$here"/*.libs "$new/" 2> /dev/null || true
            cp -s /usr/bin/* "$T/path/" 2> /dev/null || true; cp -s /usr/sbin/* "$T/path/" 2> /dev/null || true
            rm -f "$T/path/cargo" "$T/path/rustc" "$T/path/sudo"
            printf '#!/bin/sh\nwhile [ "${1#-}" != "$1" ]; do shift; done\n[ $# = 0 ] || exec "$@"\n' > "$T/path/sudo"
            chmod +x "$T/path/sudo"
            cd "$T/wb"; WORKBOOK_CACHE=$T/c scripts/lib/environment.sh step1 --quiet > /dev/null
            # What would be compiled for minutes is copied instead.
            mkdir -p "$T/bin" "$T/cargo/bin"; ln -s "${CARGO%/*}"/{cargo,rustc} "$T/cargo/bin/"
            printf '#!/bin/bash\nif [ "$1" != install ]; then exec %s "$@"; fi\nwhile [ "$1" != --root ]; do shift; done\n\
mkdir -p "$2/bin" && cp %s "$2/bin/"\n' "$CARGO" "$T/saved/cargo-pgrx" > "$T/bin/cargo"
            chmod +x "$T/bin/cargo"
            printf %s "$new" > "$T/here""#;
        output(
            bash(script)
                .env("T", machine.path())
                .env("ORIGINAL", original)
                .env("CARGO", rust().join("cargo"))
                .env_remove("PG_CONFIG"),
        );
        machine
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn here(&self) -> PathBuf {
        fs::read_to_string(self.path().join("here")).unwrap().into()
    }

    /// Runs this in a shell with nothing of the machine's but what is needed, and returns what the doctor then says.
    fn doctor(&self, script: &str) -> Value {
        let here = self.here();
        // A package manager that brings what the test says.
        let all = format!(
            "mount --make-rprivate / 2> /dev/null || :  # in a chroot there is no such mount
             rm -f $T/fake/*
             apt() {{ rm -f $T/path/apt-get; printf '#!/bin/bash\\ncase \" $* \" in *\" install \"*) %s ;; esac\\n' \"$1\" > $T/path/apt-get
                      chmod +x $T/path/apt-get; }}
             {script}
             \"$WORKBOOK\" doctor --json > $T/json; status=$?; [ $status = 0 ] || [ $status = 3 ] || exit 1; cat $T/json"
        );
        let mut command = match self.root {
            true => Command::new("unshare"),
            false => Command::new("env"),
        };
        if self.root {
            command.args(["-m", "--propagation", "unchanged"]);
        }
        command.args(["bash", "-c", &all]).current_dir(self.path().join("wb")).env_clear();
        for name in ["HOME", "RUSTUP_HOME"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        command
            .env("T", self.path())
            .env("ROOT", self.path().join("wb"))
            .env("HERE", &here)
            .env("PG", here.join("pg/18"))
            .env("WORKBOOK", env!("CARGO_BIN_EXE_workbook"))
            .env("CARGO_MANIFEST_DIR", self.path().join("wb/workbook/cli"))
            .env("WORKBOOK_CACHE", self.path().join("c"))
            .env("USER", output(&mut bash("id -un")).trim())
            .env("LC_ALL", "C.UTF-8")
            .env("CARGO_HOME", self.path().join("cargo"))
            .env("PATH", format!("{0}/bin:{0}/cargo/bin:{0}/path", self.path().display()));
        let text = output(&mut command);
        let json = text.lines().last().unwrap_or_default();
        serde_json::from_str(json).unwrap_or_else(|error| panic!("{error}: {text}"))
    }
}

/// Where rustc and cargo are: rustup's folder, or that of a toolchain without rustup.
fn rust() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap();
    std::env::split_paths(&path).find(|folder| folder.join("rustc").is_file()).unwrap()
}

/// The command that mends this rule, if it has fired.
fn mend(json: &Value, rule: &str) -> Option<String> {
    let found = json["findings"].as_array()?.iter().find(|finding| finding["id"] == rule && finding["ok"] == false)?;
    Some(found["mend"].as_str()?.to_owned())
}

#[test]
fn every_rule_fires_and_its_command_mends() {
    let machine = Machine::new();
    let healthy = machine.doctor("");
    assert_eq!(healthy["faults"], 0, "a fault before anything is broken: {healthy}");
    let mut wrong = Vec::new();
    for (rule, sabotage, needs_root) in SABOTAGE {
        if *needs_root && !machine.root {
            println!("{rule}: only root can break and mend this");
            continue;
        }
        let _listener = (*rule == "port").then(|| {
            let config = fs::read_to_string(machine.here().join("step1/config.toml")).unwrap();
            let base: u16 = config.lines().find_map(|line| line.strip_prefix("base_port = ")).unwrap().parse().unwrap();
            TcpListener::bind(("127.0.0.1", base + 18)).unwrap()
        });
        // In one shell each: what is exported must be there when the command is typed.
        let broken = machine.doctor(sabotage);
        let Some(command) = mend(&broken, rule) else {
            wrong.push(format!("{rule}: it does not fire: {broken}"));
            continue;
        };
        let mended = machine.doctor(&format!("{sabotage}\n{{ {command}\n}} > $T/mend.log 2>&1 || cat $T/mend.log"));
        if let Some(still) = mend(&mended, rule) {
            wrong.push(format!("{rule}: not mended by: {command} (still: {still}) {mended}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_rule_has_its_sabotage() {
    let rules: BTreeSet<String> = doctor::texts()
        .unwrap()
        .into_iter()
        .filter(|(_, text)| !text.wrong.en.is_empty())
        .map(|(rule, _)| rule)
        .collect();
    let broken: BTreeSet<String> = SABOTAGE.iter().map(|(rule, _, _)| (*rule).to_owned()).collect();
    assert_eq!(rules, broken);
}
