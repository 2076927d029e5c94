//! What `steep compare` can be asked.

use super::adapt::AdaptRequest;
use super::check::{at_least_one, fill, required, within};
use super::choices::{c_grid, items, metric, task};
use super::classify::ClassifyRequest;
use super::duration::seconds;
use super::finetune::FinetuneRequest;
use super::training::Facts;
use super::values::List;
use crate::compare::{
    CompareSettings, FeatureSet, LabelledSource, RankingOptions, Route, TableSettings, UnlabelledSource,
};
use crate::data::LabelBudget;
use crate::error::{Error, Result};
use crate::objectives::EmbeddingSettings;
use crate::stages::{AdaptSettings, ClassifySettings, FinetuneSettings, HeadInit, JointSettings};
use std::path::{Path, PathBuf};

request! {
    /// Which route from an encoder to predictions is worth it on one's own data.
    "compare" CompareRequest {
        /// The encoder: a folder, or a name on the hub; needed
        model_name_or_path: String, also ["model"];
        /// Branch, tag or commit of a model on the hub; default main
        model_revision: String, also ["revision"];
        /// Several encoders instead of model_name_or_path: they are ranked by their vectors, as they are, of a sample of the
        /// training and validation rows, and the comparison is made with the best
        models: List<String>, also ["encoders"];
        /// The comparison is made with so many of them, 1 or more; default 1
        models_kept: u64;
        /// They are ranked on so many training rows, and as many validation rows, at most, 20 or more; default 2000
        models_max_samples: u64;
        /// The labelled rows: a file, folder or quoted pattern of csv, tsv, jsonl or parquet, plain, .gz or .zst, or a
        /// folder with one subfolder of texts a label; needed
        labelled_file: String, also ["labelled"], old ["train_file", "labeled_file", "labeled"];
        /// The unlabelled texts: a file, folder or quoted pattern; without them no route adapts
        unlabelled_file: String, also ["unlabelled"], old ["unlabeled_file", "unlabeled"];
        /// The folder for stages, results.json and report.html; needed
        output_dir: PathBuf, also ["output"];
        /// What the report is called; default: the name of labelled_file
        title: String;
        /// Columns of the labelled text; default text, or the only column of strings, or the first
        text_column_names: List<String>, also ["text_columns"], old ["text_column_name", "text_column"];
        /// Put between the texts of several columns; default a space
        text_column_delimiter: String;
        /// The column of the labels; default label
        label_column_name: String, also ["label_column"];
        /// single_label_classification, multi_label_classification or regression; default: by the labels
        problem_type: String;
        /// Rows with the same value in this column stay on one side of the split
        group_column: String;
        /// The column that says train, validation or test for each row
        split_column: String;
        /// The column by which earlier rows train and later rows test
        time_column: String;
        /// Share of the labelled rows to test on where there is no split_column, above 0 and below 1; default 0.2
        test_fraction: f64;
        /// Share of the labelled rows that choose checkpoints, from 0 to below 1; default 0.1
        validation_fraction: f64;
        /// Use the labels of this share of the training rows only, above 0 and at most 1; default all
        label_fraction: f64;
        /// Use the labels of so many training rows only; default all
        max_train_samples: u64;
        /// The column of the unlabelled texts; default text, or the only column of strings, or the first
        unlabelled_text_column: String, old ["unlabelled_text_column_name"];
        /// Read only so many unlabelled texts; default all
        limit_unlabelled: u64, also ["limit"];
        /// Let texts of test rows stay among the unlabelled ones; the report says so; default false
        allow_test_text_in_unlabelled: bool;
        /// Adapt to the texts of the training rows as well; default true
        adapt_on_training_texts: bool;
        /// Share of the unlabelled texts held out to follow the loss, at most 2,000 texts, above 0 and at most 0.5;
        /// default 0.05
        held_out_fraction: f64;
        /// Columns beside the text that routes may use: name* for all that begin so, '*' for all that have no other meaning;
        /// default none
        feature_columns: List<String>, also ["columns"];
        /// Columns of numbers among them, where the values do not tell
        numerical_columns: List<String>, also ["num_cols"], old ["numerical_cols"];
        /// Columns of categories
        categorical_columns: List<String>, also ["cat_cols"], old ["categorical_cols"];
        /// Columns of true and false
        boolean_columns: List<String>;
        /// Columns of dates or times
        datetime_columns: List<String>;
        /// Columns of lists of strings
        tag_columns: List<String>;
        /// What the learners of routes over an encoder are given, each set a variant of each route: text, text+engineered,
        /// text+columns, text+engineered+columns; default text, with columns text and text+columns
        features: List<String>;
        /// What fills missing numbers of columns: mean, median, most_frequent or constant 0; default median
        imputation: String, old ["imputer"];
        /// How numbers of columns are scaled: standard, robust, min_max, quantile_normal, yeo_johnson, log1p or none; default
        /// standard
        scaler: List<String>, old ["numerical_transformer_method"];
        /// How categories become numbers: one_hot, ordinal, target or hashing; default one_hot
        categorical_encoding: String, old ["categorical_encode_type"];
        /// Weights of the blocks of features, as columns=2,engineered=0.5; default 1 each
        block_weights: List<String>;
        /// Which columns are engineered: length, style, links, emoji, emoticons, readability, scripts, language, tokens;
        /// default all
        engineered_families: List<String>;
        /// So many of the most frequent hashtags, emoji and languages get a column each; default 20
        engineered_top_k: u64;
        /// How categories reach the network of joint: embedding, one_hot, ordinal or hashing; default embedding, which is
        /// learned
        joint_categorical_encoding: String;
        /// How joint brings text and columns together, one of the ways of finetune's key of this name; default concat
        combine_feat_method: String;
        /// Share of the rows that a step of joint sees without their text or, as often, without their columns, from 0 to
        /// 0.9; default 0
        modality_dropout: f64;
        /// The largest learning rate of what is new beside the encoder in joint, above 0; default 1e-3
        tabular_learning_rate: f64;
        /// Width of joint's networks over columns, 1 or more; default 64
        mlp_hidden_size: u64;
        /// Dropout in them and before the outputs, from 0 to 0.95; default 0.1
        tabular_dropout: f64, old ["mlp_dropout"];
        /// The columns may shift the text vector by this share of its length, above 0; of gating only; default 0.2
        gating_beta: f64;
        /// The learners that each route tries, the best in cross-validation is taken: logistic_regression, linear_svm, ridge,
        /// nearest_centroid, knn, lda, boosted_trees, mlp, or all; default logistic_regression, for a regression ridge
        learner: List<String>, also ["learners"], old ["classifier"];
        /// Routes among majority, tfidf, table_only, frozen, table_as_text, adapted, finetuned, adapted+finetuned,
        /// finetuned+adapted, contrastive, adapted+contrastive, joint, adapted+joint, late_average, stacked; default all
        /// that the data allows but the two contrastive ones
        routes: List<String>;
        /// Measure also what fewer labels would give; default true
        label_curve: bool;
        /// Plan within this time, such as 2h, 30m or 90s: what does not fit is shortened or left out, and the report says
        /// what; default no limit
        budget: String, also ["time_budget"];
        /// Try adapting on a part of the unlabelled texts first, and leave the routes that adapt out where that gains
        /// nothing; default false
        pilot: bool;
        /// Share of the unlabelled texts that a pilot adapts to, from 0.01 to 0.5; default 0.1
        pilot_fraction: f64;
        /// Measure the score while adapting, on labelled rows that are no test rows; default true
        adaptation_curve: bool;
        /// Adapt to these parts of the unlabelled texts as well, such as 0.1,0.3, and show the score over their number;
        /// default none
        text_curve: List<f64>;
        /// Measure all rows in so many folds instead of a test part, from 2 to 20: every route is trained in each fold on
        /// the other rows; default: one test part
        folds: u64, also ["num_folds"];
        /// Columns by whose values the scores are told apart, beside length, emoji and feature_columns; default none
        slice_columns: List<String>;
        /// One run of every trained route a seed; default 42, 43, 44
        seeds: List<u64>, old ["seed"];
        /// So many seeds from 42 on, instead of naming them, from 1 to 100; default 3
        num_seeds: u64;
        /// What is decided by: accuracy, macro_f1, log_loss, …; default: by the labels
        metric: String, old ["metric_name", "metric_for_best_model"];
        /// Longer texts are cut to so many tokens, at least 3; default: what the model folder says
        max_seq_length: u64;
        /// Adaptation: passes over the texts; default 1 above 200,000 texts, else 3
        adapt_epochs: f64, old ["adapt_num_train_epochs"];
        /// Adaptation: stop after so many optimizer steps; default -1, no limit
        adapt_max_steps: i64;
        /// Adaptation: the largest learning rate, above 0; default 5e-5 · √(texts in a step / 32)
        adapt_learning_rate: f64;
        /// Adaptation: texts in a step, 1 or more; default 32
        adapt_batch_size: u64, old ["adapt_per_device_train_batch_size"];
        /// Adaptation: share of the tokens that are predicted, above 0 and at most 0.9; default 0.15
        mlm_probability: f64;
        /// Fine-tuning: passes over the rows; default 3 from 10,000 rows on, else enough for 400 steps, from 3 to 20
        finetune_epochs: f64, also ["epochs"], old ["num_train_epochs", "finetune_num_train_epochs"];
        /// Fine-tuning: stop after so many optimizer steps; default -1, no limit
        finetune_max_steps: i64, old ["max_steps"];
        /// Fine-tuning: the largest learning rate, above 0; default 2e-5, with at most 6 layers 5e-5, with a width of at
        /// most 384 1e-4
        finetune_learning_rate: f64, also ["lr"], old ["learning_rate"];
        /// Fine-tuning: rows in a step, 1 or more; default 16 below 2,000 rows, else 32
        finetune_batch_size: u64, also ["batch_size"], old ["per_device_train_batch_size"];
        /// Fine-tuning: where the classification head begins: random, or linear_probe, a logistic regression on the network
        /// as it is; default random
        head_init: String;
        /// Fine-tuning: share of the target that is spread over all classes, from 0 to below 1; default 0
        label_smoothing_factor: f64;
        /// The routes contrastive and adapted+contrastive: how vectors are trained, multiple_negatives_ranking, triplet,
        /// supervised_contrastive or cosent; default supervised_contrastive
        contrastive_objective: String;
        /// Tokens computed at once, 1 or more; bounds the memory and changes nothing but rounding; default 4096
        max_tokens_per_micro_batch: u64;
        /// Numbers in which the encoder computes: f32, bf16, or auto for what is quick on this machine; default auto
        dtype: String, old ["torch_dtype"];
        /// The same as dtype = "bf16"
        bf16: bool;
        /// Optimizer steps between checkpoints; default 500
        save_steps: u64;
        /// Candidates for the C of the classifier on embeddings, each above 0; default .01, .046, .22, 1, 4.6, 22, 100
        c_grid: List<f64>;
        /// Folds that choose among them, from 2 to 20; default 5
        cv_folds: u64;
        /// Differences of the metric up to this size do not matter, 0 or more; default 0.005
        equivalence_margin: f64, also ["rope"];
        /// Probability from which on a verdict is given, from 0.5 to below 1; default 0.95
        certainty: f64;
        /// Resamples of the bootstrap behind intervals and verdict, from 100 to 1000000; default 5000
        resamples: u64;
    }
}

/// What is known of model and data when a comparison is resolved.
#[derive(Debug, Clone)]
pub struct CompareFacts {
    /// The encoder as the user named it.
    pub name: String,
    /// The encoder's local folder.
    pub model: PathBuf,
    /// The encoder, with the labelled rows in all.
    pub labelled: Facts,
    /// Unlabelled texts.
    pub unlabelled_rows: u64,
}

impl CompareFacts {
    fn training(&self, rows: u64) -> Facts {
        Facts { rows, ..self.labelled }
    }
}

impl CompareRequest {
    /// What the columns of the labelled rows mean; fills the keys in.
    pub fn labelled(&mut self) -> Result<LabelledSource> {
        let test = fill(&mut self.test_fraction, || 0.2);
        let validation = fill(&mut self.validation_fraction, || 0.1);
        Ok(LabelledSource {
            source: required("labelled_file", self.labelled_file.as_ref(), "FILE")?,
            text_columns: items(self.text_column_names.as_ref()),
            text_column_delimiter: fill(&mut self.text_column_delimiter, || " ".to_owned()),
            label_column: fill(&mut self.label_column_name, || "label".to_owned()),
            task: task(self.problem_type.as_ref())?,
            group_column: self.group_column.clone(),
            split_column: self.split_column.clone(),
            time_column: self.time_column.clone(),
            test_fraction: within("test_fraction", test, 0.001..=0.999)?,
            validation_fraction: within("validation_fraction", validation, 0.0..=0.999)?,
            label_budget: self.label_budget()?,
        })
    }

    /// Where the unlabelled texts come from, if there are any.
    pub fn unlabelled(&self) -> Option<UnlabelledSource> {
        self.unlabelled_file.as_ref().map(|source| UnlabelledSource {
            source: source.clone(),
            text_column: self.unlabelled_text_column.clone(),
            limit: self.limit_unlabelled,
        })
    }

    /// The encoder as the user named it, or all that are to be ranked.
    pub fn models(&self) -> Result<Vec<String>> {
        let models = items(self.models.as_ref());
        if models.is_empty() {
            let key = "model_name_or_path";
            return Ok(vec![required(key, self.model_name_or_path.as_ref(), "FOLDER_OR_NAME")?]);
        }
        if self.model_name_or_path.is_some() {
            let problem = "model_name_or_path names an encoder as well";
            return Err(Error::config("models", problem, "give one of the two; models may name it too"));
        }
        let distinct: std::collections::BTreeSet<&String> = models.iter().collect();
        if distinct.len() != models.len() {
            return Err(Error::config("models", "an encoder is named twice", "name each once"));
        }
        Ok(models)
    }

    /// How several encoders are ranked; fills the keys in.
    pub fn ranking(&mut self) -> Result<RankingOptions> {
        let kept = at_least_one("models_kept", fill(&mut self.models_kept, || 1))?;
        let samples = fill(&mut self.models_max_samples, || 2_000);
        let max_samples = within("models_max_samples", samples, 20..=1_000_000_000)? as usize;
        Ok(RankingOptions { max_samples, kept: kept as usize })
    }

    /// Where everything is written.
    pub fn output_dir(&self) -> Result<PathBuf> {
        required("output_dir", self.output_dir.as_ref(), "FOLDER")
    }

    /// What the comparison does; fills every key in.
    pub fn resolve(&mut self, facts: &CompareFacts) -> Result<CompareSettings> {
        self.max_seq_length = Some(facts.labelled.max_seq_length as u64);
        let labelled = self.labelled()?;
        let unlabelled = self.unlabelled();
        let table = self.table();
        let features = self.features(table.is_some())?;
        let (routes, seeds) = (self.routes(unlabelled.is_some(), table.is_some(), &features)?, self.seeds()?);
        let learning = self.learning(table.is_some() || features != [FeatureSet::Text])?;
        let prepared = learning.preparation.expect("the request asks for engineered columns");
        super::dtype::resolve_for_training(&mut self.dtype, &mut self.bf16)?;
        let adapt = self.adapt(facts)?;
        let finetune = self.finetune(facts, &labelled)?;
        let joint = if routes.iter().any(|route| route.is_joint()) {
            Some(self.joint(finetune.clone(), features.iter().any(|set| set.has_engineered()))?)
        } else {
            None
        };
        let folds = within("cv_folds", fill(&mut self.cv_folds, || 5), 2..=20)? as u32;
        let out_of_fold = self.folds.map(|folds| within("folds", folds, 2..=20)).transpose()?;
        if out_of_fold.is_some() && self.split_column.is_some() {
            let problem = "split_column says already which rows are tested on";
            return Err(Error::config("folds", problem, "leave one of the two out"));
        }
        let resamples = within("resamples", fill(&mut self.resamples, || 5_000), 100..=1_000_000)? as usize;
        Ok(CompareSettings {
            title: fill(&mut self.title, || title_of(&labelled.source)),
            model: facts.model.clone(),
            model_name: facts.name.clone(),
            labelled,
            unlabelled,
            adapt_on_training_texts: fill(&mut self.adapt_on_training_texts, || true),
            allow_test_text_in_unlabelled: fill(&mut self.allow_test_text_in_unlabelled, || false),
            routes,
            features,
            table: table.map(|columns| TableSettings { columns, kinds: prepared.kinds }),
            preparation: prepared.preparation,
            engineered: prepared.engineered.unwrap_or_default(),
            joint,
            learner: learning.learner,
            label_curve: fill(&mut self.label_curve, || true),
            slice_columns: items(self.slice_columns.as_ref()),
            seeds,
            max_seq_length: Some(facts.labelled.max_seq_length),
            metric: self.metric.as_ref().map(|name| metric("metric", name)).transpose()?,
            masking: adapt.masking,
            adapt: adapt.training,
            held_out_fraction: self.held_out()?,
            head_init: finetune.head_init,
            classification: finetune.classification,
            finetune: finetune.training,
            contrastive: self.contrastive()?,
            c_grid: c_grid(&mut self.c_grid)?,
            folds,
            rope: within("equivalence_margin", fill(&mut self.equivalence_margin, || 0.005), 0.0..=1e9)?,
            certainty: within("certainty", fill(&mut self.certainty, || 0.95), 0.5..=0.999_999)?,
            resamples,
            output_dir: self.output_dir()?,
            out_of_fold: out_of_fold.map(|folds| folds as u32),
            budget: self.budget.as_ref().map(|text| seconds("budget", text)).transpose()?,
            pilot: self.pilot()?,
            adaptation_curve: fill(&mut self.adaptation_curve, || true),
            text_curve: self.text_curve()?,
            plan: None,
            ranking: None,
            further: Vec::new(),
        })
    }

    fn pilot(&mut self) -> Result<Option<f64>> {
        if !fill(&mut self.pilot, || false) {
            return Ok(None);
        }
        within("pilot_fraction", fill(&mut self.pilot_fraction, || 0.1), 0.01..=0.5).map(Some)
    }

    /// Ascending, each above 0 and below 1.
    fn text_curve(&self) -> Result<Vec<f64>> {
        let mut parts = items(self.text_curve.as_ref());
        for part in &parts {
            within("text_curve", *part, 0.001..=0.999)?;
        }
        parts.sort_by(f64::total_cmp);
        parts.dedup();
        Ok(parts)
    }

    fn label_budget(&self) -> Result<Option<LabelBudget>> {
        match (self.label_fraction, self.max_train_samples) {
            (None, None) => Ok(None),
            (Some(share), None) => {
                super::check::positive("label_fraction", within("label_fraction", share, 0.0..=1.0)?)?;
                Ok(Some(LabelBudget::Fraction(share)))
            }
            (None, Some(rows)) => {
                Ok(Some(LabelBudget::Rows(at_least_one("max_train_samples", rows)? as usize)))
            }
            (Some(_), Some(_)) => {
                let problem = "max_train_samples limits the labels as well";
                Err(Error::config("label_fraction", problem, "give one of the two"))
            }
        }
    }

    /// The columns beside the text, those of given kinds among them; none where none is named.
    fn table(&self) -> Option<Vec<String>> {
        let kinds = [
            &self.numerical_columns,
            &self.categorical_columns,
            &self.boolean_columns,
            &self.datetime_columns,
            &self.tag_columns,
        ];
        let is_named = self.feature_columns.is_some() || kinds.iter().any(|names| names.is_some());
        is_named.then(|| items(self.feature_columns.as_ref()))
    }

    fn features(&mut self, has_columns: bool) -> Result<Vec<FeatureSet>> {
        let usual = if has_columns { &["text", "text+columns"][..] } else { &["text"] };
        let names =
            fill(&mut self.features, || List(usual.iter().map(|name| (*name).to_owned()).collect())).0;
        let mut sets = vec![FeatureSet::Text];
        for name in &names {
            let set = super::check::one_of("features", name, &FeatureSet::ALL)?;
            if set.has_columns() && !has_columns {
                let hint = "give --feature_columns '*', or name columns";
                return Err(Error::config("features", format!("{name} needs columns"), hint));
            }
            sets.push(set);
        }
        sets.sort();
        sets.dedup();
        Ok(sets)
    }

    /// The keys that `classify` has too: learners, and how columns are prepared. Those of columns are filled in where
    /// there are some.
    fn learning(&mut self, has_columns: bool) -> Result<ClassifySettings> {
        let mut request = ClassifyRequest {
            numerical_columns: self.numerical_columns.clone(),
            categorical_columns: self.categorical_columns.clone(),
            boolean_columns: self.boolean_columns.clone(),
            datetime_columns: self.datetime_columns.clone(),
            tag_columns: self.tag_columns.clone(),
            imputation: self.imputation.clone(),
            scaler: self.scaler.clone(),
            categorical_encoding: self.categorical_encoding.clone(),
            block_weights: self.block_weights.clone(),
            engineered_features: Some(true),
            engineered_families: self.engineered_families.clone(),
            engineered_top_k: self.engineered_top_k,
            learner: self.learner.clone(),
            ..ClassifyRequest::default()
        };
        let settings = request.resolve()?;
        if has_columns {
            self.imputation = request.imputation;
            self.scaler = request.scaler;
            self.categorical_encoding = request.categorical_encoding;
            self.engineered_families = request.engineered_families;
            self.engineered_top_k = request.engineered_top_k;
        }
        Ok(settings)
    }

    fn routes(
        &mut self,
        has_unlabelled: bool,
        has_columns: bool,
        features: &[FeatureSet],
    ) -> Result<Vec<Route>> {
        let has_beside = has_columns || features.iter().any(|set| set.has_engineered());
        let has_its_columns =
            |route: Route| (has_columns || !route.needs_columns()) && (has_beside || !route.is_joint());
        let is_possible = |route: Route| (has_unlabelled || !route.adapts()) && has_its_columns(route);
        let usual = |route: Route| is_possible(route) && !route.trains_vectors();
        let possible = Route::ALL.iter().filter(|(_, route, _)| usual(*route));
        let names =
            fill(&mut self.routes, || List(possible.map(|(name, ..)| (*name).to_owned()).collect())).0;
        let known: Vec<(&str, Route)> = Route::ALL.iter().map(|(name, route, _)| (*name, *route)).collect();
        let mut routes = Vec::new();
        for name in &names {
            let route = super::check::one_of("routes", name, &known)?;
            if route.adapts() && !has_unlabelled {
                let hint = "give --unlabelled_file FILE, or leave the route out";
                return Err(Error::config("routes", format!("{name} needs unlabelled texts"), hint));
            }
            if !has_its_columns(route) {
                let hint = "give --feature_columns '*', or leave the route out";
                return Err(Error::config("routes", format!("{name} needs columns beside the text"), hint));
            }
            routes.push(route);
        }
        routes.sort();
        routes.dedup();
        if routes.is_empty() {
            return Err(Error::config(
                "routes",
                "none is chosen",
                "choose at least one, or leave routes out",
            ));
        }
        Ok(routes)
    }

    /// The keys that `finetune --joint` has too. What prepares columns is shared with the learners, but for the encoding
    /// of categories, which a network can learn.
    fn joint(&mut self, finetune: FinetuneSettings, has_engineered: bool) -> Result<JointSettings> {
        let mut request = FinetuneRequest {
            joint: Some(true),
            text_column_names: self.text_column_names.clone(),
            text_column_delimiter: self.text_column_delimiter.clone(),
            numerical_columns: self.numerical_columns.clone(),
            categorical_columns: self.categorical_columns.clone(),
            boolean_columns: self.boolean_columns.clone(),
            datetime_columns: self.datetime_columns.clone(),
            tag_columns: self.tag_columns.clone(),
            engineered_features: Some(has_engineered),
            engineered_families: self.engineered_families.clone(),
            engineered_top_k: self.engineered_top_k,
            imputation: self.imputation.clone(),
            scaler: self.scaler.clone(),
            categorical_encoding: self.joint_categorical_encoding.clone(),
            combine_feat_method: self.combine_feat_method.clone(),
            modality_dropout: self.modality_dropout,
            tabular_learning_rate: self.tabular_learning_rate,
            mlp_hidden_size: self.mlp_hidden_size,
            tabular_dropout: self.tabular_dropout,
            gating_beta: self.gating_beta,
            ..FinetuneRequest::default()
        };
        let features = request.joint_features().map_err(|error| in_words_of("joint", error))?;
        let features = features.expect("the request asks for them");
        // Its head is over text and columns, and is always new.
        let finetune = FinetuneSettings { head_init: HeadInit::Random, ..finetune };
        let settings = request.resolve_joint(finetune, features)?;
        self.joint_categorical_encoding = request.categorical_encoding;
        self.combine_feat_method = request.combine_feat_method;
        self.modality_dropout = request.modality_dropout;
        self.tabular_learning_rate = request.tabular_learning_rate;
        self.mlp_hidden_size = request.mlp_hidden_size;
        self.tabular_dropout = request.tabular_dropout;
        self.gating_beta = request.gating_beta;
        Ok(settings)
    }

    fn seeds(&mut self) -> Result<Vec<u64>> {
        let count = within("num_seeds", self.num_seeds.unwrap_or(3), 1..=100)?;
        let seeds = fill(&mut self.seeds, || List((42..42 + count).collect())).0;
        let distinct: std::collections::BTreeSet<u64> = seeds.iter().copied().collect();
        if seeds.is_empty() || distinct.len() != seeds.len() {
            return Err(Error::config(
                "seeds",
                "the seeds are none, or one is named twice",
                "name each seed once",
            ));
        }
        // The list says it all, and a saved request must not say it twice.
        self.num_seeds = None;
        Ok(seeds)
    }

    fn held_out(&mut self) -> Result<f64> {
        let share = within("held_out_fraction", fill(&mut self.held_out_fraction, || 0.05), 0.0..=0.5)?;
        super::check::positive("held_out_fraction", share)
    }

    fn adapt(&mut self, facts: &CompareFacts) -> Result<AdaptSettings> {
        let mut request = AdaptRequest {
            num_train_epochs: self.adapt_epochs,
            max_steps: self.adapt_max_steps,
            learning_rate: self.adapt_learning_rate,
            per_device_train_batch_size: self.adapt_batch_size,
            mlm_probability: self.mlm_probability,
            max_tokens_per_micro_batch: self.max_tokens_per_micro_batch,
            save_steps: self.save_steps,
            dtype: self.dtype.clone(),
            ..AdaptRequest::default()
        };
        let resolved = request
            .resolve(&facts.training(facts.unlabelled_rows))
            .map_err(|error| in_words_of("adapt", error));
        self.adapt_epochs = request.num_train_epochs;
        self.adapt_learning_rate = request.learning_rate;
        self.adapt_batch_size = request.per_device_train_batch_size;
        self.mlm_probability = request.mlm_probability;
        self.max_tokens_per_micro_batch = request.max_tokens_per_micro_batch;
        self.save_steps = request.save_steps;
        resolved
    }

    /// How vectors are trained.
    fn contrastive(&mut self) -> Result<EmbeddingSettings> {
        let name = fill(&mut self.contrastive_objective, || "supervised_contrastive".to_owned());
        let mut request = FinetuneRequest { objective: Some(name), ..FinetuneRequest::default() };
        let settings = request.embedding().map_err(|error| in_words_of("contrastive", error))?;
        settings.ok_or_else(|| {
            let hint = "choose another, or the route finetuned";
            Error::config("contrastive_objective", "classification trains no vectors", hint)
        })
    }

    fn finetune(&mut self, facts: &CompareFacts, labelled: &LabelledSource) -> Result<FinetuneSettings> {
        let mut request = FinetuneRequest {
            num_train_epochs: self.finetune_epochs,
            max_steps: self.finetune_max_steps,
            learning_rate: self.finetune_learning_rate,
            per_device_train_batch_size: self.finetune_batch_size,
            head_init: self.head_init.clone(),
            label_smoothing_factor: self.label_smoothing_factor,
            max_tokens_per_micro_batch: self.max_tokens_per_micro_batch,
            save_steps: self.save_steps,
            dtype: self.dtype.clone(),
            ..FinetuneRequest::default()
        };
        let rows = training_rows(facts.labelled.rows, labelled);
        let resolved = request
            .resolve(&facts.training(rows), Vec::new())
            .map_err(|error| in_words_of("finetune", error));
        self.finetune_epochs = request.num_train_epochs;
        self.finetune_learning_rate = request.learning_rate;
        self.finetune_batch_size = request.per_device_train_batch_size;
        self.head_init = request.head_init;
        self.label_smoothing_factor = request.label_smoothing_factor;
        resolved
    }
}

/// About how many rows will be trained on; the defaults need the order of magnitude only.
fn training_rows(labelled_rows: u64, labelled: &LabelledSource) -> u64 {
    let left = (1.0 - labelled.test_fraction - labelled.validation_fraction).max(0.0);
    let rows = labelled_rows as f64 * left;
    match labelled.label_budget {
        None => rows as u64,
        Some(LabelBudget::Fraction(share)) => (rows * share) as u64,
        Some(LabelBudget::Rows(most)) => (rows as u64).min(most as u64),
    }
}

/// An error about a stage's key, in the words of the comparison's key.
fn in_words_of(stage: &str, error: Error) -> Error {
    match error {
        Error::Config { key, problem, hint } => {
            let key = match key.as_str() {
                "num_train_epochs" => format!("{stage}_epochs"),
                "per_device_train_batch_size" => format!("{stage}_batch_size"),
                "learning_rate" | "max_steps" | "objective" | "categorical_encoding" => {
                    format!("{stage}_{key}")
                }
                _ => key,
            };
            Error::Config { key, problem, hint }
        }
        other => other,
    }
}

fn title_of(source: &str) -> String {
    Path::new(source)
        .file_stem()
        .map_or_else(|| source.to_owned(), |name| name.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::to_toml;

    fn facts() -> CompareFacts {
        CompareFacts {
            name: "model".into(),
            model: "folder".into(),
            labelled: Facts { rows: 2225, hidden_size: 384, num_hidden_layers: 6, max_seq_length: 256 },
            unlabelled_rows: 2000,
        }
    }

    fn request() -> CompareRequest {
        CompareRequest {
            model_name_or_path: Some("model".into()),
            labelled_file: Some("data/bbc.csv".into()),
            unlabelled_file: Some("data/texts.txt".into()),
            output_dir: Some("out".into()),
            ..CompareRequest::default()
        }
    }

    #[test]
    fn everything_has_a_default_but_what_only_the_user_knows() {
        let mut request = CompareRequest { label_fraction: Some(0.1), ..request() };
        let settings = request.resolve(&facts()).unwrap();
        assert_eq!((settings.title.as_str(), settings.seeds.as_slice()), ("bbc", &[42, 43, 44][..]));
        assert_eq!(settings.routes.len(), 7);
        // 2225 · 0.7 · 0.1 = 155 rows are 10 steps of 16 an epoch.
        assert_eq!((settings.finetune.train_batch_size, settings.finetune.num_train_epochs), (16, 20.0));
        assert_eq!(settings.finetune.learning_rate, 1e-4);
        assert_eq!(settings.adapt.num_train_epochs, 3.0);
        assert_eq!(settings.labelled.label_budget, Some(LabelBudget::Fraction(0.1)));
        let mut again: CompareRequest = toml::from_str(&to_toml(&request)).unwrap();
        assert_eq!(again.resolve(&facts()).unwrap(), settings);
    }

    #[test]
    fn without_unlabelled_texts_no_route_adapts() {
        let mut bare = CompareRequest { unlabelled_file: None, ..request() };
        let settings = bare.resolve(&facts()).unwrap();
        assert!(settings.routes.iter().all(|route| !route.adapts()));
        let mut asked =
            CompareRequest { routes: Some(List(vec!["adapted".into()])), unlabelled_file: None, ..request() };
        assert!(asked.resolve(&facts()).unwrap_err().hint().unwrap().contains("--unlabelled_file"));
    }

    #[test]
    fn columns_bring_their_routes_and_features_and_without_them_all_stays_lean() {
        let mut with = CompareRequest { feature_columns: Some(List(vec!["*".into()])), ..request() };
        let settings = with.resolve(&facts()).unwrap();
        assert_eq!((settings.routes.len(), settings.features.len()), (13, 2));
        assert_eq!(settings.joint.as_ref().unwrap().finetune.training, settings.finetune);
        let mut again: CompareRequest = toml::from_str(&to_toml(&with)).unwrap();
        assert_eq!(again.resolve(&facts()).unwrap(), settings);
        assert!(toml::to_string_pretty(&settings).unwrap().contains("table_only"));
        let bare = request().resolve(&facts()).unwrap();
        assert_eq!((bare.features.as_slice(), bare.table), (&[FeatureSet::Text][..], None));
        let engineered = CompareRequest { features: Some(List(vec!["text+engineered".into()])), ..request() };
        let settings = engineered.clone().resolve(&facts()).unwrap();
        // What is counted in the text is enough for a network over both; the other combinations need columns.
        assert_eq!((settings.features.len(), settings.routes.len()), (2, 9));
        assert!(settings.joint.unwrap().features.engineered.is_some());
        for refused in [
            CompareRequest { routes: Some(List(vec!["stacked".into()])), ..request() },
            CompareRequest { routes: Some(List(vec!["joint".into()])), ..request() },
            CompareRequest { features: Some(List(vec!["text+columns".into()])), ..request() },
            CompareRequest { learner: Some(List(vec!["forest".into()])), ..request() },
        ] {
            assert!(refused.clone().resolve(&facts()).unwrap_err().hint().is_some());
        }
    }

    #[test]
    fn errors_speak_of_the_keys_that_were_written() {
        let of = |request: CompareRequest| request.clone().resolve(&facts()).unwrap_err().to_string();
        let message = of(CompareRequest { adapt_learning_rate: Some(-1.0), ..request() });
        assert!(message.starts_with("adapt_learning_rate:"), "{message}");
        let message = of(CompareRequest { finetune_batch_size: Some(0), ..request() });
        assert!(message.starts_with("finetune_batch_size:"), "{message}");
        let message = of(CompareRequest { routes: Some(List(vec!["frozn".into()])), ..request() });
        assert_eq!(message, "routes: 'frozn' is not known");
        let message = of(CompareRequest {
            feature_columns: Some(List(vec!["*".into()])),
            joint_categorical_encoding: Some("target".into()),
            ..request()
        });
        assert!(message.starts_with("joint_categorical_encoding:"), "{message}");
        let both = CompareRequest { label_fraction: Some(0.1), max_train_samples: Some(5), ..request() };
        assert!(of(both).starts_with("label_fraction:"));
        let message = of(CompareRequest { contrastive_objective: Some("simcse".into()), ..request() });
        assert!(message.starts_with("contrastive_objective:"), "{message}");
        assert!(of(CompareRequest { seeds: Some(List(vec![1, 1])), ..request() }).starts_with("seeds:"));
    }
}
