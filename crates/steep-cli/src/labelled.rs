//! Labelled rows for fine-tuning: read, joined, parted, tokenised.

use crate::session::Session;
use steep::config::FinetuneSources;
use steep::data::{
    DuplicateOptions, Labelled, Labels, Split, find_duplicates, fingerprint, load_labelled, split,
    text_columns,
};
use steep::objectives::Targets;
use steep::stages::{FinetuneInput, ModelFolder, TextRecipe, stage_key};
use steep::text::Encodings;
use steep::{Error, Result};

/// The labelled rows of all files, parted.
pub(crate) struct LabelledRows {
    rows: Labelled,
    pub(crate) targets: Targets,
    /// Names of the labels, or of the one output.
    pub(crate) names: Vec<String>,
    pub(crate) split: Split,
    /// Names the content.
    pub(crate) key: String,
    /// How a row became its text.
    text: TextRecipe,
}

impl LabelledRows {
    pub(crate) fn load(sources: &FinetuneSources, session: &Session) -> anyhow::Result<Self> {
        let mut rows = load_labelled(&sources.train_file, &sources.columns)?;
        let mut split = split(&rows, &sources.split)?;
        let mut digests = vec![fingerprint(&sources.train_file)?];
        for (file, part) in
            [(&sources.validation_file, &mut split.validation), (&sources.test_file, &mut split.test)]
        {
            let Some(file) = file else { continue };
            // A further file is a part by itself, whatever the first one's columns say of parts.
            let mut columns = sources.columns.clone();
            columns.split_column = None;
            columns.limit = None;
            let first = rows.texts.len() as u32;
            append(&mut rows, load_labelled(file, &columns)?, file)?;
            part.extend(first..rows.texts.len() as u32);
            digests.push(fingerprint(file)?);
        }
        let limit = sources.columns.limit.unwrap_or(u64::MAX);
        let columns = &sources.columns;
        let settings = (&columns.text_columns, &columns.text_column_delimiter, &columns.label_column, limit);
        let inputs: Vec<&str> = digests.iter().map(String::as_str).collect();
        let key = stage_key("labelled rows", &inputs, &settings);
        let (targets, names) = targets(rows.labels.clone(), &sources.columns.label_column);
        let text = TextRecipe {
            text_columns: text_columns(&sources.train_file, columns)?,
            text_column_delimiter: columns.text_column_delimiter.clone(),
            ..TextRecipe::default()
        };
        let mut loaded = Self { rows, targets, names, split, key, text };
        loaded.keep_test_texts_out_of_training(session)?;
        Ok(loaded)
    }

    /// What training on these rows starts from.
    pub(crate) fn finetune_input<'a>(
        &'a self,
        model: &'a ModelFolder,
        encodings: &'a Encodings,
    ) -> FinetuneInput<'a> {
        FinetuneInput {
            model,
            sequences: encodings,
            data_key: &self.key,
            targets: &self.targets,
            labels: self.names.clone(),
            text: Some(self.text.clone()),
            train_rows: self.split.train.clone(),
            validation_rows: self.split.validation.clone(),
        }
    }

    /// Training rows that repeat a test text would make the test easier than the task.
    fn keep_test_texts_out_of_training(&mut self, session: &Session) -> anyhow::Result<()> {
        if self.split.test.is_empty() {
            return Ok(());
        }
        let options = DuplicateOptions::default();
        let found =
            find_duplicates(&self.rows.texts, &self.split, std::iter::empty(), &options, &session.context())?;
        let repeated = found.train_rows_in_test;
        if !repeated.is_empty() {
            session.note(&format!("{} training rows repeat a test text and are left out", repeated.len()));
            self.split.train.retain(|row| repeated.binary_search(row).is_err());
        }
        Ok(())
    }

    /// The texts as tokens; says how many were cut.
    pub(crate) fn encode(
        &self,
        model: &ModelFolder,
        max_seq_length: usize,
        session: &Session,
    ) -> anyhow::Result<Encodings> {
        let encodings = model.tokenizer.encode(&self.rows.texts, &model.encode_options(max_seq_length))?;
        if encodings.truncated > 0 {
            let (cut, rows) = (encodings.truncated, encodings.len());
            session
                .note(&format!("{cut} of {rows} texts are longer than {max_seq_length} tokens and were cut"));
        }
        if self.rows.missing_texts > 0 {
            session.note(&format!("{} rows have no text", self.rows.missing_texts));
        }
        Ok(encodings)
    }
}

/// Adds the rows of another file, whose labels must be among those of the first.
fn append(rows: &mut Labelled, more: Labelled, file: &str) -> Result<()> {
    let unknown = |name: &str| {
        Error::data(
            file,
            format!("the label '{name}' is not in the training file"),
            "give training rows with this label",
        )
    };
    let place = |names: &[String], name: &String| {
        names.iter().position(|known| known == name).map(|at| at as u32).ok_or_else(|| unknown(name))
    };
    match (&mut rows.labels, more.labels) {
        (Labels::Single { names, ids }, Labels::Single { names: others, ids: more }) => {
            let map: Vec<u32> = others.iter().map(|name| place(names, name)).collect::<Result<_>>()?;
            ids.extend(more.into_iter().map(|id| map[id as usize]));
        }
        (Labels::Multi { names, sets }, Labels::Multi { names: others, sets: more }) => {
            let map: Vec<u32> = others.iter().map(|name| place(names, name)).collect::<Result<_>>()?;
            let mapped = more.into_iter().map(|set| {
                let mut set: Vec<u32> = set.into_iter().map(|id| map[id as usize]).collect();
                set.sort_unstable();
                set
            });
            sets.extend(mapped);
        }
        (Labels::Numbers(values), Labels::Numbers(more)) => values.extend(more),
        _ => {
            let hint = "say with problem_type what the labels are";
            return Err(Error::data(file, "the labels are of another kind than in the training file", hint));
        }
    }
    rows.texts.extend(more.texts);
    rows.missing_texts += more.missing_texts;
    Ok(())
}

/// What the network is to give for each row, and the names of its outputs.
fn targets(labels: Labels, column: &str) -> (Targets, Vec<String>) {
    match labels {
        Labels::Single { names, ids } => (Targets::Classes(ids), names),
        Labels::Numbers(values) => (Targets::Numbers(values), vec![column.to_owned()]),
        Labels::Multi { names, sets } => {
            let mut flags = vec![0.0; sets.len() * names.len()];
            for (row, set) in sets.iter().enumerate() {
                for &label in set {
                    flags[row * names.len() + label as usize] = 1.0;
                }
            }
            (Targets::Flags(flags), names)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_labels_become_flags() {
        let labels =
            Labels::Multi { names: vec!["a".into(), "b".into()], sets: vec![vec![1], vec![], vec![0, 1]] };
        let (targets, names) = targets(labels, "label");
        assert_eq!(targets, Targets::Flags(vec![0.0, 1.0, 0.0, 0.0, 1.0, 1.0]));
        assert_eq!(names, ["a", "b"]);
    }

    #[test]
    fn labels_of_another_file_go_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let load = |name: &str, content: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, content).unwrap();
            load_labelled(path.to_str().unwrap(), &steep::data::LabelledOptions::default()).unwrap()
        };
        let mut rows = load("a.csv", "text,label\n1,x\n2,y\n3,z\n");
        append(&mut rows, load("b.csv", "text,label\n4,z\n5,y\n"), "b.csv").unwrap();
        let Labels::Single { ids, .. } = &rows.labels else { panic!("another kind") };
        assert_eq!((ids.as_slice(), rows.texts.len()), (&[0, 1, 2, 2, 1][..], 5));
        let error = append(&mut rows, load("c.csv", "text,label\n4,w\n"), "c.csv").unwrap_err();
        assert!(error.to_string().contains("'w' is not in the training file"), "{error}");
    }
}
