//! Keys of a comparison that belong to a stage: they go into the stage's own request and come back filled in, so that both have
//! the same defaults and ranges.

use super::{CompareFacts, CompareRequest};
use crate::compare::{LabelledSource, VocabularySettings, ZeroshotSettings};
use crate::config::adapt::AdaptRequest;
use crate::config::check::{fill, within};
use crate::config::choices::items;
use crate::config::classify::ClassifyRequest;
use crate::config::finetune::FinetuneRequest;
use crate::config::vocabulary::choose_settings;
use crate::data::LabelBudget;
use crate::error::{Error, Result};
use crate::objectives::EmbeddingSettings;
use crate::stages::{AdaptSettings, ClassifySettings, FinetuneSettings, HeadInit, JointSettings};

impl CompareRequest {
    /// The keys that `classify` has too: learners, and how columns are prepared. Those of columns are filled in where
    /// there are some.
    pub(super) fn learning(&mut self, has_columns: bool) -> Result<ClassifySettings> {
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

    /// The keys that `finetune --joint` has too. What prepares columns is shared with the learners, but for the encoding
    /// of categories, which a network can learn.
    pub(super) fn joint(
        &mut self,
        finetune: FinetuneSettings,
        has_engineered: bool,
    ) -> Result<JointSettings> {
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

    pub(super) fn adapt(&mut self, facts: &CompareFacts) -> Result<AdaptSettings> {
        let mut request = AdaptRequest {
            num_train_epochs: self.adapt_epochs,
            max_steps: self.adapt_max_steps,
            learning_rate: self.adapt_learning_rate,
            per_device_train_batch_size: self.adapt_batch_size,
            objective: self.adapt_objective.clone().or(facts.usual_objective.map(str::to_owned)),
            mlm_probability: self.mlm_probability,
            masking: self.masking.clone(),
            temperature: self.temperature,
            pos_neg_ratio: self.pos_neg_ratio,
            generator_size: self.generator_size,
            discriminator_weight: self.discriminator_weight,
            deletion_ratio: self.deletion_ratio,
            infilling_ratio: self.infilling_ratio,
            poisson_lambda: self.poisson_lambda,
            permute_sentence_ratio: self.permute_sentence_ratio,
            rotation_ratio: self.rotation_ratio,
            max_tokens_per_micro_batch: self.max_tokens_per_micro_batch,
            save_steps: self.save_steps,
            dtype: self.dtype.clone(),
            ..AdaptRequest::default()
        };
        if request.objective.as_deref() == Some("seq2seq") {
            let hint = "take another, or run `steep adapt --objective seq2seq` and compare with its folder";
            return Err(Error::config("adapt_objective", "seq2seq needs pairs of texts", hint));
        }
        let resolved = request
            .resolve(&facts.training(facts.unlabelled_rows))
            .map_err(|error| in_words_of("adapt", error));
        self.adapt_epochs = request.num_train_epochs;
        self.adapt_learning_rate = request.learning_rate;
        self.adapt_batch_size = request.per_device_train_batch_size;
        self.adapt_objective = request.objective;
        self.mlm_probability = request.mlm_probability;
        self.masking = request.masking;
        self.temperature = request.temperature;
        self.pos_neg_ratio = request.pos_neg_ratio;
        self.generator_size = request.generator_size;
        self.discriminator_weight = request.discriminator_weight;
        self.deletion_ratio = request.deletion_ratio;
        self.infilling_ratio = request.infilling_ratio;
        self.poisson_lambda = request.poisson_lambda;
        self.permute_sentence_ratio = request.permute_sentence_ratio;
        self.rotation_ratio = request.rotation_ratio;
        self.max_tokens_per_micro_batch = request.max_tokens_per_micro_batch;
        self.save_steps = request.save_steps;
        resolved
    }

    /// What labels without training; none where no model is named.
    pub(super) fn zeroshot(&mut self, facts: &CompareFacts) -> Result<Option<ZeroshotSettings>> {
        let (Some(model_name), Some(model)) = (&self.zeroshot_model_name_or_path, &facts.zeroshot_model)
        else {
            return Ok(None);
        };
        let candidate = |pair: &String| {
            let parted = pair.split_once('=').filter(|(_, words)| !words.trim().is_empty());
            parted.map(|(name, words)| (name.trim().to_owned(), words.trim().to_owned())).ok_or_else(|| {
                let hint = "give name=words for each label that is to be written otherwise";
                Error::config("candidate_labels", format!("'{pair}' is no name=words"), hint)
            })
        };
        let hypothesis_template =
            fill(&mut self.hypothesis_template, || crate::config::zeroshot::TEMPLATE.to_owned());
        if hypothesis_template.matches("{}").count() != 1 {
            let problem = format!("'{hypothesis_template}' does not have one place for the label");
            return Err(Error::config("hypothesis_template", problem, "write {} where the label belongs"));
        }
        Ok(Some(ZeroshotSettings {
            model: model.clone(),
            model_name: model_name.clone(),
            hypothesis_template,
            candidate_labels: items(self.candidate_labels.as_ref())
                .iter()
                .map(candidate)
                .collect::<Result<_>>()?,
        }))
    }

    /// How tokens are added.
    pub(super) fn vocabulary(&mut self) -> Result<VocabularySettings> {
        let warmup_steps = fill(&mut self.vocabulary_warmup_steps, || 0.1);
        Ok(VocabularySettings {
            choose: choose_settings(&mut self.num_new_tokens, &mut self.min_frequency)?,
            warmup_steps: within("vocabulary_warmup_steps", warmup_steps, 0.0..=1e12)?,
        })
    }

    /// How vectors are trained.
    pub(super) fn contrastive(&mut self) -> Result<EmbeddingSettings> {
        let name = fill(&mut self.contrastive_objective, || "supervised_contrastive".to_owned());
        let mut request = FinetuneRequest { objective: Some(name), ..FinetuneRequest::default() };
        let settings = request.embedding().map_err(|error| in_words_of("contrastive", error))?;
        settings.ok_or_else(|| {
            let hint = "choose another, or the route finetuned";
            Error::config("contrastive_objective", "classification trains no vectors", hint)
        })
    }

    pub(super) fn finetune(
        &mut self,
        facts: &CompareFacts,
        labelled: &LabelledSource,
    ) -> Result<FinetuneSettings> {
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
