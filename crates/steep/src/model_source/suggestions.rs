//! Which existing folder may have been meant?

use std::path::Path;
use steep_encoder::checkpoint::report::edit_distance;

/// Folders with more entries than this are not searched.
const MAX_ENTRIES: usize = 1000;

/// What to say about a folder that does not exist.
pub(super) fn hint_for_folder(path: &Path) -> String {
    let similar = similar_folders(path);
    if similar.is_empty() {
        return "check the path; a model on the hub is named owner/name".to_owned();
    }
    format!("did you mean {}?", similar.join(" or "))
}

/// The existing folders beside `path` whose names are nearest to its name, three at most.
pub(super) fn similar_folders(path: &Path) -> Vec<String> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let (Some(wanted), Ok(entries)) = (path.file_name().and_then(|name| name.to_str()), parent.read_dir())
    else {
        return Vec::new();
    };
    let allowed = (wanted.chars().count() / 3).clamp(1, 4);
    let mut near: Vec<(usize, String)> = entries
        .take(MAX_ENTRIES)
        .filter_map(Result::ok)
        .filter(|entry| entry.path().is_dir())
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let distance = edit_distance(&name.to_lowercase(), &wanted.to_lowercase());
            (distance <= allowed).then(|| (distance, entry.path().display().to_string()))
        })
        .collect();
    near.sort();
    near.into_iter().take(3).map(|(_, name)| name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_come_first_and_far_ones_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["minilm-v1", "minilm-v22", "roberta"] {
            std::fs::create_dir(folder.path().join(name)).unwrap();
        }
        let near = similar_folders(&folder.path().join("minilm-v2"));
        assert_eq!(near.len(), 2);
        assert!(near.iter().all(|name| name.contains("minilm")));
    }
}
