//! What `steep finetune` can be asked.

use super::check::{fill, one_of, required, within};
use super::choices::{items, task};
use super::training::{Facts, finetune_defaults, request_with_training};
use super::values::List;
use crate::data::{LabelledOptions, SplitMethod, SplitOptions};
use crate::error::{Error, Result};
use crate::objectives::{ClassificationSettings, Targets};
use crate::stages::{FinetuneSettings, HeadInit};
use std::path::PathBuf;

request_with_training! {
    /// Training of encoder and head on labelled texts.
    "finetune" FinetuneRequest {
        /// The encoder: a folder, or a name on the hub; needed
        model_name_or_path: String, also ["model"];
        /// Branch, tag or commit of a model on the hub; default main
        model_revision: String, also ["revision"];
        /// The labelled rows: a file, folder or quoted pattern of csv, tsv, jsonl or parquet, plain, .gz or .zst, or a
        /// folder with one subfolder of texts a label; needed
        train_file: String, also ["input"], old ["labelled_file"];
        /// Labelled rows that choose the best checkpoint; default: a part of train_file
        validation_file: String;
        /// Labelled rows that are scored once at the end; default: the test rows of split_column, if there are any
        test_file: String;
        /// Columns of the text; default text, or the only column of strings, or the first
        text_column_names: List<String>, also ["text_columns"], old ["text_column_name", "text_column"];
        /// Put between the texts of several columns; default a space
        text_column_delimiter: String;
        /// The column of the labels; default label
        label_column_name: String, also ["label_column"];
        /// single_label_classification, multi_label_classification or regression; default: by the labels
        problem_type: String;
        /// Predict numbers, as problem_type regression; default false
        do_regression: bool;
        /// Rows with the same value in this column stay on one side of a split
        group_column: String;
        /// The column that says train, validation or test for each row
        split_column: String;
        /// Share of the rows that choose the best checkpoint where nothing else names them, from 0 to below 1;
        /// default 0.1
        validation_fraction: f64;
        /// Share of the rows that are scored once at the end where nothing else names them, from 0 to below 1; default 0
        test_fraction: f64;
        /// Read only so many labelled rows; default all
        max_train_samples: u64, also ["limit"];
        /// The folder to write the trained model into; needed
        output_dir: PathBuf, also ["output"];
        /// Longer texts are cut to so many tokens, at least 3; default: what the model folder says
        max_seq_length: u64;
        /// Where the classification head begins: random, or linear_probe, a logistic regression on the network as it is;
        /// default random
        head_init: String;
        /// Weight of the classes in the loss: none or balanced, which is inverse to their frequency; default none
        class_weight: String, old ["class_weights"];
        /// Share of the target that is spread over all classes, from 0 to below 1; default 0
        label_smoothing_factor: f64, old ["label_smoothing"];
        /// What is trained for: classification (encoder and head together), or vectors that texts of one class have near
        /// each other, and then a classifier on them: multiple_negatives_ranking, triplet, supervised_contrastive or
        /// cosent; default classification
        objective: String, old ["loss"];
        /// Of the objectives for vectors: cosines are divided by this, above 0; default 0.05, of supervised_contrastive
        /// 0.07
        temperature: f64;
        /// triplet: which count, hard (farthest of the class, nearest of another) or all; default hard
        triplet_mining: String;
        /// triplet: by so much a text of the same class is to be nearer, above 0; default 5
        margin: f64;
        /// Of the objectives for vectors: these numbers of leading dimensions are to serve as vectors too, such as
        /// 384,128,64; default: whole vectors only
        matryoshka_dims: List<u64>;
        /// Predict hidden tokens beside the labels: that loss counts so many times, 0 or more; default 0
        mlm_weight: f64;
        /// mlm_weight: share of the tokens that are hidden, above 0 and at most 0.9; default 0.15
        mlm_probability: f64;
        /// Train one network over the text and the columns beside it; the keys from here to gating_beta are its own, and
        /// columns are prepared as classify does; default false
        joint: bool;
        /// The columns beside the text; name* stands for all that begin so; default: all that have no other meaning
        feature_columns: List<String>;
        /// Columns of numbers; default: told by the values
        numerical_columns: List<String>, also ["num_cols"], old ["numerical_cols"];
        /// Columns of categories; default: told by the values
        categorical_columns: List<String>, also ["cat_cols"], old ["categorical_cols"];
        /// Columns of true and false; default: told by the values
        boolean_columns: List<String>;
        /// Columns of dates or times; default: told by the values
        datetime_columns: List<String>;
        /// Columns of lists of strings; default: told by the values
        tag_columns: List<String>;
        /// Count things in the text (words, emoji, language …) and add them as columns; default false
        engineered_features: bool;
        /// Which: length, style, links, emoji, emoticons, readability, scripts, language, tokens; default all
        engineered_families: List<String>;
        /// So many of the most frequent hashtags, emoji and languages get a column each; default 20
        engineered_top_k: u64;
        /// What fills missing numbers: mean, median, most_frequent or constant; default median
        imputation: String, old ["imputer"];
        /// The constant; default 0
        fill_value: f64;
        /// Add a column of flags for each column with missing values; default true
        missing_flags: bool, old ["add_indicator"];
        /// How numbers are scaled: standard, robust, min_max, quantile_normal, yeo_johnson, log1p or none; several are done
        /// one after the other; default standard
        scaler: List<String>, old ["numerical_transformer_method"];
        /// How categories reach the network: embedding, one_hot, ordinal or hashing; default embedding, which is learned
        categorical_encoding: String, old ["categorical_encode_type"];
        /// Categories in fewer training rows share one place, 1 or more; default 5
        min_category_count: u64, old ["min_frequency"];
        /// Places for the categories of a column at most, that of rare ones included, 2 or more; default 100
        max_categories: u64;
        /// Columns that hashing gives, 1 or more; default 64
        hashing_features: u64;
        /// Tags of a column that get a column each, the most frequent ones; default 50
        max_tags: u64;
        /// How text and columns come together: text_only, concat, mlp_on_categorical_then_concat,
        /// individual_mlps_on_cat_and_numerical_feats_then_concat, mlp_on_concatenated_cat_and_numerical_feats_then_concat,
        /// attention_on_cat_and_numerical_feats, gating_on_cat_and_num_feats_then_sum or
        /// weighted_feature_sum_on_transformer_cat_and_numerical_feats; default concat
        combine_feat_method: String;
        /// Share of the rows that a step sees without their text or, as often, without their columns, from 0 to 0.9;
        /// default 0
        modality_dropout: f64;
        /// The largest learning rate of what is new beside the encoder, above 0; default 1e-3
        tabular_learning_rate: f64;
        /// Width of the networks over columns, 1 or more; default 64
        mlp_hidden_size: u64;
        /// Dropout in them and before the outputs, from 0 to 0.95; default 0.1
        tabular_dropout: f64, old ["mlp_dropout"];
        /// The columns may shift the text vector by this share of its length, above 0; of gating only; default 0.2
        gating_beta: f64;
        /// Rows in a step, 1 or more; default 16 below 2,000 rows, else 32
        per_device_train_batch_size: u64, also ["batch_size"], old ["train_batch_size", "per_gpu_train_batch_size"];
        /// Passes over the rows, may be a fraction; default 3 from 10,000 rows on, else enough for 400 steps, from 3 to 20
        num_train_epochs: f64, also ["epochs"], old ["num_epochs"];
        /// The largest learning rate, above 0; default 2e-5, with at most 6 layers 5e-5, with a width of at most 384 1e-4
        learning_rate: f64, also ["lr"];
        /// Share of the optimizer steps spent on warm-up, from 0 to 1; default 0.1
        warmup_ratio: f64;
        /// AdamW's decay of the second moment, from 0 to below 1; default 0.999
        adam_beta2: f64;
        /// Added to AdamW's denominator, above 0; default 1e-8
        adam_epsilon: f64;
        /// Each layer learns so much slower than the one above it, above 0 and at most 1; default 0.95
        layerwise_lr_decay: f64;
        /// Evaluations in an epoch; default 1, from 10,000 rows on 2
        evaluations_per_epoch: u64;
        /// Take the weights that did best on the validation rows rather than the last; default true
        load_best_model_at_end: bool;
    }
}

/// What is read and where the result goes.
#[derive(Debug, Clone)]
pub struct FinetuneSources {
    /// The encoder, as the user named it.
    pub model_name_or_path: String,
    /// Its revision on the hub.
    pub model_revision: Option<String>,
    /// The labelled rows.
    pub train_file: String,
    /// Rows that choose the best checkpoint.
    pub validation_file: Option<String>,
    /// Rows that are scored once at the end.
    pub test_file: Option<String>,
    /// What the columns of all these mean.
    pub columns: LabelledOptions,
    /// How `train_file` is parted.
    pub split: SplitOptions,
    /// Whether classes weigh in the loss inversely to their frequency.
    pub class_weight: ClassWeighting,
    /// Where the result goes.
    pub output_dir: PathBuf,
}

/// How classes weigh in the loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClassWeighting {
    /// All the same.
    None,
    /// Inversely to their frequency, as scikit-learn's `balanced`.
    Balanced,
}

impl ClassWeighting {
    /// rows / (classes · rows of the class), for single labels; 0 for a class that no row has. Empty for equal weights.
    pub fn weights(self, targets: &Targets, rows: &[u32], classes: usize) -> Result<Vec<f32>> {
        let Targets::Classes(labels) = targets else {
            return match self {
                Self::None => Ok(Vec::new()),
                Self::Balanced => {
                    let problem = "balanced needs one class a row";
                    Err(Error::config("class_weight", problem, "leave class_weight out for these labels"))
                }
            };
        };
        if self == Self::None {
            return Ok(Vec::new());
        }
        let mut counts = vec![0_u64; classes];
        for &row in rows {
            counts[labels[row as usize] as usize] += 1;
        }
        let weight = |&count: &u64| match count {
            0 => 0.0,
            count => (rows.len() as f64 / (classes as f64 * count as f64)) as f32,
        };
        Ok(counts.iter().map(weight).collect())
    }
}

impl FinetuneRequest {
    /// What is read and written, checked as far as that needs no look at the data.
    pub fn sources(&mut self) -> Result<FinetuneSources> {
        let seed = fill(&mut self.seed, || 42);
        let validation = if self.validation_file.is_some() { 0.0 } else { 0.1 };
        let weighting = fill(&mut self.class_weight, || "none".to_owned());
        if self.do_regression == Some(true) {
            fill(&mut self.problem_type, || "regression".to_owned());
        }
        Ok(FinetuneSources {
            model_name_or_path: required(
                "model_name_or_path",
                self.model_name_or_path.as_ref(),
                "FOLDER_OR_NAME",
            )?,
            model_revision: self.model_revision.clone(),
            train_file: required("train_file", self.train_file.as_ref(), "FILE")?,
            validation_file: self.validation_file.clone(),
            test_file: self.test_file.clone(),
            columns: LabelledOptions {
                text_columns: items(self.text_column_names.as_ref()),
                text_column_delimiter: fill(&mut self.text_column_delimiter, || " ".to_owned()),
                label_column: fill(&mut self.label_column_name, || "label".to_owned()),
                task: task(self.problem_type.as_ref())?,
                group_column: self.group_column.clone(),
                split_column: self.split_column.clone(),
                time_column: None,
                limit: self.max_train_samples,
            },
            split: SplitOptions {
                method: match (&self.split_column, &self.group_column) {
                    (Some(_), _) => SplitMethod::Column,
                    (None, Some(_)) => SplitMethod::Grouped,
                    (None, None) => SplitMethod::Stratified,
                },
                validation_fraction: fill(&mut self.validation_fraction, || validation),
                test_fraction: fill(&mut self.test_fraction, || 0.0),
                seed,
            },
            class_weight: one_of("class_weight", &weighting, &WEIGHTINGS)?,
            output_dir: required("output_dir", self.output_dir.as_ref(), "FOLDER")?,
        })
    }

    /// What the stage does; fills every key in. `class_weights` are those of [`ClassWeighting::weights`].
    pub fn resolve(&mut self, facts: &Facts, class_weights: Vec<f32>) -> Result<FinetuneSettings> {
        let head_init = fill(&mut self.head_init, || "random".to_owned());
        let head_init = one_of("head_init", &head_init, &HeadInit::ALL)?;
        let smoothing = fill(&mut self.label_smoothing_factor, || 0.0);
        let label_smoothing_factor = within("label_smoothing_factor", smoothing, 0.0..=0.999)?;
        self.max_seq_length = Some(facts.max_seq_length as u64);
        let training = self.training_keys().resolve(&finetune_defaults(facts), facts)?;
        let classification = ClassificationSettings { label_smoothing_factor, class_weights };
        let mlm = self.multi_task()?;
        let max_seq_length = facts.max_seq_length;
        Ok(FinetuneSettings { head_init, classification, mlm, training, max_seq_length })
    }
}

const WEIGHTINGS: [(&str, ClassWeighting); 2] =
    [("none", ClassWeighting::None), ("balanced", ClassWeighting::Balanced)];

#[cfg(test)]
mod tests {
    use super::*;

    fn training(
        rows: u64,
        hidden_size: usize,
        num_hidden_layers: usize,
    ) -> crate::training::TrainingSettings {
        let facts = Facts { rows, hidden_size, num_hidden_layers, max_seq_length: 512, new_rows: None };
        FinetuneRequest::default().resolve(&facts, Vec::new()).unwrap().training
    }

    #[test]
    fn small_data_is_trained_on_for_longer() {
        assert_eq!(training(50_000, 768, 12).num_train_epochs, 3.0);
        assert_eq!(training(200, 768, 12).num_train_epochs, 20.0);
        let middle = training(4_000, 768, 12);
        assert_eq!((middle.train_batch_size, middle.num_train_epochs), (32, 4.0));
        assert!(middle.total_steps(4_000) >= 400);
        assert_eq!(
            (training(1_999, 768, 12).train_batch_size, training(2_000, 768, 12).train_batch_size),
            (16, 32)
        );
    }

    #[test]
    fn small_encoders_learn_faster() {
        let rates = [(768, 12), (768, 6), (384, 12)]
            .map(|(width, layers)| training(5_000, width, layers).learning_rate);
        assert_eq!(rates, [2e-5, 5e-5, 1e-4]);
    }

    #[test]
    fn balanced_weights_are_scikit_learns() {
        // compute_class_weight("balanced", classes=[0, 1, 2], y=[0, 0, 0, 1]) over three classes, one of them absent.
        let targets = Targets::Classes(vec![0, 0, 0, 1]);
        let weights = ClassWeighting::Balanced.weights(&targets, &[0, 1, 2, 3], 3).unwrap();
        assert_eq!(weights, [4.0 / 9.0, 4.0 / 3.0, 0.0]);
        assert!(ClassWeighting::None.weights(&targets, &[0], 3).unwrap().is_empty());
        assert!(ClassWeighting::Balanced.weights(&Targets::Numbers(vec![1.0]), &[0], 1).is_err());
    }

    #[test]
    fn a_split_is_chosen_by_the_columns_named() {
        let request = || FinetuneRequest {
            model_name_or_path: Some("m".into()),
            train_file: Some("t.csv".into()),
            output_dir: Some("out".into()),
            ..FinetuneRequest::default()
        };
        assert_eq!(request().sources().unwrap().split.method, SplitMethod::Stratified);
        let grouped = FinetuneRequest { group_column: Some("g".into()), ..request() }.sources().unwrap();
        assert_eq!((grouped.split.method, grouped.split.validation_fraction), (SplitMethod::Grouped, 0.1));
        let given = FinetuneRequest { validation_file: Some("v.csv".into()), ..request() }.sources().unwrap();
        assert_eq!(given.split.validation_fraction, 0.0);
        let regression = FinetuneRequest { do_regression: Some(true), ..request() }.sources().unwrap();
        assert_eq!(regression.columns.task, Some(crate::data::Task::Regression));
    }
}
