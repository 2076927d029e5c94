//! How are the reference numbers made again?

use crate::step::{Step, clock, repository_root, runs};
use anyhow::{Context, Result, bail, ensure};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Runs the scripts of `goldens/` that the arguments name, all by default.
pub(crate) fn goldens(arguments: &[String]) -> Result<()> {
    let request = Request::parse(arguments, &script_names()?)?;
    let python = match request.python {
        Some(python) => python,
        None => environment()?,
    };
    let start = Instant::now();
    for name in &request.names {
        Step::new("goldens", &python, &[&format!("goldens/{name}.py")]).run()?;
    }
    println!(
        "\n{} scripts ran in {}; look at `git diff --stat goldens`",
        request.names.len(),
        clock(start.elapsed())
    );
    Ok(())
}

/// What the person asked for.
#[derive(Debug)]
struct Request {
    python: Option<PathBuf>,
    names: Vec<String>,
}

impl Request {
    fn parse(arguments: &[String], known: &[String]) -> Result<Self> {
        let mut request = Self { python: None, names: Vec::new() };
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            if argument == "--python" {
                request.python =
                    Some(arguments.next().context("--python needs the path of an interpreter")?.into());
            } else {
                ensure!(known.contains(argument), "no goldens/{argument}.py; there is {}", known.join(", "));
                request.names.push(argument.clone());
            }
        }
        if request.names.is_empty() {
            request.names = known.to_vec();
        }
        Ok(request)
    }
}

/// The scripts' names without `.py`, sorted.
fn script_names() -> Result<Vec<String>> {
    let folder = repository_root().join("goldens");
    let mut names = Vec::new();
    for entry in folder.read_dir().with_context(|| format!("cannot read {}", folder.display()))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "py") {
            names.extend(path.file_stem().map(|stem| stem.to_string_lossy().into_owned()));
        }
    }
    names.sort();
    Ok(names)
}

/// The interpreter of `target/goldens-venv`, made when it is missing or its requirements have changed.
fn environment() -> Result<PathBuf> {
    let folder = repository_root().join("target").join("goldens-venv");
    let python = interpreter(&folder);
    let requirements = std::fs::read_to_string(repository_root().join("goldens/requirements.txt"))?;
    let installed = folder.join("requirements-installed.txt");
    if std::fs::read_to_string(&installed).is_ok_and(|text| text == requirements) {
        return Ok(python);
    }
    Step::new("Python environment", system_python()?, &["-m", "venv", "target/goldens-venv"]).run()?;
    Step::new("requirements", &python, &["-m", "pip", "install", "-r", "goldens/requirements.txt"]).run()?;
    std::fs::write(installed, requirements)?;
    Ok(python)
}

fn interpreter(environment: &Path) -> PathBuf {
    if cfg!(windows) { environment.join("Scripts/python.exe") } else { environment.join("bin/python") }
}

fn system_python() -> Result<&'static str> {
    match ["python3", "python"].into_iter().find(|name| runs(name, ["--version"])) {
        Some(name) => Ok(name),
        None => bail!("no Python found; install Python 3.11 or newer, or name one with --python PATH"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> Vec<String> {
        vec!["encoders".to_owned(), "losses".to_owned()]
    }

    #[test]
    fn without_names_every_script_runs() {
        let request = Request::parse(&["--python".to_owned(), "py".to_owned()], &known()).unwrap();
        assert_eq!(request.names, known());
        assert_eq!(request.python, Some(PathBuf::from("py")));
    }

    #[test]
    fn an_unknown_script_is_refused_with_the_known_ones() {
        let error = Request::parse(&["encoder".to_owned()], &known()).unwrap_err().to_string();
        assert_eq!(error, "no goldens/encoder.py; there is encoders, losses");
    }

    #[test]
    fn every_script_is_found_by_its_name() {
        assert!(script_names().unwrap().contains(&"encoders".to_owned()));
    }
}
