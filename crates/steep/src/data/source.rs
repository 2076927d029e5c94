//! Which files does a source name, and what is in each?

use super::fault::column_fault;
use crate::error::{Error, Result};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The name of the column that a folder with one subfolder per label gives.
pub(super) const LABEL_COLUMN: &str = "label";

/// How the rows stand in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// One text a line.
    Lines,
    /// The whole file is one text.
    Document,
    /// Fields parted by a delimiter, with a header (RFC 4180).
    Delimited(u8),
    /// One JSON object a line.
    JsonLines,
    /// One JSON array of objects.
    Json,
    /// Apache Parquet.
    Parquet,
}

/// One file of a source.
#[derive(Debug, Clone)]
pub(super) struct SourceFile {
    /// Where it is.
    pub(super) path: Arc<Path>,
    /// The name relative to the source, parted by `/`; it does not change when the data is moved.
    pub(super) name: String,
    /// How to read it.
    pub(super) format: Format,
    /// The name of its label folder, if it lies in one.
    pub(super) label: Option<Arc<str>>,
}

const KNOWN: &str = "txt, csv, tsv, jsonl, ndjson, json or parquet (all but parquet also with .gz or .zst)";

/// The files of a source in the order in which they are read.
pub(super) fn resolve(source: &str) -> Result<Vec<SourceFile>> {
    let path = Path::new(source);
    if path.is_dir() {
        return folder(path);
    }
    if path.exists() {
        let base = path.parent().unwrap_or_else(|| Path::new(""));
        return Ok(vec![named_file(path.to_path_buf(), base)?]);
    }
    if source.contains(['*', '?', '[']) {
        return pattern(source);
    }
    Err(Error::data(
        path,
        "there is no such file or folder",
        "check the path, or quote a pattern such as 'data/*.csv'",
    ))
}

/// The format that a file's extension tells, `.gz` and `.zst` left aside.
pub(super) fn format_of(path: &Path) -> Option<Format> {
    let name = path.file_name()?.to_str()?.to_lowercase();
    let inner = name.strip_suffix(".gz").or_else(|| name.strip_suffix(".zst")).unwrap_or(&name);
    match Path::new(inner).extension()?.to_str()? {
        "txt" => Some(Format::Lines),
        "csv" => Some(Format::Delimited(b',')),
        "tsv" => Some(Format::Delimited(b'\t')),
        "jsonl" | "ndjson" => Some(Format::JsonLines),
        "json" => Some(Format::Json),
        "parquet" if inner.len() == name.len() => Some(Format::Parquet),
        _ => None,
    }
}

fn named_file(path: PathBuf, base: &Path) -> Result<SourceFile> {
    let Some(format) = format_of(&path) else {
        let hint = if path.to_string_lossy().to_lowercase().contains(".parquet.") {
            "decompress it: Parquet compresses inside the file".to_owned()
        } else {
            format!("give a file that ends in {KNOWN}")
        };
        return Err(Error::data(path, "the format of this file is not known", hint));
    };
    Ok(source_file(path, base, format, None))
}

fn source_file(path: PathBuf, base: &Path, format: Format, label: Option<Arc<str>>) -> SourceFile {
    let relative = path.strip_prefix(base).unwrap_or(&path);
    let parts: Vec<_> = relative.components().map(|part| part.as_os_str().to_string_lossy()).collect();
    SourceFile { name: parts.join("/"), path: path.into(), format, label }
}

fn pattern(source: &str) -> Result<Vec<SourceFile>> {
    let bad = |problem: String| Error::data(source, problem, "write a pattern such as 'data/*.csv'");
    let base = pattern_base(source);
    let mut files = Vec::new();
    let options = glob::MatchOptions { require_literal_leading_dot: true, ..glob::MatchOptions::new() };
    let entries = glob::glob_with(source, options);
    for entry in entries.map_err(|error| bad(format!("the pattern cannot be used: {}", error.msg)))? {
        let path = entry.map_err(|error| {
            let path = error.path().to_path_buf();
            Error::io("read", path)(error.into())
        })?;
        if path.is_file() {
            files.push(named_file(path, &base)?);
        }
    }
    if files.is_empty() {
        return Err(bad("no file matches this pattern".to_owned()));
    }
    files.sort_by(|left, right| left.name.cmp(&right.name));
    Ok(files)
}

/// The folders of a pattern that stand before its first special character.
fn pattern_base(source: &str) -> PathBuf {
    let special =
        |part: &std::path::Component<'_>| part.as_os_str().to_string_lossy().contains(['*', '?', '[']);
    let here = |part: &std::path::Component<'_>| matches!(part, std::path::Component::CurDir);
    Path::new(source).components().take_while(|part| !special(part)).filter(|part| !here(part)).collect()
}

fn folder(path: &Path) -> Result<Vec<SourceFile>> {
    let (files, folders) = entries(path)?;
    let files: Vec<_> = data_files(files, path, None);
    let mut labelled = Vec::new();
    for folder in &folders {
        labelled.push(label_folder(path, folder)?);
    }
    labelled.retain(|files| !files.is_empty());
    match (files.is_empty(), labelled.len()) {
        (false, 0) => Ok(files),
        (true, 2..) => Ok(labelled.concat()),
        (false, _) => Err(Error::data(
            path,
            "the folder holds data files as well as subfolders with data files",
            "name the files by a pattern such as 'folder/*.csv', or move the files away from the label folders",
        )),
        (true, 1) => Err(Error::data(
            path,
            format!("the folder has a single subfolder with data, '{}'", labelled[0][0].name),
            "name that subfolder, or give one subfolder per label",
        )),
        (true, 0) => Err(Error::data(
            path,
            "the folder holds no data files",
            format!("put files there that end in {KNOWN}"),
        )),
    }
}

fn label_folder(base: &Path, folder: &Path) -> Result<Vec<SourceFile>> {
    let Some(label) = folder.file_name().and_then(|name| name.to_str()) else {
        return Err(column_fault(
            folder,
            LABEL_COLUMN,
            "the folder's name is not UTF-8",
            "rename the folder",
        ));
    };
    let (files, _) = entries(folder)?;
    Ok(data_files(files, base, Some(label)))
}

fn data_files(paths: Vec<PathBuf>, base: &Path, label: Option<&str>) -> Vec<SourceFile> {
    let label: Option<Arc<str>> = label.map(Arc::from);
    let known = paths.into_iter().filter_map(|path| format_of(&path).map(|format| (path, format)));
    known
        .map(|(path, format)| {
            let whole = format == Format::Lines && label.is_some();
            source_file(path, base, if whole { Format::Document } else { format }, label.clone())
        })
        .collect()
}

/// The visible files and folders of a folder, each sorted by name.
fn entries(path: &Path) -> Result<(Vec<PathBuf>, Vec<PathBuf>)> {
    let (mut files, mut folders) = (Vec::new(), Vec::new());
    for entry in std::fs::read_dir(path).map_err(Error::io("read", path))? {
        let entry = entry.map_err(Error::io("read", path))?;
        let path = entry.path();
        if entry.file_name().as_encoded_bytes().starts_with(b".") {
            continue;
        }
        if path.is_dir() { folders.push(path) } else { files.push(path) }
    }
    files.sort();
    folders.sort();
    Ok((files, folders))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn names(source: &str) -> Vec<String> {
        resolve(source).unwrap().into_iter().map(|file| file.name).collect()
    }

    #[test]
    fn extensions_tell_the_format() {
        assert_eq!(format_of(Path::new("a.CSV.gz")), Some(Format::Delimited(b',')));
        assert_eq!(format_of(Path::new("a.ndjson.zst")), Some(Format::JsonLines));
        assert_eq!(format_of(Path::new("a.parquet")), Some(Format::Parquet));
        assert_eq!(format_of(Path::new("a.parquet.gz")), None);
        assert_eq!(format_of(Path::new("README.md")), None);
        assert_eq!(format_of(Path::new("gz")), None);
    }

    #[test]
    fn folders_and_patterns_are_sorted_by_name() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b.csv", "a.csv", "c.tsv", "notes.md", ".hidden.csv"] {
            fs::write(folder.path().join(name), "text\nx\n").unwrap();
        }
        let base = folder.path().to_str().unwrap();
        assert_eq!(names(base), ["a.csv", "b.csv", "c.tsv"]);
        assert_eq!(names(&format!("{base}/*.csv")), ["a.csv", "b.csv"]);
        assert!(resolve(&format!("{base}/*.jsonl")).unwrap_err().to_string().contains("no file matches"));
        assert!(resolve(&format!("{base}/none.csv")).unwrap_err().hint().is_some());
        assert!(resolve(&format!("{base}/notes.md")).unwrap_err().hint().unwrap().contains("parquet"));
        assert!(resolve(&format!("{base}/a[.csv")).is_err());
    }

    #[test]
    fn label_folders_need_two_labels_and_no_files_beside_them() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("pos")).unwrap();
        fs::write(folder.path().join("pos/1.txt"), "good").unwrap();
        let base = folder.path().to_str().unwrap();
        assert!(resolve(base).unwrap_err().to_string().contains("single subfolder"));
        fs::create_dir(folder.path().join("neg")).unwrap();
        fs::write(folder.path().join("neg/1.txt"), "bad").unwrap();
        let files = resolve(base).unwrap();
        assert_eq!(files[0].name, "neg/1.txt");
        assert_eq!(files[0].label.as_deref(), Some("neg"));
        assert_eq!(files[1].format, Format::Document);
        fs::write(folder.path().join("more.csv"), "text\n").unwrap();
        assert!(resolve(base).unwrap_err().to_string().contains("as well as"));
    }
}
