use super::*;
use crate::data::{LabelledOptions, lists, load_labelled, numbers, text};
use arrow::array::AsArray;
use std::io::Write;
use std::path::PathBuf;
use tempfile::TempDir;

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> String {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn name(&self) -> String {
        self.0.path().to_str().unwrap().to_owned()
    }
}

fn read(source: &str, options: &ReadOptions) -> Result<Vec<Chunk>> {
    open(source, options)?.collect()
}

fn small() -> ReadOptions {
    ReadOptions { chunk_rows: 2, ..ReadOptions::default() }
}

/// All values of a column, null as `-`.
fn column(source: &str, name: &str) -> Vec<String> {
    let chunks = read(source, &small()).unwrap();
    let texts = chunks.iter().map(|chunk| text(chunk, name).unwrap());
    texts
        .flat_map(|texts| texts.iter().map(|text| text.unwrap_or("-").to_owned()).collect::<Vec<_>>())
        .collect()
}

fn fault(source: &str) -> String {
    let error = read(source, &small()).unwrap_err();
    assert!(matches!(error, Error::Data { .. }), "{error:?}");
    assert!(error.hint().is_some(), "{error}");
    error.to_string()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn plain_text_is_a_text_a_line() {
    let folder = Folder::new();
    let source = folder.write("a.txt", "\u{feff}one\r\n\r\n  \ntwo\n three");
    assert_eq!(column(&source, "text"), ["one", "two", " three"]);
    let chunks = read(&source, &small()).unwrap();
    assert_eq!(chunks.iter().map(|chunk| chunk.first_row).collect::<Vec<_>>(), [1, 3]);
    let bad = folder.write("b.txt", b"one\n\nt\xffwo\n");
    assert!(fault(&bad).ends_with("b.txt, row 2: line 3 is not UTF-8 at its byte 2"), "{}", fault(&bad));
}

#[test]
fn csv_follows_the_standard() {
    let folder = Folder::new();
    let source = folder.write("a.csv", "\u{feff}text,n\r\n\"a, \"\"b\"\"\nc\",1\r\n,NA\r\nd,\"\"");
    assert_eq!(column(&source, "text"), ["a, \"b\"\nc", "-", "d"]);
    assert_eq!(column(&source, "n"), ["1", "NA", "-"]);
    let source = folder.write("a.tsv", "text\tn\na,b\t1\n");
    assert_eq!(column(&source, "text"), ["a,b"]);
    let source = folder.write("index.csv", ",text\n0,x\n");
    assert_eq!(column(&source, "Unnamed: 0"), ["0"]);
    assert!(read(&folder.write("header.csv", "text,n\n"), &small()).unwrap().is_empty());
}

#[test]
fn faults_of_csv_are_found() {
    let folder = Folder::new();
    let of = |bytes: &[u8]| fault(&folder.write("a.csv", bytes)).split_once(".csv").unwrap().1.to_owned();
    assert_eq!(of(b""), ": the file is empty, it has not even a header");
    assert_eq!(of(b"a,b\n1,2\n\n3\n"), ", row 2: the row near line 3 has 1 fields, the header has 2");
    assert!(of(b"a,b\r\n1,2\r\n1,2\r\n1,2,3\r\n").starts_with(", row 3: "));
    assert_eq!(of(b"a,b\n1,2,3\n"), ", row 1: the row near line 2 has 3 fields, the header has 2");
    let open_quote = ", row 2: a quote that opens in the row near line 3 is never closed";
    assert_eq!(of(b"a,b\n1,2\n3,\"4\n5,6\n7,8"), open_quote);
    assert_eq!(of(b"a,b\n1,2\n\"3,4\n"), open_quote);
    assert_eq!(
        of(b"a,b\n1,x\xe9y\n"),
        ", row 1, column 'b': the value near line 2 is not UTF-8 at its byte 2"
    );
    assert_eq!(of(b"a,a\n1,2\n"), ", column 'a': two columns of the header have this name");
    assert!(of(b"\xff\xfea\0,\0b\0\n\0").contains("the header is not UTF-8"));
    // A quote within a field that is not quoted is an ordinary character.
    assert_eq!(column(&folder.write("inch.csv", "a,b\n5\" disk,x\n"), "a"), ["5\" disk"]);
}

#[test]
fn json_lines_are_typed() {
    let folder = Folder::new();
    let lines = concat!(
        "{\"text\": \"a\", \"n\": 1, \"id\": 9007199254740993, \"yes\": true, \"tags\": [\"x\", \"y\"], \"v\": [1, 2.5]}\n",
        "\n",
        "{\"n\": 2.5, \"tags\": [], \"mixed\": 1}\n{\"text\": null, \"tags\": null, \"id\": 3, \"mixed\": [\"z\"]}\r\n",
    );
    let source = folder.write("a.jsonl", lines);
    let all = ReadOptions::default();
    let chunk = &read(&source, &all).unwrap()[0];
    let kinds: Vec<String> = chunk
        .batch
        .schema()
        .fields()
        .iter()
        .map(|field| format!("{}: {}", field.name(), field.data_type()))
        .collect();
    assert_eq!(
        kinds,
        [
            "text: Utf8",
            "n: Float64",
            "id: Int64",
            "yes: Boolean",
            "tags: List(Utf8)",
            "v: List(Float64)",
            "mixed: Utf8"
        ]
    );
    assert_eq!(text(chunk, "id").unwrap().value(0), "9007199254740993");
    assert_eq!(numbers(chunk, "n").unwrap().iter().collect::<Vec<_>>(), [Some(1.0), Some(2.5), None]);
    assert_eq!(text(chunk, "n").unwrap().value(0), "1");
    let tags = [Some(vec!["x".to_owned(), "y".to_owned()]), Some(Vec::new()), None];
    assert_eq!(lists(chunk, "tags").unwrap(), tags);
    assert_eq!(lists(chunk, "mixed").unwrap()[1..], [Some(vec!["1".to_owned()]), Some(vec!["z".to_owned()])]);
    let nested = folder.write("nested.ndjson", "{\"a\": {\"b\": [1]}}\n");
    assert_eq!(column(&nested, "a"), ["{\"b\":[1]}"]);
}

#[test]
fn faults_of_json_are_found() {
    let folder = Folder::new();
    let of = |text: &str| fault(&folder.write("a.jsonl", text)).split_once(".jsonl, ").unwrap().1.to_owned();
    let two = "{\"a\": 1}\n{\"a\": 2}\n";
    assert!(
        of("{\"a\": 1}\n\n{\"a\": \n").starts_with("row 2: line 3 is not a JSON object: EOF while parsing")
    );
    assert!(of("[1]\n").starts_with("row 1: line 1 is not a JSON object: invalid type"));
    assert_eq!(of("{\"a\": 1, \"a\": 2}\n"), "row 1, column 'a': the key stands twice in this object");
    assert!(of(&format!("{two}{{\"b\": 1}}\n")).starts_with("row 3: the key 'b' is new here"));
    assert!(
        of(&format!("{two}{{\"a\": \"x\"}}\n"))
            .starts_with("row 3, column 'a': the value 'x' is not a number")
    );
    assert!(of(&"[".repeat(5000)).starts_with("row 1"));
    let chosen = ReadOptions { columns: Some(vec!["a".to_owned()]), ..small() };
    let source = folder.write("b.jsonl", format!("{two}{{\"b\": 1}}\n"));
    assert_eq!(read(&source, &chosen).unwrap().iter().map(|chunk| chunk.batch.num_rows()).sum::<usize>(), 3);
}

#[test]
fn json_arrays_are_read_and_so_are_lines_in_a_json_file() {
    let folder = Folder::new();
    let source = folder.write("a.json", " [ {\"a\": 1} ,\n{\"a\": 2}, {\"a\": 3} ]\n ");
    assert_eq!(column(&source, "a"), ["1", "2", "3"]);
    assert_eq!(column(&folder.write("lines.json", "{\"a\": 1}\n{\"a\": 2}\n"), "a"), ["1", "2"]);
    let of = |text: &str| fault(&folder.write("b.json", text)).split_once(".json").unwrap().1.to_owned();
    assert_eq!(of("[{\"a\": 1}, {\"a\": 2}, {\"a\": 3}"), ", row 4: the array is never closed");
    assert_eq!(of("[{\"a\": 1} {\"a\": 2}]"), ", row 2: a comma is missing before this object");
    assert_eq!(of("[{\"a\": 1}] x"), ", row 2: there is more after the array");
    assert!(of("[{\"a\": 1},]").starts_with(", row 2: this is not a JSON object"));
    assert_eq!(of("\"x\""), ": the file does not hold an array of objects");
}

#[test]
fn compression_is_told_by_the_bytes() {
    let folder = Folder::new();
    let csv = b"\xef\xbb\xbftext\na\nb\n";
    let zstd = zstd::encode_all(&csv[..], 3).unwrap();
    for (name, bytes) in
        [("a.csv.gz", gzip(csv)), ("b.csv.zst", zstd), ("c.csv", gzip(csv)), ("d.csv.gz", csv.to_vec())]
    {
        assert_eq!(column(&folder.write(name, bytes), "text"), ["a", "b"], "{name}");
    }
    let two_members = [gzip(b"one\n"), gzip(b"two\n")].concat();
    assert_eq!(column(&folder.write("e.txt.gz", two_members), "text"), ["one", "two"]);
}

#[test]
fn damaged_compression_is_an_error() {
    let folder = Folder::new();
    let rows: Vec<String> =
        (0..20_000_u64).map(|row| row.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_string()).collect();
    let text = rows.join("\n");
    let (gz, zst) = (gzip(text.as_bytes()), zstd::encode_all(text.as_bytes(), 3).unwrap());
    for (name, bytes) in [("a.txt.gz", &gz), ("a.txt.zst", &zst)] {
        for length in [3, 20, bytes.len() / 2, bytes.len() - 1] {
            let mut cut = bytes[..length].to_vec();
            // Shorter than its magic number a file cannot be known as compressed.
            cut.resize(length.max(4), 0);
            let error = read(&folder.write(name, cut), &small()).unwrap_err();
            assert!(matches!(error, Error::Data { .. }), "{name} {length}: {error:?}");
        }
    }
    let mut flipped = gz.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 0x55;
    assert!(fault(&folder.write("b.txt.gz", flipped)).contains("b.txt.gz"));
}

/// A small Parquet file with strings, numbers and lists.
fn parquet_bytes(rows: usize) -> Vec<u8> {
    let line = |row| format!("{{\"text\": \"text {row}\", \"n\": {row}, \"tags\": [\"t{}\"]}}", row % 3);
    let lines = (0..rows).map(line).collect::<Vec<_>>().join("\n");
    let folder = Folder::new();
    let source = folder.write("a.jsonl", lines);
    let chunk = read(&source, &ReadOptions::default()).unwrap().remove(0);
    let mut writer = parquet::arrow::ArrowWriter::try_new(Vec::new(), chunk.batch.schema(), None).unwrap();
    writer.write(&chunk.batch).unwrap();
    writer.into_inner().unwrap()
}

#[test]
fn parquet_is_projected_and_limited() {
    let folder = Folder::new();
    let source = folder.write("a.parquet", parquet_bytes(100));
    let columns = Some(vec!["tags".to_owned(), "text".to_owned(), "tags".to_owned()]);
    let options = ReadOptions { columns, chunk_rows: 30, limit: Some(70) };
    let chunks = read(&source, &options).unwrap();
    assert_eq!(chunks.iter().map(|chunk| chunk.batch.num_rows()).collect::<Vec<_>>(), [30, 30, 10]);
    assert_eq!(chunks[2].first_row, 61);
    assert_eq!(chunks[0].batch.num_columns(), 2);
    assert_eq!(chunks[0].batch.schema().field(0).name(), "tags");
    assert_eq!(text(&chunks[2], "text").unwrap().value(0), "text 60");
}

#[test]
fn damaged_parquet_never_panics() {
    let folder = Folder::new();
    let bytes = parquet_bytes(200);
    assert!(fault(&folder.write("x.parquet", b"PAR1")).contains("Parquet"));
    let results: Vec<Result<Vec<Chunk>>> = (0..300_usize)
        .map(|trial| {
            let mut damaged = bytes.clone();
            let at = trial * 7919 % damaged.len();
            if trial % 3 == 0 {
                damaged.truncate(at);
            } else {
                damaged[at] ^= 1 << (trial % 8);
            }
            std::panic::catch_unwind(|| read(&folder.write("a.parquet", damaged), &small()))
                .unwrap_or_else(|_| panic!("panicked at trial {trial}"))
        })
        .collect();
    let faults: Vec<_> = results.iter().filter_map(|result| result.as_ref().err()).collect();
    assert!(faults.len() > 100, "{}", faults.len());
    assert!(faults.iter().all(|error| matches!(error, Error::Data { .. }) && error.hint().is_some()));
}

#[test]
fn files_of_a_source_have_the_same_columns() {
    let folder = Folder::new();
    folder.write("a.csv", "text,n\nx,1\n");
    folder.write("b.csv", "n,text\n2,y\n");
    assert_eq!(column(&folder.name(), "n"), ["1", "2"]);
    folder.write("c.csv", "text\nz\n");
    let message = fault(&folder.name());
    assert!(
        message.contains("c.csv, column 'n': this column of") && message.contains("a.csv is missing"),
        "{message}"
    );
    folder.write("c.csv", "text,n,m\nz,3,4\n");
    assert!(fault(&folder.name()).contains("c.csv, column 'm': this column is not in"));
    folder.write("c.csv", "text,n\nz,3\n");
    folder.write("d.parquet", parquet_bytes(1));
    assert!(fault(&folder.name()).contains("d.parquet, column 'n': the column is of type Float64"));
    let chosen = ReadOptions { columns: Some(vec!["text".to_owned()]), ..small() };
    assert_eq!(read(&folder.name(), &chosen).unwrap().len(), 4);
}

#[test]
fn label_folders_give_a_label_column_in_the_place_asked_for() {
    let folder = Folder::new();
    folder.write("pos/a.txt", "good\nday");
    folder.write("neg/a.csv", "text\nbad\nworse\n");
    assert_eq!(column(&folder.name(), "label"), ["neg", "neg", "pos"]);
    assert_eq!(column(&folder.name(), "text"), ["bad", "worse", "good\nday"]);
    let options = ReadOptions { columns: Some(vec!["label".to_owned(), "text".to_owned()]), ..small() };
    let chunk = &read(&folder.name(), &options).unwrap()[0];
    assert_eq!(chunk.batch.schema().field(0).name(), "label");
    assert_eq!(chunk.batch.column(0).as_string::<i32>().value(0), "neg");
    let only = ReadOptions { columns: Some(vec!["label".to_owned()]), ..small() };
    assert_eq!(
        read(&folder.name(), &only).unwrap().iter().map(|chunk| chunk.batch.num_rows()).sum::<usize>(),
        3
    );
    let without = ReadOptions { columns: Some(vec!["text".to_owned()]), ..small() };
    assert_eq!(read(&folder.name(), &without).unwrap()[0].batch.num_columns(), 1);
    folder.write("neg/a.csv", "text,label\nbad,x\n");
    folder.write("pos/a.csv", "text,label\nbad,x\n");
    std::fs::remove_file(folder.path("pos/a.txt")).unwrap();
    assert!(fault(&folder.name()).contains("has a column of that name too"));
}

#[test]
fn a_file_without_rows_tells_no_columns() {
    let folder = Folder::new();
    folder.write("a.jsonl", "\n");
    assert!(fault(&folder.name()).contains("there are no rows"));
    folder.write("b.jsonl", "{\"text\": \"x\", \"label\": \"l\"}\n");
    assert_eq!(column(&folder.name(), "text"), ["x"]);
    assert_eq!(load_labelled(&folder.name(), &LabelledOptions::default()).unwrap().texts, ["x"]);
}

#[test]
fn after_an_error_there_is_nothing_more() {
    let folder = Folder::new();
    let source = folder.write("a.csv", "a\n1\n2\n3,4\n5\n");
    let results: Vec<bool> = open(&source, &small()).unwrap().map(|chunk| chunk.is_ok()).collect();
    assert_eq!(results, [true, false]);
}

mod mutated {
    use super::*;
    use proptest::prelude::*;

    /// A valid file of each format, to be damaged.
    fn originals() -> Vec<(&'static str, Vec<u8>)> {
        let csv = b"text,n,tags\r\n\"a, \"\"b\"\"\nc\",1,x|y\r\n\xc3\xa4,,[]\r\nlast,2.5,\r\n".to_vec();
        let lines =
            b"{\"text\": \"a\", \"n\": 1, \"tags\": [\"x\"]}\n{\"text\": null, \"n\": -2e3}\n".to_vec();
        let array = b"[{\"text\": \"a\\u00e4\", \"n\": 1}, {\"n\": 2}]".to_vec();
        let zstd = zstd::encode_all(&csv[..], 3).unwrap();
        let packed = gzip(&lines);
        vec![
            ("a.csv", csv),
            ("a.jsonl", lines),
            ("a.json", array),
            ("a.jsonl.gz", packed),
            ("a.csv.zst", zstd),
        ]
    }

    proptest! {
        #[test]
        fn files_are_read_or_refused_with_a_hint(
            which in 0_usize..5,
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
            cut in prop::option::of(any::<prop::sample::Index>()),
        ) {
            let (name, mut bytes) = originals().swap_remove(which);
            for (at, value) in changes {
                let at = at.index(bytes.len());
                bytes[at] = value;
            }
            if let Some(cut) = cut {
                bytes.truncate(cut.index(bytes.len()));
            }
            let folder = Folder::new();
            match read(&folder.write(name, bytes), &small()) {
                Ok(chunks) => prop_assert!(chunks.iter().all(|chunk| chunk.batch.num_rows() <= 2)),
                Err(error) => prop_assert!(matches!(error, Error::Data { .. }) && error.hint().is_some(), "{:?}", error),
            }
        }
    }
}
