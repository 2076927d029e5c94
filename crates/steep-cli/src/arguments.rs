//! The command line. A command's keys come from its request's table, see [`steep::config::Key`].

use clap::{Arg, ArgAction, ArgMatches, Args, Command as ClapCommand, FromArgMatches, Parser, Subcommand};
use std::path::PathBuf;
use steep::config::{
    AdaptRequest, ClassifyRequest, CompareRequest, EvaluateRequest, ExtractRequest, FinetuneRequest, Form,
    GenerateRequest, Ignored, InspectRequest, Key, MergeRequest, PredictRequest, Request, SearchRequest,
    VocabExtendRequest, VocabReportRequest, VocabUndoRequest, ZeroshotRequest,
};

/// Steep a text encoder in your own texts, then extract features you can trust.
///
/// Every key of a command can be a flag, --learning_rate 2e-5 or --learning-rate 2e-5, or a line of the TOML file that
/// --config names, learning_rate = 2e-5. Names are those of transformers and scikit-learn.
#[derive(Parser)]
#[command(name = "steep", version, propagate_version = true, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) globals: Globals,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Flags of every command.
#[derive(Args, Debug, Clone)]
#[command(next_help_heading = "Flags of every command")]
pub(crate) struct Globals {
    /// A TOML file with the command's keys; flags win over it
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Threads to work with; default: one a core
    #[arg(long, global = true, value_name = "NUMBER", value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub(crate) threads: Option<u16>,
    /// Where tokenised texts are kept for the next run; default: .steep-cache beside the output
    #[arg(long, alias = "cache_dir", global = true, value_name = "FOLDER")]
    pub(crate) cache_dir: Option<PathBuf>,
    /// Fetch nothing from the hub; models come from folders and the hub's cache
    #[arg(long, global = true)]
    pub(crate) offline: bool,
    /// Show results and errors only
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
    /// Show what would be done, with an estimate of time and memory, and do nothing
    #[arg(long, alias = "dry_run", global = true)]
    pub(crate) dry_run: bool,
}

/// The commands.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Measure which route from an encoder to predictions is worth it on your data
    Compare(Box<Asked<CompareRequest>>),
    /// Continue an encoder's pretraining on unlabelled texts
    Adapt(Box<Asked<AdaptRequest>>),
    /// Train encoder and head on labelled texts
    Finetune(Box<Asked<FinetuneRequest>>),
    /// Turn texts into vectors
    Extract(Asked<ExtractRequest>),
    /// Train a classifier on feature files
    Classify(Box<Asked<ClassifyRequest>>),
    /// Label texts with a trained folder
    Predict(Asked<PredictRequest>),
    /// See which words a model's tokenizer lacks, and add them
    #[command(subcommand)]
    Vocab(Vocab),
    /// Find near texts and near-duplicates in a corpus
    Search(Asked<SearchRequest>),
    /// Measure how good an encoder's vectors are: for search, pairs and clusters, and beside another encoder's
    Evaluate(Box<Asked<EvaluateRequest>>),
    /// Label texts without training, by natural language inference
    Zeroshot(Asked<ZeroshotRequest>),
    /// Add an adapter of PEFT's to the weights that it belongs to
    Merge(Asked<MergeRequest>),
    /// Write texts after others with an encoder-decoder
    Generate(Asked<GenerateRequest>),
    /// Tell what is in a model folder
    Inspect(Inspect),
}

/// What can be done about a vocabulary.
#[derive(Subcommand)]
pub(crate) enum Vocab {
    /// Tell how many tokens your texts cost, beside general text, and which words cost most
    Report(Asked<VocabReportRequest>),
    /// Add the tokens that save most, each beginning as the mean of the tokens it replaces
    Extend(Asked<VocabExtendRequest>),
    /// Take the added tokens out again, and have the original files back
    Undo(Asked<VocabUndoRequest>),
}

/// The arguments of `inspect`.
#[derive(Args)]
pub(crate) struct Inspect {
    /// The model: a folder, or a name on the hub
    pub(crate) model: Option<String>,
    #[command(flatten)]
    pub(crate) asked: Asked<InspectRequest>,
}

/// A request as the command line gives it.
pub(crate) struct Asked<R> {
    /// What was asked.
    pub(crate) request: R,
    /// Flags that were accepted and ignored.
    pub(crate) ignored: Vec<&'static Ignored>,
}

impl<R: Request> Args for Asked<R> {
    fn augment_args(command: ClapCommand) -> ClapCommand {
        let command = command.args(R::KEYS.iter().map(argument));
        command.args(Ignored::all().iter().map(ignored_argument))
    }

    fn augment_args_for_update(command: ClapCommand) -> ClapCommand {
        Self::augment_args(command)
    }
}

impl<R: Request> FromArgMatches for Asked<R> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut request = R::default();
        for key in R::KEYS {
            if let Some(values) = matches.get_many::<String>(key.name) {
                let text = values.map(String::as_str).collect::<Vec<_>>().join(",");
                (key.set)(&mut request, &text)
                    .map_err(|problem| clap::Error::raw(clap::error::ErrorKind::ValueValidation, problem))?;
            }
        }
        let ignored = Ignored::all().iter().filter(|ignored| matches.contains_id(ignored.name)).collect();
        Ok(Self { request, ignored })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

fn argument<R: Request>(key: &'static Key<R>) -> Arg {
    let argument = Arg::new(key.name)
        .long(key.name)
        .visible_aliases(key.aliases.iter().copied())
        .aliases(key.old_names.iter().copied())
        .aliases(key.names().filter(|name| name.contains('_')).map(|name| name.replace('_', "-")))
        .help(key.help_text())
        .value_parser(move |text: &str| (key.set)(&mut R::default(), text).map(|()| text.to_owned()));
    match key.form {
        Form::Text => argument.value_name("TEXT"),
        Form::Path => argument.value_name("PATH"),
        Form::Number => argument.value_name("NUMBER").allow_negative_numbers(true),
        Form::Switch => argument.value_name("true|false").num_args(0..=1).default_missing_value("true"),
        Form::List => argument.value_name("LIST").action(ArgAction::Append).allow_hyphen_values(true),
    }
}

fn ignored_argument(ignored: &'static Ignored) -> Arg {
    let argument = Arg::new(ignored.name).long(ignored.name).hide(true);
    argument.alias(ignored.name.replace('_', "-")).num_args(0..=1).default_missing_value("true")
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn adapt(flags: &[&str]) -> Asked<AdaptRequest> {
        let line = ["steep", "adapt"].iter().chain(flags);
        match Cli::try_parse_from(line).map(|cli| cli.command) {
            Ok(Command::Adapt(asked)) => *asked,
            Ok(_) => panic!("another command"),
            Err(error) => panic!("{error}"),
        }
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn both_spellings_short_names_and_old_names_are_one_key() {
        for flags in [["--learning_rate", "2e-5"], ["--learning-rate", "2e-5"], ["--lr", "2e-5"]] {
            assert_eq!(adapt(&flags).request.learning_rate, Some(2e-5));
        }
        assert_eq!(adapt(&["--evaluation-strategy", "no"]).request.eval_strategy.as_deref(), Some("no"));
        assert_eq!(adapt(&["--max_steps", "-1"]).request.max_steps, Some(-1));
    }

    #[test]
    fn switches_need_no_value_and_lists_take_several() {
        assert_eq!(adapt(&["--load_best_model_at_end"]).request.load_best_model_at_end, Some(true));
        assert_eq!(adapt(&["--load-best-model-at-end", "False"]).request.load_best_model_at_end, Some(false));
        let line = ["steep", "extract", "--layers", "-1,-2", "--pooling", "cls", "--pooling", "mean"];
        let Command::Extract(asked) = Cli::try_parse_from(line).unwrap().command else {
            panic!("another command")
        };
        assert_eq!(asked.request.layers.unwrap().0, [-1, -2]);
        assert_eq!(asked.request.pooling.unwrap().0, ["cls", "mean"]);
    }

    #[test]
    fn flags_of_tutorials_are_accepted_and_told() {
        let asked = adapt(&["--do_train", "--overwrite-output-dir", "--seed", "7"]);
        let names: Vec<&str> = asked.ignored.iter().map(|ignored| ignored.name).collect();
        assert_eq!((names, asked.request.seed), (vec!["do_train", "overwrite_output_dir"], Some(7)));
    }

    #[test]
    fn a_value_of_the_wrong_type_is_a_usage_error() {
        let error = Cli::try_parse_from(["steep", "adapt", "--lr", "fast"]).map(|_| ()).unwrap_err();
        assert_eq!(error.exit_code(), 2);
        assert!(error.to_string().contains("expected a number"), "{error}");
    }
}
