//! `cargo xtask bench`: measures worker_spi in Rust against PostgreSQL's sample in C, on the usual major, both in the same run, and
//! writes steps/worker_spi/bench.toml, from which the book's table and plot are made.

use crate::shell::Shell;
use crate::upstream::{Installations, readable};
use anyhow::{Result, ensure};
use clap::Args;
use cluster::{Lang, tr};
use std::fs;

#[derive(Args)]
pub struct Arguments {
    /// A few blocks, and nothing is written into the checkout
    #[arg(long)]
    quick: bool,
}

/// What `--help` says.
pub fn usage(lang: Lang) -> String {
    tr!(lang, "usage: scripts/bench [--quick] [--lang en|ja]", "使い方: scripts/bench [--quick] [--lang en|ja]")
}

pub fn run(arguments: &Arguments, lang: Lang) -> Result<()> {
    let shell = Shell::new(lang)?;
    let all = Installations::new(shell.clone(), lang)?;
    let major = all.usual();
    shell.script("scripts/setup", &["--quiet", "--for-upstream", "--pg", &major.to_string()])?;
    println!(
        "{}",
        tr!(
            lang,
            "Building: ours (optimised), the C sample, step 7 (the first time takes some minutes)",
            "ビルド中: 本書の worker_spi (最適化あり)、C のサンプル、ステップ 7 (初回は数分かかります)"
        )
    );

    // Three installations that differ in nothing but the library. Ours is optimised as one that is delivered (Cargo.toml,
    // profile.release), the original has the flags of its PostgreSQL.
    let mut folders = Vec::new();
    let mut configs = Vec::new();
    for name in ["rust", "c", "step7"] {
        let folder = all.folder().join(format!("{major}-bench-{name}"));
        let log = all.folder().join(format!("install-bench-{name}.log"));
        let config = all.fresh(major, &folder)?;
        match name {
            "c" => all.install_original(major, &config, &log)?,
            "rust" => all.install("worker_spi", major, &config, &log, &["--release"])?,
            _ => all.install("step7_dynamic_launch", major, &config, &log, &["--release"])?,
        }
        readable(&folder)?;
        configs.push(config);
        folders.push(folder);
    }

    let (effort, results) = match arguments.quick {
        true => ("5", all.folder().join("bench.toml")),
        false => ("100", shell.root().join("steps/worker_spi/bench.toml")),
    };
    // On a disk, where servers live. Without a backtrace, which each message would look for.
    let inside =
        shell.step("worker_spi", &major.to_string())?.with("WORKBOOK_CLUSTERS", "/tmp").without("RUST_BACKTRACE");
    let mut measure = inside.command(std::env::current_exe()?);
    let status = measure.arg("measure").args(&configs).arg(&results).arg(effort).status()?;
    ensure!(status.success(), "the benchmark has ended with {status}");
    if !arguments.quick {
        crate::update::run(&crate::update::Arguments::default())?;
    }
    folders.iter().try_for_each(fs::remove_dir_all)?;
    Ok(())
}
