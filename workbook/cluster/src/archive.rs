//! Files that are known by their hash, and what is in them.

use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::io;
use std::path::Path;

/// Is this the file that was expected?
///
/// # Errors
/// Why it cannot be read.
pub fn has_hash(file: &Path, sha256: &str) -> io::Result<bool> {
    let found: String = Sha256::digest(fs::read(file)?).iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(found == sha256)
}

/// Takes the folders that begin with one of `prefixes` out of a wheel, which is a zip file, with their modes.
///
/// # Errors
/// Why it cannot be read or written.
pub fn unpack_wheel(wheel: &Path, to: &Path, prefixes: &[&str]) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let mut zip = zip::ZipArchive::new(File::open(wheel)?)?;
    for index in 0..zip.len() {
        let mut entry = zip.by_index(index)?;
        let Some(name) = entry.enclosed_name() else { continue };
        if entry.is_dir() || !prefixes.iter().any(|prefix| name.starts_with(prefix)) {
            continue;
        }
        let path = to.join(name);
        fs::create_dir_all(path.parent().unwrap_or(to))?;
        io::copy(&mut entry, &mut File::create(&path)?)?;
        let mode = entry.unix_mode().filter(|mode| mode & 0o777 != 0).unwrap_or(0o644);
        fs::set_permissions(&path, fs::Permissions::from_mode(mode & 0o777))?;
    }
    Ok(())
}
