//! What was found, in a file or as lines.

use crate::figures::count;
use serde_json::Value;
use std::io::Write;
use std::path::Path;
use steep::Error;
use steep::storage::atomic_file;

/// Lines that are shown where no file is written.
const SHOWN: usize = 20;

/// Writes rows into a file, or gives the first ones as lines.
pub(super) fn deliver(rows: &[Value], names: &[&str], file: Option<&Path>) -> anyhow::Result<Vec<String>> {
    let Some(path) = file else {
        let line = |row: &Value| {
            let value = |name: &&str| match &row[*name] {
                Value::String(text) => text.chars().take(80).collect(),
                Value::Null => "-".to_owned(),
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
        Value::Null => String::new(),
        other => other.to_string(),
    };
    names.iter().map(field).collect::<Vec<_>>().join(",")
}
