//! Makes an inverted index in one pass over the texts.

use super::postings::GrowingList;
use super::{LENGTHS_FILE, POSTINGS_FILE, TABLE_FILE, WORDS_FILE, for_each_word};
use crate::error::{Error, Result};
use crate::storage::{ArtefactWriter, StoredFile};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::io::{BufWriter, Write};

/// What an index of words holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct WordTotals {
    /// Different words.
    pub distinct: u64,
    /// Words of all rows.
    pub words: u64,
}

/// The index as it grows.
#[derive(Default)]
pub(crate) struct WordIndexBuilder {
    /// A word's number is its list's place in `lists`.
    numbers: HashMap<String, u32>,
    lists: Vec<GrowingList>,
    /// The words of each row.
    lengths: Vec<u32>,
    /// The numbers of the words of one row; kept for the memory.
    row: Vec<u32>,
}

impl WordIndexBuilder {
    /// Adds the next row.
    ///
    /// # Errors
    /// More rows or different words than 32 bits count.
    pub(crate) fn add(&mut self, text: &str) -> Result<()> {
        let row = number_of(self.lengths.len())?;
        let Self { numbers, lists, row: present, .. } = self;
        present.clear();
        for_each_word(text, |word| {
            let number = numbers.get(word).copied().unwrap_or_else(|| {
                let number = lists.len() as u32;
                lists.push(GrowingList::default());
                numbers.insert(word.to_owned(), number);
                number
            });
            present.push(number);
        });
        number_of(lists.len())?;
        self.lengths.push(present.len() as u32);
        present.sort_unstable();
        for same in present.chunk_by(|a, b| a == b) {
            lists[same[0] as usize].push(row, same.len() as u32);
        }
        Ok(())
    }

    /// Writes the index into an artefact.
    pub(crate) fn save(self, writer: &ArtefactWriter) -> Result<WordTotals> {
        let mut words: Vec<(String, u32)> = self.numbers.into_iter().collect();
        words.sort_unstable();
        let mut files = Files::create(writer)?;
        let (mut word_end, mut list_end) = (0_u64, 0_u64);
        for (word, number) in &words {
            let list = &self.lists[*number as usize];
            word_end += word.len() as u64;
            list_end += list.bytes.len() as u64;
            files.words.write(word.as_bytes())?;
            files.postings.write(&list.bytes)?;
            files.table.write(&word_end.to_le_bytes())?;
            files.table.write(&list_end.to_le_bytes())?;
            files.table.write(&list.rows.to_le_bytes())?;
        }
        self.lengths.iter().try_for_each(|length| files.lengths.write(&length.to_le_bytes()))?;
        files.flush()?;
        let total = self.lengths.iter().map(|&length| u64::from(length)).sum();
        Ok(WordTotals { distinct: words.len() as u64, words: total })
    }
}

fn number_of(count: usize) -> Result<u32> {
    u32::try_from(count).map_err(|_| {
        let problem = "has more rows or words than an index can hold";
        Error::config("input_file", problem, "part the corpus")
    })
}

/// The files of an index, open for writing.
struct Files {
    words: File,
    table: File,
    postings: File,
    lengths: File,
}

impl Files {
    fn create(writer: &ArtefactWriter) -> Result<Self> {
        let create = |name| File::create(writer, name);
        Ok(Self {
            words: create(WORDS_FILE)?,
            table: create(TABLE_FILE)?,
            postings: create(POSTINGS_FILE)?,
            lengths: create(LENGTHS_FILE)?,
        })
    }

    fn flush(&mut self) -> Result<()> {
        [&mut self.words, &mut self.table, &mut self.postings, &mut self.lengths]
            .into_iter()
            .try_for_each(File::flush)
    }
}

/// A file whose errors name it.
struct File {
    writer: BufWriter<StoredFile>,
}

impl File {
    fn create(writer: &ArtefactWriter, name: &str) -> Result<Self> {
        Ok(Self { writer: writer.create_file(name)? })
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.writer.write_all(bytes).map_err(|error| self.fault(error))
    }

    fn flush(&mut self) -> Result<()> {
        self.writer.flush().map_err(|error| self.fault(error))
    }

    fn fault(&self, error: std::io::Error) -> Error {
        Error::io("write", self.writer.get_ref().path())(error)
    }
}
