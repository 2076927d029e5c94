//! `steep search`: near texts and near-duplicates of a corpus.

use crate::arguments::Asked;
use crate::figures::count;
use crate::session::Session;
use serde_json::{Value, json};
use std::io::Write;
use std::path::Path;
use steep::Error;
use steep::config::{SearchQuestions, SearchRequest};
use steep::data::{TextOptions, load_texts};
use steep::search::{Hit, recall};
use steep::stages::{ExtractInput, IndexReport, ModelFolder, SearchIndex, SearchMethod, build_index};
use steep::storage::atomic_file;

/// Queries by which lists are held against comparing with all rows.
const CHECKED: usize = 100;
/// Lines that are shown where no file is written.
const SHOWN: usize = 20;

pub(crate) fn run(asked: Asked<SearchRequest>, session: &Session) -> anyhow::Result<()> {
    let mut request = session.request(asked)?;
    let questions = request.questions()?;
    let needs_model = request.input_file.is_some() || questions.has_queries();
    let model = if needs_model {
        Some(session.model(&request.model()?, request.model_revision.as_ref())?)
    } else {
        None
    };
    if session.is_dry_run() {
        if let Some(model) = &model {
            request.resolve(model)?;
        }
        return session.say_plan(&request, &[]);
    }
    if let (Some(model), Some(source)) = (&model, request.input_file.clone()) {
        build(&mut request, &questions, model, &source, session)?;
    }
    let index = SearchIndex::open(&questions.index_dir)?;
    let mut lines = vec![told(index.about(), &questions.index_dir)];
    if let (Some(model), true) = (&model, questions.has_queries()) {
        lines.extend(answer(&index, model, &questions, session)?);
    }
    if let Some(threshold) = questions.near_duplicates {
        let pairs = index.near_duplicates(threshold, &session.context())?;
        lines.push(format!(
            "{} pairs of rows have a cosine of {threshold} or more",
            count(pairs.len() as u64)
        ));
        let rows = pairs.iter().map(|pair| {
            let (first, second) = (index.text(pair.first), index.text(pair.second));
            json!({"first": pair.first, "second": pair.second, "score": pair.score,
                   "first_text": first, "second_text": second})
        });
        let names = ["first", "second", "score", "first_text", "second_text"];
        lines.extend(deliver(&rows.collect::<Vec<_>>(), &names, questions.output_file.as_deref())?);
    }
    session.say(&lines)
}

fn build(
    request: &mut SearchRequest,
    questions: &SearchQuestions,
    model: &ModelFolder,
    source: &str,
    session: &Session,
) -> anyhow::Result<()> {
    let settings = request.resolve(model)?;
    let (text_columns, text_column_delimiter) = request.text_columns();
    let input =
        ExtractInput { model, source, text_columns, text_column_delimiter, limit: request.max_samples };
    build_index(&input, &settings, &questions.index_dir, &session.context())?;
    Ok(())
}

fn told(about: &IndexReport, folder: &Path) -> String {
    let lists = match about.lists {
        Some(lists) => format!("in {} lists", count(lists as u64)),
        None => "not parted".to_owned(),
    };
    let rows = count(about.rows);
    format!("index: {rows} rows of {} dimensions, {lists}: {}", about.width, folder.display())
}

/// Searches for all queries and says how well.
fn answer(
    index: &SearchIndex,
    model: &ModelFolder,
    questions: &SearchQuestions,
    session: &Session,
) -> anyhow::Result<Vec<String>> {
    let mut queries: Vec<String> = questions.query.iter().cloned().collect();
    if let Some(file) = &questions.query_file {
        let options = TextOptions { column: questions.query_column.clone(), ..TextOptions::default() };
        queries.extend(load_texts(file, &options)?);
    }
    let context = session.context();
    let vectors = index.embed(model, &queries, questions.query_prompt.as_deref(), &context)?;
    let method = questions.method(index.about().lists.is_some());
    let found = index.search(&vectors, questions.top_k, method, &context)?;
    let mut lines =
        vec![format!("{} queries, {} rows for each", count(queries.len() as u64), questions.top_k)];
    if let SearchMethod::Lists { .. } = method {
        let checked = queries.len().min(CHECKED);
        let width = vectors.columns();
        let some = vectors.values()[..checked * width].to_vec();
        let some = steep::features::matrix::DenseMatrix::new(checked, width, some)?;
        let exact = index.search(&some, questions.top_k, SearchMethod::Exact, &context)?;
        let share = recall(&found[..checked], &exact);
        lines.push(format!(
            "recall@{} {share:.4} against exact search, by {checked} queries",
            questions.top_k
        ));
    }
    let rows: Vec<Value> =
        queries.iter().zip(&found).flat_map(|(query, hits)| hit_rows(index, query, hits)).collect();
    let names = ["query", "rank", "row", "score", "text"];
    // Where duplicates are asked for as well, the file is theirs.
    let file = questions.output_file.as_deref().filter(|_| questions.near_duplicates.is_none());
    lines.extend(deliver(&rows, &names, file)?);
    Ok(lines)
}

fn hit_rows(index: &SearchIndex, query: &str, hits: &[Hit]) -> Vec<Value> {
    let row = |(rank, hit): (usize, &Hit)| json!({"query": query, "rank": rank + 1, "row": hit.row, "score": hit.score, "text": index.text(hit.row)});
    hits.iter().enumerate().map(row).collect()
}

/// Writes rows into a file, or gives the first ones as lines.
fn deliver(rows: &[Value], names: &[&str], file: Option<&Path>) -> anyhow::Result<Vec<String>> {
    let Some(path) = file else {
        let line = |row: &Value| {
            let value = |name: &&str| match &row[*name] {
                Value::String(text) => text.chars().take(80).collect(),
                other => other.to_string(),
            };
            format!("  {}", names.iter().map(value).collect::<Vec<String>>().join("  "))
        };
        let mut lines: Vec<String> = rows.iter().take(SHOWN).map(line).collect();
        if rows.len() > SHOWN {
            lines.push(format!(
                "  … {} more; give --output_file to keep them",
                count((rows.len() - SHOWN) as u64)
            ));
        }
        return Ok(lines);
    };
    let is_csv = path.extension().is_some_and(|ending| ending == "csv");
    atomic_file(path, |writer| {
        if is_csv {
            writeln!(writer, "{}", names.join(",")).map_err(Error::io("write", path))?;
        }
        for row in rows {
            let line = if is_csv { csv_line(row, names) } else { row.to_string() };
            writeln!(writer, "{line}").map_err(Error::io("write", path))?;
        }
        Ok(())
    })?;
    Ok(vec![format!("file: {}", path.display())])
}

/// Fields in quotes where they need them (RFC 4180).
fn csv_line(row: &Value, names: &[&str]) -> String {
    let field = |name: &&str| match &row[*name] {
        Value::String(text) if text.contains([',', '"', '\n', '\r']) => {
            format!("\"{}\"", text.replace('"', "\"\""))
        }
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    names.iter().map(field).collect::<Vec<_>>().join(",")
}
