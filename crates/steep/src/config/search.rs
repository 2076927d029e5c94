//! What `steep search` can be asked.

use super::check::{at_least_one, fill, one_of, required, within};
use super::choices::items;
use super::extract::ExtractRequest;
use super::values::List;
use crate::error::{Error, Result};
use crate::search::{ListSettings, SearchMethod};
use crate::stages::{IndexSettings, ListChoice, ModelFolder, VectorSearch};
use std::path::PathBuf;

request! {
    /// Near texts of a corpus: an index of its vectors and words, queries by text, and near-duplicates.
    "search" SearchRequest {
        /// The folder of the index, made from input_file where it is not there yet; needed
        index_dir: PathBuf, also ["index"];
        /// The encoder: a folder, or a name on the hub; needed but for method bm25, and for near-duplicates in an index that is
        /// there
        model_name_or_path: String, also ["model"];
        /// Branch, tag or commit of a model on the hub; default main
        model_revision: String, also ["revision"];
        /// The corpus: a file, folder or quoted pattern of txt, csv, tsv, jsonl or parquet, plain, .gz or .zst; default: the
        /// index is there
        input_file: String, also ["input"], old ["corpus_file"];
        /// Columns of the text; default text, or the only column of strings, or the first
        text_column_names: List<String>, also ["text_columns"], old ["text_column_name", "text_column"];
        /// Put between the texts of several columns; default a space
        text_column_delimiter: String;
        /// Index only so many rows; default all
        max_samples: u64, also ["limit"];
        /// Put before every text of the corpus, such as "passage: "; default: what the model folder says
        prompt: String;
        /// Longer texts are cut to so many tokens, at least 3; default: what the model folder says
        max_seq_length: u64;
        /// exact compares a query with all rows; ivf parts the rows into lists, of which a query looks at few; default ivf
        /// from 100,000 rows on
        index_type: String;
        /// Lists, 1 or more; default the square root of the number of rows
        n_lists: u64, old ["nlist"];
        /// Seed of how rows are parted; default 42
        seed: u64;
        /// How rows are found: dense by their vectors; bm25 by the words of the query, for which no encoder is needed; hybrid by
        /// both, fused by reciprocal rank; default dense
        method: String, also ["search_method"];
        /// A text to search for
        query: String;
        /// Texts to search for, one a row: a file like input_file
        query_file: String, also ["queries"];
        /// The column of the queries; default text, or the only column of strings, or the first
        query_column_name: String, also ["query_column"];
        /// Put before every query, such as "query: ", or nothing where it is empty; default: as before every text
        query_prompt: String;
        /// Rows to find for a query, 1 or more; default 10
        top_k: u64, old ["k"];
        /// Compare with all rows although they are parted into lists; default false
        exact: bool;
        /// Lists that a query looks at, 1 or more; default 16
        n_probe: u64, old ["nprobe"];
        /// Find the pairs of rows whose cosine is at least this, from above 0 to 1
        near_duplicates: f64;
        /// The file to write what was found into, which ends in .jsonl or .csv; default: the first lines are shown
        output_file: PathBuf, also ["output"];
        /// Tokens that a thread computes at once, 1 or more; bounds the memory and changes no bit; default 2048
        max_tokens_per_micro_batch: u64, old ["max_batch_tokens"];
        /// Numbers in which the encoder computes: f32, bf16, int8, or auto for what is quick on this machine; default auto
        dtype: String, old ["torch_dtype"];
        /// The same as dtype = "bf16"
        bf16: bool;
        /// Rows of a shard, which is what a stop loses at most; default 16384
        shard_rows: u64;
    }
}

/// What is searched for.
#[derive(Debug, Clone, PartialEq)]
pub struct SearchQuestions {
    /// The folder of the index.
    pub index_dir: PathBuf,
    /// A text.
    pub query: Option<String>,
    /// A file of texts, and their column.
    pub query_file: Option<String>,
    /// The column; none for the default one.
    pub query_column: Option<String>,
    /// Put before every query, where it is another one than before the corpus's texts.
    pub query_prompt: Option<String>,
    /// How they are found.
    pub method: SearchMethod,
    /// Rows to find.
    pub top_k: usize,
    /// Whether a query is compared with all rows in any case.
    pub exact: bool,
    /// Lists that a query looks at.
    pub n_probe: usize,
    /// The least cosine of near-duplicates.
    pub near_duplicates: Option<f32>,
    /// Where the result goes.
    pub output_file: Option<PathBuf>,
}

impl SearchQuestions {
    /// How vectors are searched that are parted into lists or not.
    pub fn vector_search(&self, has_lists: bool) -> VectorSearch {
        if self.exact || !has_lists {
            VectorSearch::Exact
        } else {
            VectorSearch::Lists { n_probe: self.n_probe }
        }
    }

    /// Whether texts are searched for.
    pub fn has_queries(&self) -> bool {
        self.query.is_some() || self.query_file.is_some()
    }
}

/// A threshold of near-duplicates.
fn cosine(least: f64) -> Result<f32> {
    if least > 0.0 && least <= 1.0 {
        return Ok(least as f32);
    }
    let hint = "give a cosine above 0 and at most 1, such as 0.95";
    Err(Error::config("near_duplicates", format!("{least} is not possible"), hint))
}

impl SearchRequest {
    /// What is searched for; fills the keys in.
    pub fn questions(&mut self) -> Result<SearchQuestions> {
        let threshold = self.near_duplicates.map(cosine);
        let ending = self.output_file.as_ref().map(|path| path.extension().unwrap_or_default());
        if ending.is_some_and(|ending| ending != "jsonl" && ending != "csv") {
            let problem = "does not end in .jsonl or .csv";
            return Err(Error::config("output_file", problem, "name a file of one of these formats"));
        }
        Ok(SearchQuestions {
            index_dir: required("index_dir", self.index_dir.as_ref(), "FOLDER")?,
            query: self.query.clone(),
            query_file: self.query_file.clone(),
            query_column: self.query_column_name.clone(),
            query_prompt: self.query_prompt.clone(),
            method: one_of("method", &fill(&mut self.method, || "dense".to_owned()), &SearchMethod::ALL)?,
            top_k: at_least_one("top_k", fill(&mut self.top_k, || 10))?.min(1 << 20) as usize,
            exact: fill(&mut self.exact, || false),
            n_probe: within("n_probe", fill(&mut self.n_probe, || 16), 1..=1 << 20)? as usize,
            near_duplicates: threshold.transpose()?,
            output_file: self.output_file.clone(),
        })
    }

    /// The encoder, as the user named it.
    pub fn model(&self) -> Result<String> {
        required("model_name_or_path", self.model_name_or_path.as_ref(), "FOLDER_OR_NAME")
    }

    /// The columns of the corpus's texts, and what is put between them.
    pub fn text_columns(&mut self) -> (Vec<String>, String) {
        let delimiter = fill(&mut self.text_column_delimiter, || " ".to_owned());
        (items(self.text_column_names.as_ref()), delimiter)
    }

    /// How the index is made; fills the keys in. Vectors are made as `steep extract` does, of length one.
    pub fn resolve(&mut self, model: &ModelFolder) -> Result<IndexSettings> {
        let mut extract = ExtractRequest {
            max_seq_length: self.max_seq_length,
            prompt: self.prompt.clone(),
            normalize_embeddings: Some(true),
            output_format: Some("npy".to_owned()),
            max_tokens_per_micro_batch: self.max_tokens_per_micro_batch,
            dtype: self.dtype.clone(),
            bf16: self.bf16,
            shard_rows: self.shard_rows,
            ..ExtractRequest::default()
        };
        let settings = extract.resolve(model)?;
        self.max_seq_length = extract.max_seq_length;
        self.max_tokens_per_micro_batch = extract.max_tokens_per_micro_batch;
        (self.dtype, self.bf16, self.shard_rows) = (extract.dtype, extract.bf16, extract.shard_rows);
        let n_lists = self.n_lists.map(|count| within("n_lists", count, 1..=1 << 20)).transpose()?;
        let lists =
            ListSettings { n_lists: n_lists.map(|count| count as usize), seed: fill(&mut self.seed, || 42) };
        let known = [("auto", Some(LISTS_FROM_ROWS)), ("ivf", Some(0)), ("exact", None)];
        let kind = fill(&mut self.index_type, || "auto".to_owned());
        let from_rows = one_of("index_type", &kind, &known)?;
        let lists = from_rows.map(|from_rows| ListChoice { from_rows, settings: lists });
        Ok(IndexSettings { extract: settings, lists })
    }
}

/// Below this, comparing with all rows takes a fraction of a second.
const LISTS_FROM_ROWS: u64 = 100_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_is_checked() {
        let request = SearchRequest { index_dir: Some("i".into()), ..SearchRequest::default() };
        let questions = request.clone().questions().unwrap();
        assert_eq!((questions.top_k, questions.has_queries()), (10, false));
        assert_eq!(questions.method, SearchMethod::Dense);
        assert_eq!(questions.vector_search(true), VectorSearch::Lists { n_probe: 16 });
        assert_eq!(questions.vector_search(false), VectorSearch::Exact);
        let refused = [
            SearchRequest { index_dir: None, ..request.clone() },
            SearchRequest { near_duplicates: Some(1.5), ..request.clone() },
            SearchRequest { output_file: Some("hits.xml".into()), ..request.clone() },
            SearchRequest { top_k: Some(0), ..request.clone() },
            SearchRequest { method: Some("bm52".into()), ..request.clone() },
        ];
        for mut request in refused {
            assert!(request.questions().unwrap_err().hint().is_some());
        }
    }
}
