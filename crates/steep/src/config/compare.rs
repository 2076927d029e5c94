//! What `steep compare` can be asked. `resolve.rs` makes settings of it; what belongs to one stage is resolved as that
//! stage's own request would be, in `stages.rs`.

mod resolve;
mod stages;
#[cfg(test)]
mod tests;

use super::training::Facts;
use super::values::List;
use std::path::PathBuf;

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
        /// The route zeroshot: a model trained to tell whether a sentence follows from a text, which labels without training: a
        /// folder, or a name on the hub; without it there is no such route
        zeroshot_model_name_or_path: String, also ["zeroshot_model"];
        /// The route zeroshot: the sentence that a label becomes, with {} in its place; default "This example is {}."
        hypothesis_template: String, also ["template"];
        /// The route zeroshot: what is written for a label, as name=words,name=words; default the labels' names
        candidate_labels: List<String>;
        /// Routes among majority, tfidf, table_only, zeroshot, frozen, table_as_text, adapted, finetuned, adapted+finetuned,
        /// finetuned+adapted, contrastive, adapted+contrastive, vocab+adapted, vocab+adapted+finetuned, joint, adapted+joint,
        /// late_average, stacked; default all that the data allows but those of contrastive and vocab
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
        /// Adaptation: what is trained for: mlm, clm, simcse, contrastive_tension, tsdae, electra or denoising, as adapt's
        /// objective; default mlm, clm for a decoder, denoising for an encoder-decoder
        adapt_objective: String;
        /// Adaptation by mlm or electra: share of the tokens that are predicted, above 0 and at most 0.9; default 0.15
        mlm_probability: f64;
        /// Adaptation by mlm or electra: what is hidden together: token, whole_word or span; default token
        masking: String;
        /// Adaptation by simcse: cosines are divided by this, above 0; default 0.05
        temperature: f64;
        /// Adaptation by contrastive_tension: pairs for each one of equal texts, that one included; default 8
        pos_neg_ratio: u64;
        /// Adaptation by electra: width of the generator as a share of the encoder's, above 0 and at most 1; default 0.25
        generator_size: f64;
        /// Adaptation by electra: how much finding replaced tokens counts beside replacing them, above 0; default 50
        discriminator_weight: f64;
        /// Adaptation by tsdae or denoising: share of the tokens that are deleted, from 0 to 0.95; default 0.6, and 0 in
        /// denoising
        deletion_ratio: f64;
        /// Adaptation by denoising: share of the tokens that are hidden in spans, from 0 to 0.9; default 0.3
        infilling_ratio: f64;
        /// Adaptation by denoising: mean length of these spans, from 0.5 to 20; default 3
        poisson_lambda: f64;
        /// Adaptation by denoising: share of a text's sentences that change places, from 0 to 1; default 1
        permute_sentence_ratio: f64;
        /// Adaptation by denoising: share of the texts that are turned to begin at another token, from 0 to 1; default 0
        rotation_ratio: f64;
        /// Routes of vocab: tokens to add at most, from 1 to 200000; default 2000
        num_new_tokens: u64;
        /// Routes of vocab: a new token must occur so often in the unlabelled texts; default 10
        min_frequency: u64;
        /// Routes of vocab: optimizer steps of adapting in which nothing but the rows of new tokens learns; below 1 a share
        /// of all steps; default 0.1
        vocabulary_warmup_steps: f64;
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
    /// The local folder of the model that labels without training, if one was named.
    pub zeroshot_model: Option<PathBuf>,
    /// What the encoder's family is adapted by where nothing else is asked for.
    pub usual_objective: Option<&'static str>,
}

impl CompareFacts {
    fn training(&self, rows: u64) -> Facts {
        Facts { rows, ..self.labelled }
    }
}
