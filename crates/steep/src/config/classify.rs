//! What `steep classify` can be asked.

use super::check::{fill, one_of, positive, required, within};
use super::choices::{c_grid, items, metric, task};
use super::learners::learner_settings;
use super::values::List;
use crate::data::Task;
use crate::error::Result;
use crate::features::scaling::Scaling;
use crate::learners::labels::ClassWeight;
use crate::stages::ClassifySettings;
use std::path::PathBuf;

request! {
    /// A classifier on feature files, learner and parameters chosen by cross-validation.
    "classify" ClassifyRequest {
        /// The features: a file, folder or quoted pattern of parquet, csv, tsv or jsonl, such as extract writes, or a .npy
        /// file; needed
        features_file: String, also ["features", "input"], old ["train_file"];
        /// Another file with the labels of the same rows in the same order; default: the labels are in features_file
        labels_file: String, also ["labels"];
        /// The encoder that made the features, if nothing else did; the result then takes texts
        model_name_or_path: String, also ["model"];
        /// Branch, tag or commit of a model on the hub; default main
        model_revision: String, also ["revision"];
        /// The folder to write the classifier into; needed
        output_dir: PathBuf, also ["output"];
        /// Feature columns; name* stands for all that begin so; default: embedding, or embedding_0, embedding_1, …
        feature_columns: List<String>;
        /// Columns of numbers; naming this or another key of preparation (down to block_weights) prepares raw columns, and
        /// feature_columns may then name columns of any kind, '*' for all
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
        /// Columns of that text; default text, or the only column of strings, or the first
        text_column_names: List<String>, also ["text_columns"], old ["text_column_name", "text_column"];
        /// Put between the texts of several columns; default a space
        text_column_delimiter: String;
        /// What fills missing numbers: mean, median, most_frequent or constant; default median
        imputation: String, old ["imputer"];
        /// The constant; default 0
        fill_value: f64;
        /// Add a column of flags for each column with missing values; default true
        missing_flags: bool, old ["add_indicator"];
        /// How numbers are scaled: standard, robust, min_max, quantile_normal, yeo_johnson, log1p or none; several are done
        /// one after the other; default standard
        scaler: List<String>, old ["numerical_transformer_method"];
        /// How categories become numbers: one_hot, ordinal, target or hashing; default one_hot
        categorical_encoding: String, old ["categorical_encode_type"];
        /// Categories in fewer training rows share one place, 1 or more; default 5
        min_category_count: u64, old ["min_frequency"];
        /// Places for the categories of a column at most, that of rare ones included, 2 or more; default 100
        max_categories: u64;
        /// Columns that hashing gives, 1 or more; default 64
        hashing_features: u64;
        /// Tags of a column that get a column each, the most frequent ones; default 50
        max_tags: u64;
        /// Turn vectors onto so many principal components in place of scaling them; default: vectors stay whole
        pca_components: u64, old ["n_components"];
        /// Drop prepared columns whose variance is not greater, 0 or more; default: all stay
        variance_threshold: f64;
        /// Keep so many prepared columns, those with the greatest F statistic; default all
        select_k_best: u64;
        /// Scale the blocks of vectors, columns and engineered columns to the same total variance; default true
        block_scaling: bool;
        /// Their weights in that, as columns=2,engineered=0.5; default 1 each
        block_weights: List<String>;
        /// The column of the labels; default label
        label_column_name: String, also ["label_column"];
        /// single_label_classification, multi_label_classification or regression; default: by the labels
        problem_type: String;
        /// Rows with the same value in this column are never in different folds
        group_column: String;
        /// The column that says train, validation or test for each row; default: all rows train
        split_column: String;
        /// Read only so many rows; default all
        max_train_samples: u64, also ["limit"];
        /// The learners to try, the best in cross-validation is kept: logistic_regression, linear_svm, ridge,
        /// nearest_centroid, knn, lda, boosted_trees, mlp, majority, or all; default logistic_regression, for a
        /// regression ridge
        learner: List<String>, also ["learners"], old ["classifier"];
        /// Candidates for C, the inverse strength of the penalty of linear learners, each above 0; default .01, .046, .22, 1, 4.6, 22, 100
        c_grid: List<f64>, also ["c"], old ["Cs", "C"];
        /// Folds that choose among them, from 2 to 20; default 5
        cv_folds: u64, also ["folds"], old ["cv"];
        /// What chooses: log_loss, accuracy, macro_f1, …; default log_loss, for a regression mean_squared_error
        metric: String, old ["scoring", "metric_name"];
        /// Weight of the classes: none or balanced, which is inverse to their frequency; default none
        class_weight: String;
        /// Penalty of logistic regression: l2, l1 or elasticnet; default l2
        penalty: String;
        /// Share of l1 in the penalty elasticnet, from 0 to 1; default 0.5
        l1_ratio: f64;
        /// How decisions of linear_svm, ridge and nearest_centroid become probabilities: sigmoid or isotonic; default sigmoid
        calibration: String;
        /// Candidates for the number of neighbours of knn, each 1 or more; default 5, 10, 20, 50
        n_neighbors: List<u64>, old ["k"];
        /// How knn measures distances: euclidean or cosine; default euclidean
        distance_metric: String;
        /// Weight of the neighbours of knn: uniform or distance, which is inverse to it; default distance
        neighbor_weights: String;
        /// How far lda draws covariances to the identity: auto, none or a number from 0 to 1; default auto
        shrinkage: String;
        /// Boosted trees at most, 1 or more; default 500
        n_estimators: u64;
        /// What each boosted tree is multiplied with, above 0, at most 1; default 0.1
        learning_rate: f64;
        /// Leaves of a boosted tree at most, 2 or more; default 31
        num_leaves: u64;
        /// Rows of a boosted tree's leaf at least, 1 or more; default 20
        min_child_samples: u64;
        /// Widths of the hidden layers of mlp, each 1 or more; default 100
        hidden_layer_sizes: List<u64>;
        /// Epochs of mlp at most, 1 or more; default 200
        max_epochs: u64;
        /// Scaling of the features, fitted inside each fold: standard, max_abs or none; default standard, but none for
        /// prepared columns
        scaling: String;
        /// Seed of the folds; default 42
        seed: u64, old ["random_state"];
        /// Steps of the solver at most, 1 or more; default 1000
        max_iterations: u64, old ["max_iter"];
        /// The solver ends when no derivative is larger, above 0; default 1e-4
        tolerance: f64, old ["tol"];
    }
}

impl ClassifyRequest {
    /// The features, and the folder to write.
    pub fn sources(&self) -> Result<(String, PathBuf)> {
        let features = required("features_file", self.features_file.as_ref(), "FILE")?;
        Ok((features, required("output_dir", self.output_dir.as_ref(), "FOLDER")?))
    }

    /// What the stage does; fills every key in.
    pub fn resolve(&mut self) -> Result<ClassifySettings> {
        let task = task(self.problem_type.as_ref())?;
        let metric_name = fill(&mut self.metric, || match task {
            Some(Task::Regression) => "mean_squared_error".to_owned(),
            _ => "log_loss".to_owned(),
        });
        let weight = fill(&mut self.class_weight, || "none".to_owned());
        let preparation = self.preparation()?;
        let scaling =
            fill(&mut self.scaling, || if preparation.is_some() { "none" } else { "standard" }.to_owned());
        let iterations = fill(&mut self.max_iterations, || 1_000);
        Ok(ClassifySettings {
            feature_columns: items(self.feature_columns.as_ref()),
            preparation,
            label_column: fill(&mut self.label_column_name, || "label".to_owned()),
            task,
            group_column: self.group_column.clone(),
            split_column: self.split_column.clone(),
            c_grid: c_grid(&mut self.c_grid)?,
            folds: within("cv_folds", fill(&mut self.cv_folds, || 5), 2..=20)? as u32,
            metric: metric("metric", &metric_name)?,
            learner: learner_settings(self)?,
            class_weight: one_of(
                "class_weight",
                &weight,
                &[("none", ClassWeight::None), ("balanced", ClassWeight::Balanced)],
            )?,
            scaling: one_of("scaling", &scaling, &SCALINGS)?,
            seed: fill(&mut self.seed, || 42),
            max_iterations: within("max_iterations", iterations, 1..=1_000_000)? as usize,
            tolerance: positive("tolerance", fill(&mut self.tolerance, || 1e-4))?,
        })
    }
}

const SCALINGS: [(&str, Scaling); 3] =
    [("none", Scaling::None), ("standard", Scaling::Standard), ("max_abs", Scaling::MaxAbs)];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::to_toml;
    use crate::evaluation::metrics::Metric;

    #[test]
    fn what_chooses_c_goes_by_the_task() {
        assert_eq!(ClassifyRequest::default().resolve().unwrap().metric, Metric::LogLoss);
        let regression =
            ClassifyRequest { problem_type: Some("regression".into()), ..ClassifyRequest::default() };
        assert_eq!(regression.clone().resolve().unwrap().metric, Metric::MeanSquaredError);
    }

    #[test]
    fn a_completed_request_resolves_to_the_same() {
        let mut request = ClassifyRequest { cv_folds: Some(3), ..ClassifyRequest::default() };
        let settings = request.resolve().unwrap();
        let mut again: ClassifyRequest = toml::from_str(&to_toml(&request)).unwrap();
        assert_eq!(again.resolve().unwrap(), settings);
        let unscaled = ClassifyRequest { scaling: Some("minmax".into()), ..ClassifyRequest::default() };
        assert_eq!(unscaled.clone().resolve().unwrap_err().to_string(), "scaling: 'minmax' is not known");
    }
}
