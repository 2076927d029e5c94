//! The columns beside the texts, read from the files of the labelled rows.

use crate::data::{ReadOptions, fingerprint, open};
use crate::error::Result;
use crate::features::preparation::{PreparationInputs, RawRows};
use crate::stages::key::stage_key;
use crate::stages::prepared::{PreparedFeatures, RawReader, VectorSource, plan};

/// Columns of some rows as they were read, and what they hold.
#[derive(Debug, Clone)]
pub struct RawColumns {
    /// Which columns are read.
    pub inputs: PreparationInputs,
    /// Their values.
    pub raw: RawRows,
    /// Names the content.
    pub key: String,
    /// What was decided about each column, one line a column.
    pub notes: Vec<String>,
}

/// Reads columns of several sources, whose rows follow one another; the first tells what the columns hold.
///
/// `asked` are names, `beginning*`, or `*` for all but the `reserved` ones, which is the default where no kind is given
/// either. Columns of vectors are left out: the network makes its own.
///
/// # Errors
/// Columns that are not there or have no use, values that are not of their column's kind, with file, row and column.
pub fn read_columns(
    sources: &[(&str, Option<u64>)],
    asked: &[String],
    reserved: &[&str],
    features: &PreparedFeatures,
) -> Result<RawColumns> {
    let all = ["*".to_owned()];
    let asked = if asked.is_empty() && features.kinds.is_empty() { &all } else { asked };
    let first = sources.first().map_or("", |(source, _)| source);
    let mut plan = plan(first, asked, reserved, features)?;
    for name in std::mem::take(&mut plan.inputs.vector_columns) {
        let note = format!("{name}: left out (vectors; the network makes its own)");
        plan.notes.retain(|line| !line.starts_with(&format!("{name}: ")));
        plan.notes.push(note);
    }
    let mut reader = RawReader::open(first, &plan.inputs, VectorSource::Encoder)?;
    let mut digests = Vec::new();
    for &(source, limit) in sources {
        let columns = Some(reader.source_columns().to_vec());
        for chunk in open(source, &ReadOptions { columns, limit, ..ReadOptions::default() })? {
            reader.push(&chunk?)?;
        }
        digests.push(format!("{} {}", fingerprint(source)?, limit.unwrap_or(u64::MAX)));
    }
    let digests: Vec<&str> = digests.iter().map(String::as_str).collect();
    let key = stage_key("columns", &digests, &plan.inputs);
    Ok(RawColumns { inputs: plan.inputs, raw: reader.finish()?.0, key, notes: plan.notes })
}
