//! `steep vocab`: which words a model's tokenizer lacks, and adding them.

use crate::arguments::{Asked, Vocab};
use crate::figures::{count, per_cent};
use crate::session::Session;
use serde::Serialize;
use steep::config::{InspectFormat, VocabExtendRequest, VocabReportRequest, VocabSources, VocabUndoRequest};
use steep::data::{TextOptions, load_texts, stream_texts};
use steep::stages::{ModelFolder, extend_vocabulary, restore_vocabulary};
use steep::text::Tokenizer;
use steep::text::vocabulary::{CostlyWord, Fragmentation, WordCounts, costly_words};

pub(crate) fn run(action: Vocab, session: &Session) -> anyhow::Result<()> {
    match action {
        Vocab::Report(asked) => report(asked, session),
        Vocab::Extend(asked) => extend(asked, session),
        Vocab::Undo(asked) => undo(asked, session),
    }
}

/// What there is to tell of a vocabulary.
#[derive(Serialize)]
struct Facts {
    texts: Fragmentation,
    general_text: Fragmentation,
    costly_words: Vec<CostlyWord>,
}

fn report(asked: Asked<VocabReportRequest>, session: &Session) -> anyhow::Result<()> {
    let mut request = session.request(asked)?;
    let (sources, format) = request.resolve()?;
    if session.is_dry_run() {
        return session.say_plan(&request, &[]);
    }
    let model = session.model(&sources.model_name_or_path, sources.model_revision.as_ref())?;
    let counts = count_words(&model.tokenizer, &sources, session)?;
    let general = match &request.general_file {
        Some(file) => load_texts(file, &TextOptions::default())?,
        None => steep::compare::GENERAL_TEXT.lines().map(str::to_owned).collect(),
    };
    let mut general_counts = WordCounts::default();
    general_counts.add(&model.tokenizer, &general)?;
    let facts = Facts {
        texts: Fragmentation::of(&model.tokenizer, &counts)?,
        general_text: Fragmentation::of(&model.tokenizer, &general_counts)?,
        costly_words: costly_words(&model.tokenizer, &counts, sources.num_words)?,
    };
    match format {
        InspectFormat::Text => session.say(&facts.lines()),
        InspectFormat::Json => session.say(&[serde_json::to_string_pretty(&facts)?]),
    }
}

impl Facts {
    fn lines(&self) -> Vec<String> {
        let mut lines = table(["your texts", "general text"], [&self.texts, &self.general_text]);
        if !self.costly_words.is_empty() {
            lines.push(String::new());
            lines.push(format!("{:>12}  {:>9}  the words that cost most tokens", "would save", "times"));
            lines.extend(self.costly_words.iter().map(|word| {
                let (savings, times) = (count(word.savings()), count(word.count));
                format!("{savings:>12}  {times:>9}  {} = {}", word.word, word.tokens.join(" "))
            }));
        }
        lines
    }
}

fn extend(asked: Asked<VocabExtendRequest>, session: &Session) -> anyhow::Result<()> {
    let mut request = session.request(asked)?;
    let (sources, settings, output) = request.resolve()?;
    if session.is_dry_run() {
        return session.say_plan(&request, &[]);
    }
    let model = session.model(&sources.model_name_or_path, sources.model_revision.as_ref())?;
    let counts = count_words(&model.tokenizer, &sources, session)?;
    let extension = extend_vocabulary(&model, &counts, &settings, &output, &session.context())?;
    // What was written must load.
    let extended = ModelFolder::open(&output)?;
    let mut lines = table(["before", "after"], [&extension.before, &extension.after]);
    let added = extension.new_tokens.len();
    lines.push(String::new());
    lines.push(format!(
        "{} tokens added, {} in all; each begins as the mean of the tokens it replaces",
        count(added as u64),
        count(extended.tokenizer.vocab_size() as u64)
    ));
    let shown: Vec<&str> =
        extension.new_tokens.iter().take(sources.num_words).map(|token| token.token.as_str()).collect();
    let rest = added - shown.len();
    let more = if rest > 0 { format!(" and {} more", count(rest as u64)) } else { String::new() };
    lines.push(format!("they are {}{more}", shown.join(", ")));
    lines.push(format!(
        "model: {}; adapt it before use: the new tokens have learned nothing yet",
        output.display()
    ));
    session.say(&lines)
}

fn undo(asked: Asked<VocabUndoRequest>, session: &Session) -> anyhow::Result<()> {
    let request = session.request(asked)?;
    let (folder, output) = request.resolve()?;
    if session.is_dry_run() {
        return session.say_plan(&request, &[]);
    }
    let extension = restore_vocabulary(&folder, &output)?;
    session.say(&[
        format!("{} tokens taken out", count(extension.new_tokens.len() as u64)),
        format!("model: {}", output.display()),
    ])
}

/// Counts the words of the texts.
fn count_words(
    tokenizer: &Tokenizer,
    sources: &VocabSources,
    session: &Session,
) -> anyhow::Result<WordCounts> {
    let options = TextOptions {
        column: sources.text_column_name.clone(),
        limit: sources.limit,
        ..TextOptions::default()
    };
    let (mut counts, ctx) = (WordCounts::default(), session.context());
    ctx.progress.start("counting words", None, "texts");
    for chunk in stream_texts(&sources.train_file, &options)? {
        ctx.cancel.check()?;
        let chunk = chunk?;
        let texts: Vec<&str> = chunk.texts.iter().flatten().collect();
        counts.add(tokenizer, &texts)?;
        ctx.progress.advance(texts.len() as u64);
    }
    ctx.progress.finish();
    Ok(counts)
}

/// Two columns of the same facts.
fn table(titles: [&str; 2], facts: [&Fragmentation; 2]) -> Vec<String> {
    let row = |name: &str, value: &dyn Fn(&Fragmentation) -> String| {
        format!("{name:24}{:>14}{:>14}", value(facts[0]), value(facts[1]))
    };
    let emoji = |facts: &Fragmentation| facts.known_emoji.map_or_else(|| "–".to_owned(), per_cent);
    vec![
        format!("{:24}{:>14}{:>14}", "", titles[0], titles[1]),
        row("texts", &|facts| count(facts.texts)),
        row("words", &|facts| count(facts.words)),
        row("different words", &|facts| count(facts.distinct_words)),
        row("tokens", &|facts| count(facts.tokens)),
        row("tokens per text", &|facts| format!("{:.2}", facts.tokens_per_text)),
        row("tokens per word", &|facts| format!("{:.3}", facts.tokens_per_word)),
        row("words of one token", &|facts| per_cent(facts.whole_words)),
        row("words with unknown parts", &|facts| per_cent(facts.unknown_words)),
        row("emoji", &|facts| count(facts.emoji)),
        row("emoji that are known", &emoji),
    ]
}
