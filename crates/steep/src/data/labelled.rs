//! The labelled rows of a source, read whole.

use super::columns::{default_text_column, row_number, text};
use super::fault::cell_fault;
use super::labels::{LabelColumn, Labels, Task};
use super::readers::{Chunk, ReadOptions, open};
use super::times::TimeColumn;
use crate::error::{Error, Result};
use arrow::array::{Array, StringArray};
use arrow::datatypes::Schema;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Which columns of a labelled source mean what.
#[derive(Debug, Clone)]
pub struct LabelledOptions {
    /// The columns of the texts, joined in this order; none means the default text column among those that have
    /// no other meaning here.
    pub text_columns: Vec<String>,
    /// What is put between the texts of several columns.
    pub text_column_delimiter: String,
    /// The column of the labels.
    pub label_column: String,
    /// What is to be predicted; `None` infers several labels from lists, one label otherwise.
    pub task: Option<Task>,
    /// Rows with the same value here never part in a split.
    pub group_column: Option<String>,
    /// The column that says to which part of the split a row belongs.
    pub split_column: Option<String>,
    /// The column that orders rows in time.
    pub time_column: Option<String>,
    /// Read only so many rows.
    pub limit: Option<u64>,
}

impl Default for LabelledOptions {
    fn default() -> Self {
        Self {
            text_columns: Vec::new(),
            text_column_delimiter: " ".to_owned(),
            label_column: "label".to_owned(),
            task: None,
            group_column: None,
            split_column: None,
            time_column: None,
            limit: None,
        }
    }
}

/// Labelled rows; every list has one entry a row.
#[derive(Debug, Clone)]
pub struct Labelled {
    /// The texts, missing ones as the empty string.
    pub texts: Vec<String>,
    /// The labels.
    pub labels: Labels,
    /// The groups, if a column was named.
    pub groups: Option<Vec<String>>,
    /// The parts of the split as written, if a column was named.
    pub splits: Option<Vec<String>>,
    /// The times, if a column was named: plain numbers, or seconds since 1970-01-01 UTC for dates.
    pub time: Option<Vec<f64>>,
    /// How many texts are null or blank.
    pub missing_texts: u64,
    /// Where the rows come from.
    pub origins: RowOrigins,
}

/// Which file and row each of a sequence of rows comes from.
#[derive(Debug, Clone, Default)]
pub struct RowOrigins {
    /// For each run of rows the place of its first, the file, and that row's number in the file.
    runs: Vec<(u64, Arc<Path>, u64)>,
}

impl RowOrigins {
    /// The file and the row, counted from 1, of the row at a place counted from 0; an unknown file where nothing
    /// was recorded.
    pub fn locate(&self, place: u64) -> (PathBuf, u64) {
        let after = self.runs.partition_point(|(first, ..)| *first <= place);
        match after.checked_sub(1).map(|at| &self.runs[at]) {
            Some((first, file, row)) => (file.to_path_buf(), row + (place - first)),
            None => (PathBuf::from("the labelled rows"), place + 1),
        }
    }

    /// Records that the rows from a place on are those of a file from `first_row` on.
    pub(super) fn record(&mut self, place: u64, file: &Arc<Path>, first_row: u64) {
        let follows = self.runs.last().is_some_and(|(first, same, row)| {
            same == file && first_row.checked_sub(*row) == Some(place - first)
        });
        if !follows {
            self.runs.push((place, file.clone(), first_row));
        }
    }
}

/// Reads the labelled rows of a source, which [`open`] describes, into memory.
///
/// Several text columns are joined by the delimiter, null ones left out; a row whose texts are all null or blank
/// counts as a missing text.
///
/// # Errors
/// What [`open`] gives; an unknown column; a missing label, group, part of the split or time, with its row; no rows.
pub fn load_labelled(source: &str, options: &LabelledOptions) -> Result<Labelled> {
    let text_columns = text_columns(source, options)?;
    let meanings =
        [Some(&options.label_column), options.group_column.as_ref(), options.split_column.as_ref()];
    let others = meanings.into_iter().chain([options.time_column.as_ref()]).flatten();
    let columns = text_columns.iter().chain(others).cloned().collect();
    let read = ReadOptions { columns: Some(columns), limit: options.limit, ..ReadOptions::default() };
    let mut collected: Option<Collected> = None;
    for chunk in open(source, &read)? {
        let chunk = chunk?;
        let rows = match &mut collected {
            Some(rows) => rows,
            None => collected.insert(Collected::new(&chunk, options)?),
        };
        rows.push(&chunk, &text_columns, options)?;
    }
    match collected {
        Some(rows) => rows.finish(source),
        None => Err(Error::data(source, "there are no rows", "give a file with labelled rows")),
    }
}

/// The columns that hold the texts of a labelled source: those named, or the default one.
///
/// # Errors
/// What [`open`] gives; no column that could be the text's.
pub fn text_columns(source: &str, options: &LabelledOptions) -> Result<Vec<String>> {
    if !options.text_columns.is_empty() {
        return Ok(options.text_columns.clone());
    }
    let schema = open(source, &ReadOptions::default())?.schema();
    let taken = [&options.group_column, &options.split_column, &options.time_column];
    let free = |name: &String| *name != options.label_column && !taken.contains(&&Some(name.clone()));
    let fields: Vec<_> = schema.fields().iter().filter(|field| free(field.name())).cloned().collect();
    match default_text_column(&Schema::new(fields)) {
        Some(name) => Ok(vec![name.to_owned()]),
        None => Err(Error::data(source, "there is no column for the texts", "name the text columns")),
    }
}

struct Collected {
    texts: Vec<String>,
    missing_texts: u64,
    labels: LabelColumn,
    groups: Vec<String>,
    splits: Vec<String>,
    time: TimeColumn,
    /// Whether groups, splits and times are read.
    has: [bool; 3],
    origins: RowOrigins,
}

impl Collected {
    fn new(first: &Chunk, options: &LabelledOptions) -> Result<Self> {
        Ok(Self {
            texts: Vec::new(),
            missing_texts: 0,
            labels: LabelColumn::new(first, &options.label_column, options.task)?,
            groups: Vec::new(),
            splits: Vec::new(),
            time: TimeColumn::default(),
            has: [
                options.group_column.is_some(),
                options.split_column.is_some(),
                options.time_column.is_some(),
            ],
            origins: RowOrigins::default(),
        })
    }

    fn push(&mut self, chunk: &Chunk, text_columns: &[String], options: &LabelledOptions) -> Result<()> {
        self.origins.record(self.texts.len() as u64, &chunk.file, chunk.first_row);
        self.push_texts(chunk, text_columns, &options.text_column_delimiter)?;
        self.labels.push(chunk)?;
        if let Some(column) = &options.group_column {
            let hint = "give every row a group; a row that belongs to none gets a value of its own";
            push_required(&mut self.groups, chunk, column, "the group is missing", hint)?;
        }
        if let Some(column) = &options.split_column {
            let hint = "write train, validation or test into every row";
            push_required(&mut self.splits, chunk, column, "the part of the split is missing", hint)?;
        }
        if let Some(column) = &options.time_column {
            self.time.push(chunk, column)?;
        }
        Ok(())
    }

    fn push_texts(&mut self, chunk: &Chunk, columns: &[String], delimiter: &str) -> Result<()> {
        let arrays: Vec<StringArray> =
            columns.iter().map(|column| text(chunk, column)).collect::<Result<_>>()?;
        for at in 0..chunk.batch.num_rows() {
            let parts: Vec<&str> =
                arrays.iter().filter(|array| array.is_valid(at)).map(|array| array.value(at)).collect();
            self.missing_texts += u64::from(parts.iter().all(|part| part.trim().is_empty()));
            self.texts.push(parts.join(delimiter));
        }
        Ok(())
    }

    fn finish(self, source: &str) -> Result<Labelled> {
        let [groups, splits, time] = self.has;
        Ok(Labelled {
            texts: self.texts,
            labels: self.labels.finish(Path::new(source))?,
            groups: groups.then_some(self.groups),
            splits: splits.then_some(self.splits),
            time: time.then_some(self.time.values),
            missing_texts: self.missing_texts,
            origins: self.origins,
        })
    }
}

fn push_required(
    values: &mut Vec<String>,
    chunk: &Chunk,
    column: &str,
    problem: &str,
    hint: &str,
) -> Result<()> {
    for (at, value) in text(chunk, column)?.iter().enumerate() {
        let value = value.filter(|value| !value.trim().is_empty());
        let value =
            value.ok_or_else(|| cell_fault(&chunk.file, row_number(chunk, at), column, problem, hint))?;
        values.push(value.to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn load(csv: &str, options: &LabelledOptions) -> Result<Labelled> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.csv");
        fs::write(&path, csv).unwrap();
        load_labelled(path.to_str().unwrap(), options)
    }

    #[test]
    fn texts_are_joined_and_missing_ones_counted() {
        let text_columns = vec!["title".to_owned(), "body".to_owned()];
        let options =
            LabelledOptions { text_columns, text_column_delimiter: ": ".to_owned(), ..Default::default() };
        let rows = load("title,body,label\na,b,x\n,c,y\n,,x\n\" \",,y\n", &options).unwrap();
        assert_eq!(rows.texts, ["a: b", "c", "", " "]);
        assert_eq!(rows.missing_texts, 2);
        assert_eq!(rows.labels.task(), Task::SingleLabel);
    }

    #[test]
    fn the_text_column_is_never_one_that_means_something_else() {
        let options = LabelledOptions { group_column: Some("g".to_owned()), ..Default::default() };
        let rows = load("label,g,sentence\nx,1,good\ny,2,bad\n", &options).unwrap();
        assert_eq!(rows.texts, ["good", "bad"]);
        assert_eq!(rows.groups.unwrap(), ["1", "2"]);
        assert_eq!((rows.splits, rows.time), (None, None));
    }

    #[test]
    fn missing_cells_and_unknown_columns_are_named() {
        let options = LabelledOptions { split_column: Some("split".to_owned()), ..Default::default() };
        let error = load("text,label,split\na,x,train\nb,,test\n", &options).unwrap_err();
        assert!(error.to_string().ends_with("a.csv, row 2, column 'label': the label is missing"), "{error}");
        let error = load("text,label,split\na,x,train\nb,y,\n", &options).unwrap_err();
        assert!(error.to_string().contains("row 2, column 'split'"), "{error}");
        let error = load("text,lable\na,x\n", &LabelledOptions::default()).unwrap_err();
        assert_eq!(error.hint(), Some("did you mean 'lable'?"));
        assert!(
            load("text,label\n", &LabelledOptions::default()).unwrap_err().to_string().contains("no rows")
        );
    }

    #[test]
    fn rows_are_traced_to_their_files() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a.csv"), "text,label\n1,x\n2,x\n").unwrap();
        fs::write(folder.path().join("b.csv"), "label,text\ny,3\n").unwrap();
        let rows = load_labelled(folder.path().to_str().unwrap(), &LabelledOptions::default()).unwrap();
        assert_eq!(rows.texts, ["1", "2", "3"]);
        assert_eq!(rows.origins.locate(1), (folder.path().join("a.csv"), 2));
        assert_eq!(rows.origins.locate(2), (folder.path().join("b.csv"), 1));
    }

    #[test]
    fn label_folders_are_labelled_documents() {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in [("neg/1.txt", "bad\n\nvery"), ("pos/1.txt", "good"), ("pos/2.txt", "")] {
            fs::create_dir_all(folder.path().join(name).parent().unwrap()).unwrap();
            fs::write(folder.path().join(name), text).unwrap();
        }
        let rows = load_labelled(folder.path().to_str().unwrap(), &LabelledOptions::default()).unwrap();
        assert_eq!(rows.texts, ["bad\n\nvery", "good", ""]);
        let names = vec!["neg".to_owned(), "pos".to_owned()];
        assert_eq!(rows.labels, Labels::Single { names, ids: vec![0, 1, 1] });
    }
}
