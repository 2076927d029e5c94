//! What `steep evaluate` can be asked.

use super::check::{at_least_one, fill, one_of, required, within};
use super::choices::items;
use super::extract::ExtractRequest;
use super::values::List;
use crate::error::{Error, Result};
use crate::search::SearchMethod;
use crate::stages::{
    CorpusInput, EvaluationTask, ExtractSettings, IndexSettings, ModelFolder, PairInput, RetrievalSettings,
};
use std::path::PathBuf;

request! {
    /// How good an encoder's vectors are: for search, for pairs, for clusters; and how far training moved them.
    "evaluate" EvaluateRequest {
        /// What is tried: retrieval (are the documents found that belong to queries), sts (do similarities of pairs go with
        /// people's scores), drift (how differently do two encoders see the same texts), alignment (and uniformity, of pairs),
        /// clustering (do clusters follow labels); needed
        task: String;
        /// The encoder: a folder, or a name on the hub; needed but for retrieval by words alone
        model_name_or_path: String, also ["model"];
        /// Branch, tag or commit of a model on the hub; default main
        model_revision: String, also ["revision"];
        /// For drift: the other encoder, such as the one from which the first was trained
        reference_model_name_or_path: String, also ["reference_model"];
        /// The texts, pairs, or for retrieval the documents: a file, folder or quoted pattern of txt, csv, tsv, jsonl or parquet,
        /// plain, .gz or .zst; needed
        input_file: String, also ["input"], old ["corpus_file"];
        /// Where results.json is written, and for retrieval the index; needed
        output_dir: PathBuf, also ["output"];
        /// Columns of the text; default text, or the only column of strings, or the first
        text_column_names: List<String>, also ["text_columns"], old ["text_column_name", "text_column"];
        /// Put between the texts of several columns; default a space
        text_column_delimiter: String;
        /// Read only so many rows of input_file; default all
        max_samples: u64, also ["limit"];
        /// For retrieval: the queries, one a row, a file like input_file
        query_file: String, also ["queries"];
        /// The column of the queries; default text, or the only column of strings, or the first
        query_column_name: String, also ["query_column"];
        /// For retrieval: which documents belong to which query; columns query-id, corpus-id and, if not all rows say yes, score
        qrels_file: String, also ["qrels"];
        /// The column of the documents' names; default _id or id, else their numbers from 0
        corpus_id_column_name: String;
        /// The column of the queries' names; default _id or id, else their numbers from 0
        query_id_column_name: String;
        /// For retrieval: dense, bm25, hybrid or several of them; default all, or bm25 where no encoder is named
        method: List<String>, also ["search_method"];
        /// For retrieval: how many of the documents found are judged; default 1, 3, 5, 10 and 100
        k_values: List<u64>, also ["k"];
        /// Put before every query, such as "query: ", or nothing where it is empty; default: as before every text
        query_prompt: String;
        /// For sts and alignment: the column of the first texts; default sentence1
        sentence1_column_name: String, also ["sentence1_column"];
        /// For sts and alignment: the column of the second texts; default sentence2
        sentence2_column_name: String, also ["sentence2_column"];
        /// For sts and alignment: the column of the scores; default score or label
        score_column_name: String, also ["score_column"];
        /// For alignment: pairs belong together from this score on; default: all pairs do
        positive_score: f64;
        /// For clustering: the column of the labels; default label
        label_column_name: String, also ["label_column"];
        /// For clustering: clusters, 1 or more; default as many as labels
        n_clusters: u64;
        /// For drift: nearest texts that are compared, 1 or more; default 10
        n_neighbors: u64;
        /// For clustering: seed of the first centres; default 42
        seed: u64;
        /// Put before every text, such as "passage: "; default: what the model folder says
        prompt: String;
        /// Longer texts are cut to so many tokens, at least 3; default: what the model folder says
        max_seq_length: u64;
        /// Tokens computed at once, 1 or more; bounds the memory and changes no bit; default 4096
        max_tokens_per_micro_batch: u64, old ["max_batch_tokens"];
        /// Numbers in which the encoder computes: f32, bf16, int8, or auto for what is quick on this machine; default auto
        dtype: String, old ["torch_dtype"];
        /// The same as dtype = "bf16"
        bf16: bool;
        /// For retrieval: rows of a shard of vectors, which is what a stop loses at most; default 16384
        shard_rows: u64;
    }
}

impl EvaluateRequest {
    /// What is tried.
    pub fn task(&self) -> Result<EvaluationTask> {
        let task = required("task", self.task.as_ref(), "retrieval")?;
        one_of("task", &task, &EvaluationTask::ALL)
    }

    /// Where the results go.
    pub fn folder(&self) -> Result<PathBuf> {
        required("output_dir", self.output_dir.as_ref(), "FOLDER")
    }

    /// The encoder, as the user named it.
    pub fn model(&self) -> Result<String> {
        required("model_name_or_path", self.model_name_or_path.as_ref(), "FOLDER_OR_NAME")
    }

    /// The other encoder.
    pub fn reference_model(&self) -> Result<String> {
        let name = self.reference_model_name_or_path.as_ref();
        required("reference_model_name_or_path", name, "FOLDER_OR_NAME")
    }

    /// The texts of `source`; fills the keys in.
    pub fn texts<'a>(&mut self, source: &'a str) -> CorpusInput<'a> {
        CorpusInput {
            source,
            text_columns: items(self.text_column_names.as_ref()),
            text_column_delimiter: fill(&mut self.text_column_delimiter, || " ".to_owned()),
            limit: self.max_samples,
        }
    }

    /// The pairs of `source`.
    pub fn pairs<'a>(&self, model: &'a ModelFolder, source: &'a str) -> PairInput<'a> {
        PairInput {
            model,
            source,
            first_column: self.sentence1_column_name.clone(),
            second_column: self.sentence2_column_name.clone(),
            score_column: self.score_column_name.clone(),
            limit: self.max_samples,
        }
    }

    /// The file of rows.
    pub fn source(&self) -> Result<String> {
        required("input_file", self.input_file.as_ref(), "FILE")
    }

    /// The files of queries and judgements.
    pub fn queries(&self) -> Result<[String; 2]> {
        Ok([
            required("query_file", self.query_file.as_ref(), "FILE")?,
            required("qrels_file", self.qrels_file.as_ref(), "FILE")?,
        ])
    }

    /// The column of the labels; fills the key in.
    pub fn label_column(&mut self) -> String {
        fill(&mut self.label_column_name, || "label".to_owned())
    }

    /// Clusters, if they were asked for, and the seed; fills the key in.
    pub fn clusters(&mut self) -> Result<(Option<usize>, u64)> {
        let clusters = self.n_clusters.map(|count| at_least_one("n_clusters", count)).transpose()?;
        Ok((clusters.map(|count| count as usize), fill(&mut self.seed, || 42)))
    }

    /// Neighbours that are compared; fills the key in.
    pub fn neighbours(&mut self) -> Result<usize> {
        Ok(within("n_neighbors", fill(&mut self.n_neighbors, || 10), 1..=1 << 20)? as usize)
    }

    /// Ways to find documents; fills the key in.
    pub fn methods(&mut self) -> Result<Vec<SearchMethod>> {
        let has_model = self.model_name_or_path.is_some();
        let default = || {
            let all =
                SearchMethod::ALL.iter().filter(|(_, method)| has_model || *method == SearchMethod::Bm25);
            List(all.map(|(name, _)| (*name).to_owned()).collect())
        };
        let names = fill(&mut self.method, default).0;
        let mut methods: Vec<SearchMethod> =
            names.iter().map(|name| one_of("method", name, &SearchMethod::ALL)).collect::<Result<_>>()?;
        methods.sort_unstable();
        methods.dedup();
        if methods.is_empty() {
            return Err(Error::config("method", "is empty", "name dense, bm25, hybrid or several of them"));
        }
        Ok(methods)
    }

    /// What is measured of a search; the model is there where vectors are asked for. Fills the keys in.
    pub fn retrieval(&mut self, model: Option<&ModelFolder>) -> Result<RetrievalSettings> {
        let mut k_values = fill(&mut self.k_values, || List(vec![1, 3, 5, 10, 100])).0;
        k_values.sort_unstable();
        k_values.dedup();
        if k_values.is_empty() {
            return Err(Error::config("k_values", "is empty", "give some numbers, such as 10"));
        }
        let k_values = k_values.into_iter().map(|k| within("k_values", k, 1..=1 << 20).map(|k| k as usize));
        let extract = model.map(|model| self.extract(model, Some(true))).transpose()?;
        Ok(RetrievalSettings {
            k_values: k_values.collect::<Result<_>>()?,
            index: extract.map(|extract| IndexSettings { extract, lists: None }),
            methods: self.methods()?,
            query_prompt: self.query_prompt.clone(),
        })
    }

    /// How vectors are made, of length one where that is asked for and else as the model folder says; fills the keys in.
    pub fn extract(&mut self, model: &ModelFolder, normalize: Option<bool>) -> Result<ExtractSettings> {
        let mut extract = ExtractRequest {
            max_seq_length: self.max_seq_length,
            prompt: self.prompt.clone(),
            normalize_embeddings: normalize,
            output_format: Some("npy".to_owned()),
            max_tokens_per_micro_batch: self.max_tokens_per_micro_batch,
            dtype: self.dtype.clone(),
            bf16: self.bf16,
            shard_rows: self.shard_rows,
            ..ExtractRequest::default()
        };
        let settings = extract.resolve(model)?;
        self.max_tokens_per_micro_batch = extract.max_tokens_per_micro_batch;
        (self.dtype, self.bf16, self.shard_rows) = (extract.dtype, extract.bf16, extract.shard_rows);
        Ok(settings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_is_checked() {
        let mut request = EvaluateRequest { task: Some("sts".into()), ..EvaluateRequest::default() };
        assert_eq!(request.task().unwrap(), EvaluationTask::Sts);
        assert_eq!(request.methods().unwrap(), [SearchMethod::Bm25]);
        let settings = request.retrieval(None).unwrap();
        assert_eq!((settings.k_values, settings.index), (vec![1, 3, 5, 10, 100], None));
        assert_eq!((request.neighbours().unwrap(), request.clusters().unwrap()), (10, (None, 42)));
        let named = EvaluateRequest { model_name_or_path: Some("m".into()), ..EvaluateRequest::default() };
        assert_eq!(named.clone().methods().unwrap().len(), 3);
        let twice = List(vec!["hybrid".to_owned(), "dense".to_owned(), "hybrid".to_owned()]);
        let mut twice = EvaluateRequest { method: Some(twice), ..named };
        assert_eq!(twice.methods().unwrap(), [SearchMethod::Dense, SearchMethod::Hybrid]);

        assert!(EvaluateRequest { task: Some("stss".into()), ..request.clone() }.task().is_err());
        for mut wrong in [
            EvaluateRequest { k_values: Some(List(vec![0])), ..request.clone() },
            EvaluateRequest { k_values: Some(List(Vec::new())), ..request.clone() },
            EvaluateRequest { method: Some(List(Vec::new())), ..request.clone() },
            EvaluateRequest { method: Some(List(vec!["vectors".to_owned()])), ..request.clone() },
        ] {
            assert!(wrong.retrieval(None).unwrap_err().hint().is_some());
        }
        assert!(EvaluateRequest { n_clusters: Some(0), ..request.clone() }.clusters().is_err());
        assert!(request.folder().is_err() && request.source().is_err() && request.queries().is_err());
        assert!(request.model().is_err() && request.reference_model().is_err());
    }
}
