//! `steep search`: near texts and near-duplicates of a corpus.

mod answer;
mod deliver;

use crate::arguments::Asked;
use crate::figures::count;
use crate::session::Session;
use answer::answer;
use deliver::deliver;
use serde_json::json;
use std::path::Path;
use steep::config::{SearchQuestions, SearchRequest};
use steep::search::SearchMethod;
use steep::stages::{
    CorpusInput, ExtractInput, IndexReport, ModelFolder, SearchIndex, build_index, build_word_index,
};

pub(crate) fn run(asked: Asked<SearchRequest>, session: &Session) -> anyhow::Result<()> {
    let mut request = session.request(asked)?;
    let questions = request.questions()?;
    let makes_or_asks = request.input_file.is_some() || questions.has_queries();
    let model = if makes_or_asks && questions.method != SearchMethod::Bm25 {
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
    if let Some(source) = request.input_file.clone() {
        build(&mut request, &questions, model.as_ref(), &source, session)?;
    }
    let index = SearchIndex::open(&questions.index_dir)?;
    let mut lines = vec![told(index.about(), &questions.index_dir)];
    if questions.has_queries() {
        lines.extend(answer(&index, model.as_ref(), &questions, session)?);
    }
    if let Some(threshold) = questions.near_duplicates {
        lines.extend(duplicates(&index, threshold, questions.output_file.as_deref(), session)?);
    }
    session.say(&lines)
}

fn build(
    request: &mut SearchRequest,
    questions: &SearchQuestions,
    model: Option<&ModelFolder>,
    source: &str,
    session: &Session,
) -> anyhow::Result<()> {
    let (text_columns, text_column_delimiter) = request.text_columns();
    let (limit, context) = (request.max_samples, session.context());
    match model {
        Some(model) => {
            let settings = request.resolve(model)?;
            let input = ExtractInput { model, source, text_columns, text_column_delimiter, limit };
            build_index(&input, &settings, &questions.index_dir, &context)?;
        }
        None => {
            let input = CorpusInput { source, text_columns, text_column_delimiter, limit };
            build_word_index(&input, &questions.index_dir, &context)?;
        }
    }
    Ok(())
}

fn told(about: &IndexReport, folder: &Path) -> String {
    let vectors = about.vectors.as_ref().map(|vectors| {
        let lists = match vectors.lists {
            Some(lists) => format!("in {} lists", count(lists as u64)),
            None => "not parted".to_owned(),
        };
        format!(" of {} dimensions, {lists}", vectors.width)
    });
    let (rows, words) = (count(about.rows), count(about.words.distinct));
    format!(
        "index: {rows} rows{}, {words} different words: {}",
        vectors.unwrap_or_default(),
        folder.display()
    )
}

fn duplicates(
    index: &SearchIndex,
    threshold: f32,
    file: Option<&Path>,
    session: &Session,
) -> anyhow::Result<Vec<String>> {
    let pairs = index.near_duplicates(threshold, &session.context())?;
    let found = format!("{} pairs of rows have a cosine of {threshold} or more", count(pairs.len() as u64));
    let rows = pairs.iter().map(|pair| {
        let (first, second) = (index.text(pair.first), index.text(pair.second));
        json!({"first": pair.first, "second": pair.second, "score": pair.score,
               "first_text": first, "second_text": second})
    });
    let names = ["first", "second", "score", "first_text", "second_text"];
    let mut lines = vec![found];
    lines.extend(deliver(&rows.collect::<Vec<_>>(), &names, file)?);
    Ok(lines)
}
