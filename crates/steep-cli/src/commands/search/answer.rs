//! Searches for queries and says how well.

use super::deliver::deliver;
use crate::figures::count;
use crate::session::Session;
use serde_json::{Value, json};
use steep::config::SearchQuestions;
use steep::data::{TextOptions, load_texts};
use steep::features::matrix::DenseMatrix;
use steep::search::{FusedHit, Hit, Ranked, SearchMethod, fuse, fused_depth, recall};
use steep::stages::{ModelFolder, SearchIndex, VectorSearch};

/// Queries by which lists are held against comparing with all rows.
const CHECKED: usize = 100;

/// What is told of each hit, and the names of its columns.
struct Answer {
    names: Vec<&'static str>,
    rows: Vec<Value>,
    notes: Vec<String>,
}

/// Searches for all queries; the model is there where vectors are asked for.
pub(super) fn answer(
    index: &SearchIndex,
    model: Option<&ModelFolder>,
    questions: &SearchQuestions,
    session: &Session,
) -> anyhow::Result<Vec<String>> {
    let mut queries: Vec<String> = questions.query.iter().cloned().collect();
    if let Some(file) = &questions.query_file {
        let options = TextOptions { column: questions.query_column.clone(), ..TextOptions::default() };
        queries.extend(load_texts(file, &options)?);
    }
    let asked = Asking { index, queries: &queries, questions, session };
    let answer = match (questions.method, model) {
        (SearchMethod::Dense, Some(model)) => asked.dense(model)?,
        (SearchMethod::Hybrid, Some(model)) => asked.hybrid(model)?,
        (_, None) | (SearchMethod::Bm25, _) => asked.bm25()?,
    };
    let mut lines =
        vec![format!("{} queries, {} rows for each", count(queries.len() as u64), questions.top_k)];
    lines.extend(answer.notes);
    // Where duplicates are asked for as well, the file is theirs.
    let file = questions.output_file.as_deref().filter(|_| questions.near_duplicates.is_none());
    lines.extend(deliver(&answer.rows, &answer.names, file)?);
    Ok(lines)
}

/// Queries to an index.
struct Asking<'a> {
    index: &'a SearchIndex,
    queries: &'a [String],
    questions: &'a SearchQuestions,
    session: &'a Session,
}

impl Asking<'_> {
    fn dense(&self, model: &ModelFolder) -> anyhow::Result<Answer> {
        let (found, notes) = self.near(model, self.questions.top_k)?;
        Ok(self.listed(&found, notes))
    }

    fn bm25(&self) -> anyhow::Result<Answer> {
        let found = self.index.search_words(self.queries, self.questions.top_k, &self.session.context())?;
        Ok(self.listed(&found, Vec::new()))
    }

    fn hybrid(&self, model: &ModelFolder) -> anyhow::Result<Answer> {
        let (top_k, depth) = (self.questions.top_k, fused_depth(self.questions.top_k));
        let (near, notes) = self.near(model, depth)?;
        let worded = self.index.search_words(self.queries, depth, &self.session.context())?;
        let fused = near.iter().zip(&worded).map(|(near, worded)| fuse(near, worded, top_k));
        let rows = self.queries.iter().zip(fused).flat_map(|(query, hits)| self.fused_rows(query, &hits));
        let names = vec![
            "query",
            "rank",
            "row",
            "score",
            "dense_rank",
            "dense_score",
            "bm25_rank",
            "bm25_score",
            "text",
        ];
        Ok(Answer { names, rows: rows.collect(), notes })
    }

    /// The rows near each query's vector, and what lists may have missed.
    fn near(&self, model: &ModelFolder, top_k: usize) -> anyhow::Result<(Vec<Vec<Hit>>, Vec<String>)> {
        let (index, questions, context) = (self.index, self.questions, self.session.context());
        let vectors = index.embed(model, self.queries, questions.query_prompt.as_deref(), &context)?;
        let has_lists = index.about().vectors.as_ref().is_some_and(|vectors| vectors.lists.is_some());
        let search = questions.vector_search(has_lists);
        let found = index.search_vectors(&vectors, top_k, search, &context)?;
        if search == VectorSearch::Exact {
            return Ok((found, Vec::new()));
        }
        let checked = self.queries.len().min(CHECKED);
        let some = vectors.values()[..checked * vectors.columns()].to_vec();
        let some = DenseMatrix::new(checked, vectors.columns(), some)?;
        let exact = index.search_vectors(&some, top_k, VectorSearch::Exact, &context)?;
        let share = recall(&found[..checked], &exact);
        Ok((found, vec![format!("recall@{top_k} {share:.4} against exact search, by {checked} queries")]))
    }

    fn listed(&self, found: &[Vec<Hit>], notes: Vec<String>) -> Answer {
        let rows = self.queries.iter().zip(found).flat_map(|(query, hits)| self.hit_rows(query, hits));
        Answer { names: vec!["query", "rank", "row", "score", "text"], rows: rows.collect(), notes }
    }

    fn hit_rows(&self, query: &str, hits: &[Hit]) -> Vec<Value> {
        let row = |(hit, rank): (&Hit, usize)| {
            let text = self.index.text(hit.row);
            json!({"query": query, "rank": rank, "row": hit.row, "score": hit.score, "text": text})
        };
        hits.iter().zip(1..).map(row).collect()
    }

    fn fused_rows(&self, query: &str, hits: &[FusedHit]) -> Vec<Value> {
        let row = |(hit, rank): (&FusedHit, usize)| {
            let parts = |place: Option<Ranked>| (place.map(|of| of.rank), place.map(|of| of.score));
            let ((dense_rank, dense_score), (bm25_rank, bm25_score)) = (parts(hit.dense), parts(hit.bm25));
            json!({"query": query, "rank": rank, "row": hit.row, "score": hit.score,
                   "dense_rank": dense_rank, "dense_score": dense_score,
                   "bm25_rank": bm25_rank, "bm25_score": bm25_score, "text": self.index.text(hit.row)})
        };
        hits.iter().zip(1..).map(row).collect()
    }
}
