//! Do vectors, words, or both find the documents that belong to queries?

use super::rows::{column_name, strings, values};
use super::{EvaluationReport, EvaluationTask};
use crate::data::{TextOptions, load_texts};
use crate::error::{Error, Result};
use crate::evaluation::embeddings::retrieval::{Relevant, retrieval_metrics};
use crate::progress::Context;
use crate::search::{Hit, SearchMethod, fuse, fused_depth};
use crate::stages::{
    CorpusInput, ExtractInput, IndexSettings, ModelFolder, SearchIndex, VectorSearch, build_index,
    build_word_index,
};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

/// Columns that usually hold the name of a document or query.
const IDS: [&str; 2] = ["_id", "id"];

/// A corpus, queries to it, and what belongs to them.
pub struct RetrievalInput<'a> {
    /// The documents.
    pub corpus: CorpusInput<'a>,
    /// The column of their names; none for `_id` or `id`, or else their numbers from 0.
    pub corpus_id_column: Option<String>,
    /// The queries.
    pub query_file: &'a str,
    /// The column of their texts; none for the default one.
    pub query_column: Option<String>,
    /// The column of their names; as for documents.
    pub query_id_column: Option<String>,
    /// A row for each query and document that belong together: `query-id`, `corpus-id`, and `score`, above 0, where not all do.
    pub qrels_file: &'a str,
    /// Where the index of the corpus is, or will be.
    pub index_dir: &'a Path,
}

/// What is measured, with nothing left open.
#[derive(Debug, Clone, PartialEq)]
pub struct RetrievalSettings {
    /// Ways to find.
    pub methods: Vec<SearchMethod>,
    /// Numbers of documents found that are judged.
    pub k_values: Vec<usize>,
    /// How the index is made where vectors are asked for.
    pub index: Option<IndexSettings>,
    /// Put before every query, where it is another one than before the documents.
    pub query_prompt: Option<String>,
}

/// Makes an index of the corpus, if it is not there, and tells how well each method finds in it. All vectors are compared: what
/// lists would miss is no fault of theirs.
///
/// # Errors
/// Methods that want an encoder where there is none; names that stand twice, or judgements of other files; what reading and
/// indexing give; a stop on request.
pub fn evaluate_retrieval(
    input: &RetrievalInput,
    model: Option<&ModelFolder>,
    settings: &RetrievalSettings,
    ctx: &Context,
) -> Result<EvaluationReport> {
    let judged = Judged::read(input)?;
    let encoder = model.zip(settings.index.as_ref());
    index_corpus(input, encoder, ctx)?;
    let index = SearchIndex::open(input.index_dir)?;
    let most = settings.k_values.iter().copied().max().unwrap_or(1);
    let depth = fused_depth(most);
    let asks_for =
        |method| settings.methods.iter().any(|&asked| asked == method || asked == SearchMethod::Hybrid);
    let dense = match encoder {
        Some((model, _)) if asks_for(SearchMethod::Dense) => {
            let queries = index.embed(model, &judged.queries, settings.query_prompt.as_deref(), ctx)?;
            index.search_vectors(&queries, depth, VectorSearch::Exact, ctx)?
        }
        _ => Vec::new(),
    };
    let bm25 = if asks_for(SearchMethod::Bm25) {
        index.search_words(&judged.queries, depth, ctx)?
    } else {
        Vec::new()
    };
    let counts = [
        ("documents", judged.documents),
        ("queries", judged.queries.len()),
        ("queries_without_judgements", judged.left_out),
        ("judged_documents_not_in_the_corpus", judged.unknown),
    ];
    let mut report = EvaluationReport::new(
        EvaluationTask::Retrieval,
        encoder.map(|(model, _)| model.digest.as_str()),
        counts,
    );
    for &method in &settings.methods {
        let found: Vec<Vec<u32>> = match method {
            SearchMethod::Hybrid if encoder.is_some() => {
                let fused = dense.iter().zip(&bm25).map(|(dense, bm25)| fuse(dense, bm25, most));
                fused.map(|hits| hits.iter().map(|hit| hit.row).collect()).collect()
            }
            SearchMethod::Dense if encoder.is_some() => rows_of(&dense),
            SearchMethod::Bm25 => rows_of(&bm25),
            SearchMethod::Dense | SearchMethod::Hybrid => return Err(no_encoder(method)),
        };
        let metrics = retrieval_metrics(&found, &judged.relevant, &settings.k_values);
        report = report.with(method.name(), metrics.into_iter().map(|(name, value)| (name, Some(value))));
    }
    Ok(report)
}

fn rows_of(hits: &[Vec<Hit>]) -> Vec<Vec<u32>> {
    hits.iter().map(|hits| hits.iter().map(|hit| hit.row).collect()).collect()
}

fn no_encoder(method: SearchMethod) -> Error {
    let problem = format!("is needed for {}", method.name());
    Error::config("model_name_or_path", problem, "name an encoder, or evaluate --method bm25 alone")
}

fn index_corpus(
    input: &RetrievalInput,
    encoder: Option<(&ModelFolder, &IndexSettings)>,
    ctx: &Context,
) -> Result<()> {
    let corpus = &input.corpus;
    let Some((model, settings)) = encoder else {
        return build_word_index(corpus, input.index_dir, ctx).map(|_| ());
    };
    let embedded = ExtractInput {
        model,
        source: corpus.source,
        text_columns: corpus.text_columns.clone(),
        text_column_delimiter: corpus.text_column_delimiter.clone(),
        limit: corpus.limit,
    };
    build_index(&embedded, settings, input.index_dir, ctx).map(|_| ())
}

/// The queries that were judged, and what belongs to each.
struct Judged {
    queries: Vec<String>,
    relevant: Vec<Relevant>,
    /// Documents of the corpus.
    documents: usize,
    /// Queries to which nothing belongs.
    left_out: usize,
    /// Documents that belong to a query and are not in the corpus.
    unknown: usize,
}

impl Judged {
    fn read(input: &RetrievalInput) -> Result<Self> {
        let corpus = &input.corpus;
        let texts = load_texts(
            input.query_file,
            &TextOptions { column: input.query_column.clone(), ..TextOptions::default() },
        )?;
        let query_ids = names(input.query_file, input.query_id_column.as_ref(), None)?;
        let corpus_ids = names(corpus.source, input.corpus_id_column.as_ref(), corpus.limit)?;
        numbered(&query_ids, input.query_file)?;
        let mut rows = numbered(&corpus_ids, corpus.source)?;
        let documents = rows.len();
        let mut belongs = judgements(input.qrels_file)?;
        let mut judged =
            Self { queries: Vec::new(), relevant: Vec::new(), documents, left_out: 0, unknown: 0 };
        for (text, id) in texts.into_iter().zip(query_ids) {
            let Some(of_query) = belongs.remove(&id) else {
                judged.left_out += 1;
                continue;
            };
            let number = |document: String| {
                let next = rows.len() as u32;
                *rows.entry(document).or_insert(next)
            };
            judged.relevant.push(of_query.into_iter().map(number).collect());
            judged.queries.push(text);
        }
        judged.unknown = rows.len() - documents;
        let is_found = |relevant: &Relevant| relevant.iter().any(|&row| (row as usize) < documents);
        if judged.relevant.iter().any(is_found) {
            return Ok(judged);
        }
        let problem = "no row has both a query and a document of the files given";
        let hint = "name the columns of their names with --query_id_column_name and --corpus_id_column_name";
        Err(Error::data(input.qrels_file, problem, hint))
    }
}

/// The names of rows: a column, or their numbers from 0.
fn names(source: &str, asked: Option<&String>, limit: Option<u64>) -> Result<Vec<String>> {
    if let Some(column) = column_name(source, asked, &IDS)? {
        return strings(source, &column, limit);
    }
    let texts = load_texts(source, &TextOptions { limit, ..TextOptions::default() })?;
    Ok((0..texts.len()).map(|row| row.to_string()).collect())
}

/// The number of each name.
fn numbered(names: &[String], source: &str) -> Result<HashMap<String, u32>> {
    let mut numbers = HashMap::with_capacity(names.len());
    for (name, row) in names.iter().zip(0..) {
        if numbers.insert(name.clone(), row).is_some() {
            let problem = format!("the name '{name}' stands twice");
            return Err(Error::data(source, problem, "give every row a name of its own"));
        }
    }
    Ok(numbers)
}

/// The documents that belong to each query.
fn judgements(source: &str) -> Result<BTreeMap<String, BTreeSet<String>>> {
    let named = |usual: &[&str]| column_name(source, None, usual);
    let columns =
        (named(&["query-id", "query_id", "qid"])?, named(&["corpus-id", "corpus_id", "doc_id", "docid"])?);
    let (Some(queries), Some(documents)) = columns else {
        let problem = "has no columns query-id and corpus-id";
        return Err(Error::data(
            source,
            problem,
            "name the columns query-id, corpus-id and, if need be, score",
        ));
    };
    let (queries, documents) = (strings(source, &queries, None)?, strings(source, &documents, None)?);
    let scores = match named(&["score", "relevance"])? {
        Some(column) => values(source, &column, None)?,
        None => vec![1.0; queries.len()],
    };
    let mut belongs: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for ((query, document), score) in queries.into_iter().zip(documents).zip(scores) {
        if score > 0.0 {
            belongs.entry(query).or_default().insert(document);
        }
    }
    Ok(belongs)
}
