//! Has the data changed since the last run?

use super::source::resolve;
use crate::error::{Error, Result};
use std::fs::File;

/// The blake3 digest (64 hexadecimal digits) of a source: the names of its files relative to the source, and
/// their bytes as they lie on disk.
///
/// Moving the data keeps the fingerprint; renaming a file, or a changed byte, does not. Files are streamed.
pub fn fingerprint(source: &str) -> Result<String> {
    let mut files = resolve(source)?;
    files.sort_by(|left, right| left.name.cmp(&right.name));
    let mut all = blake3::Hasher::new();
    for file in files {
        let opened = File::open(&file.path).map_err(Error::io("read", &file.path))?;
        let mut one = blake3::Hasher::new();
        one.update_reader(opened).map_err(Error::io("read", &file.path))?;
        // The length keeps a name from running into the digest that follows it.
        all.update(&(file.name.len() as u64).to_le_bytes());
        all.update(file.name.as_bytes());
        all.update(one.finalize().as_bytes());
    }
    Ok(all.finalize().to_hex().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn names_and_bytes_count_and_the_place_does_not() {
        let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for folder in [&here, &there] {
            fs::write(folder.path().join("a.txt"), "one\n").unwrap();
            fs::write(folder.path().join("b.txt"), "two\n").unwrap();
        }
        let of = |folder: &tempfile::TempDir| fingerprint(folder.path().to_str().unwrap()).unwrap();
        let first = of(&here);
        assert_eq!(first.len(), 64);
        assert_eq!(first, of(&there));
        assert_eq!(first, fingerprint(&format!("{}/*.txt", here.path().display())).unwrap());
        fs::write(there.path().join("b.txt"), "two!\n").unwrap();
        assert_ne!(first, of(&there));
        fs::rename(here.path().join("b.txt"), here.path().join("c.txt")).unwrap();
        assert_ne!(first, of(&here));
    }
}
