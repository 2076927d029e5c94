//! A model: configuration, parameters, encoder and head.

use crate::architectures;
use crate::batch::PackedBatch;
use crate::checkpoint::{self, report::LoadReport};
use crate::config::Config;
use crate::error::Result;
use crate::heads::{
    AutoencoderHead, ClassificationHead, HeadKind, RowColumns, TabularHead, TabularSettings, TabularShape,
    TokenHead,
};
use crate::layers::{Linear, TextEncoder};
use crate::ops::block::Precision;
use crate::ops::{self, Activation};
use crate::parameters::{Declaration, Parameter, ParameterSpec, Parameters, Value};
use crate::pass::Pass;
use burn::Tensor;
use std::path::Path;
use std::sync::Arc;

/// An encoder with its parameters and, if any, one head.
#[derive(Debug, Clone)]
pub struct Model {
    /// The checked `config.json`.
    pub config: Config,
    /// All parameters in declaration order.
    pub parameters: Parameters,
    layout: Layout,
    tabular: Option<TabularHead>,
}

/// The layers of a model, without values.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    pub(crate) head_kind: HeadKind,
    encoder: Arc<dyn TextEncoder>,
    pooler: Option<Linear>,
    token_head: Option<TokenHead>,
    autoencoder: Option<AutoencoderHead>,
    classification: Option<ClassificationHead>,
}

impl Layout {
    /// Declares every parameter of the model; `pooler` tells whether an unused pooler is kept.
    pub(crate) fn declare(config: &Config, head_kind: HeadKind, pooler: bool) -> (Self, Vec<ParameterSpec>) {
        let architecture = architectures::of(config.model_type);
        let mut declare = Declaration::new(config.initializer_range);
        let encoder =
            declare.scope(architecture.prefix(), |declare| architecture.encoder(config, head_kind, declare));
        declare.set_optional();
        let classifies = matches!(head_kind, HeadKind::SequenceClassification { .. });
        let pooled_head = classifies && architecture.classifies_pooled();
        let keep = pooled_head || pooler;
        let declare_pooler = |declare: &mut Declaration| {
            declare.scope(architecture.prefix(), |declare| architecture.pooler(config, declare))
        };
        let pooler = match (keep, pooled_head) {
            (false, _) => None,
            (true, true) => declare_pooler(&mut declare),
            (true, false) => declare.unused(declare_pooler),
        };
        let word_embeddings = encoder.word_embeddings();
        let token_head = matches!(head_kind, HeadKind::MaskedLm | HeadKind::CausalLm)
            .then(|| architecture.token_head(config, word_embeddings, &mut declare));
        let autoencoder = (head_kind == HeadKind::Autoencoder)
            .then(|| AutoencoderHead::declare(config, word_embeddings, &mut declare));
        let classification = match head_kind {
            HeadKind::SequenceClassification { num_labels } => {
                Some(architecture.classification(config, num_labels, pooler, &mut declare))
            }
            _ => None,
        };
        (Self { head_kind, encoder, pooler, token_head, autoencoder, classification }, declare.specs)
    }
}

impl Model {
    /// Loads a Hugging Face folder. What the file lacks of the head is initialised from `seed`,
    /// and the report says so.
    ///
    /// # Errors
    /// A field of the config that is not supported; missing, wrongly shaped or superfluous tensors
    /// of the encoder.
    pub fn load(folder: &Path, head_kind: HeadKind, seed: u64) -> Result<(Self, LoadReport)> {
        Self::load_with(folder, Config::load(folder)?, head_kind, seed)
    }

    /// As [`Model::load`] with a changed config, such as other labels.
    pub fn load_with(
        folder: &Path,
        config: Config,
        head_kind: HeadKind,
        seed: u64,
    ) -> Result<(Self, LoadReport)> {
        config.check_head(folder, head_kind)?;
        let (layout, parameters, report) = checkpoint::load::load(folder, &config, head_kind, seed)?;
        Ok((Self { config, parameters, layout, tabular: None }, report))
    }

    /// Writes `config.json` and `model.safetensors` into an existing folder.
    pub fn save(&self, folder: &Path) -> Result<()> {
        checkpoint::save::save(folder, self)
    }

    /// Which head the model has.
    pub fn head_kind(&self) -> HeadKind {
        self.layout.head_kind
    }

    /// States after the embeddings and after each layer, each `[T, H]`.
    pub fn hidden_states(&self, pass: &Pass, batch: &PackedBatch) -> Vec<Tensor<2>> {
        let mut states = Vec::new();
        let last = self.layout.encoder.forward(pass, batch, &mut |state| states.push(state.clone()));
        states.push(last);
        states
    }

    /// The last layer's state, `[T, H]`.
    pub fn last_hidden_state(&self, pass: &Pass, batch: &PackedBatch) -> Tensor<2> {
        self.layout.encoder.forward(pass, batch, &mut |_| {})
    }

    /// transformers' `pooler_output`, `[B, H]`, where the model has a pooler.
    pub fn pooler_output(&self, pass: &Pass, batch: &PackedBatch, hidden: Tensor<2>) -> Option<Tensor<2>> {
        let first = ops::embedding(hidden, batch.first_tokens());
        self.layout.pooler.map(|pooler| pooler.forward_activation(pass, first, Activation::Tanh))
    }

    /// Logits over the vocabulary at the given rows of `hidden` [T, H]: `[N, V]`.
    ///
    /// # Panics
    /// If the model was loaded without a head that predicts tokens.
    pub fn masked_lm_logits(&self, pass: &Pass, hidden: Tensor<2>, rows: Arc<[u32]>) -> Tensor<2> {
        let head = self.layout.token_head.as_ref().expect("the model has a head that predicts tokens");
        head.forward(pass, ops::embedding(hidden, rows))
    }

    /// Cross-entropy of the head that predicts tokens at the given rows of `hidden` [T, H] against their labels: `[N]`.
    ///
    /// # Panics
    /// If the model was loaded without a head that predicts tokens.
    pub fn masked_lm_losses(
        &self,
        pass: &Pass,
        hidden: Tensor<2>,
        rows: Arc<[u32]>,
        labels: Arc<[u32]>,
    ) -> Tensor<1> {
        let head = self.layout.token_head.as_ref().expect("the model has a head that predicts tokens");
        head.losses(pass, ops::embedding(hidden, rows), labels)
    }

    /// Cross-entropy of each token after the first of each sequence of `batch`, written again from `vectors` `[B, H]`.
    ///
    /// # Panics
    /// If the model was loaded without an autoencoder's head.
    pub fn autoencoder_losses(&self, pass: &Pass, vectors: Tensor<2>, batch: &PackedBatch) -> Tensor<1> {
        let head = self.layout.autoencoder.as_ref().expect("the model has an autoencoder's head");
        head.losses(pass, vectors, batch)
    }

    /// The bare encoder of a model with a head.
    #[must_use]
    pub fn without_head(self) -> Self {
        let (layout, specs) = Layout::declare(&self.config, HeadKind::None, self.layout.pooler.is_some());
        let mut parameters = self.parameters;
        let names: Vec<&str> = specs.iter().map(|spec| spec.name.as_str()).collect();
        parameters.list.retain(|parameter| names.contains(&parameter.spec.name.as_str()));
        parameters.list.sort_by_key(|parameter| names.iter().position(|name| *name == parameter.spec.name));
        Self { config: self.config, parameters, layout, tabular: None }
    }

    /// Puts a head over text and columns beside the encoder, its parameters behind all others under the names
    /// `tabular.…` and begun from `seed`. It is not written with the model: see [`Self::tabular_parameters`].
    pub fn attach_tabular(&mut self, shape: &TabularShape, settings: &TabularSettings, seed: u64) {
        let mut declare = Declaration::after(self.parameters.list.len(), self.config.initializer_range);
        declare.set_depth(self.config.num_hidden_layers + 1);
        let head = TabularHead::declare(shape, settings, &mut declare);
        for spec in declare.specs {
            let values = spec.initializer.values(spec.shape.iter().product(), seed, &spec.name);
            let value = Value::new(values, &spec.shape);
            self.parameters.list.push(Parameter::new(spec, value));
        }
        for &table in head.embeddings() {
            let parameter = &mut self.parameters.list[table.0];
            let (mut values, columns) = (parameter.value.to_vec(), parameter.spec.shape[1]);
            let unseen = values.len() - columns;
            values[unseen..].fill(0.0);
            parameter.set_value(Value::new(values, &parameter.spec.shape));
        }
        self.tabular = Some(head);
    }

    /// The head over text and columns, if one was attached.
    pub fn tabular(&self) -> Option<&TabularHead> {
        self.tabular.as_ref()
    }

    /// The parameters of that head, in their order; none without one.
    pub fn tabular_parameters(&self) -> &[Parameter] {
        &self.parameters.list[self.first_tabular()..]
    }

    /// The same, to be changed.
    pub fn tabular_parameters_mut(&mut self) -> &mut [Parameter] {
        let first = self.first_tabular();
        &mut self.parameters.list[first..]
    }

    fn first_tabular(&self) -> usize {
        let is_tabular = |parameter: &Parameter| {
            let rest = parameter.spec.name.strip_prefix(crate::heads::tabular::SCOPE);
            rest.is_some_and(|rest| rest.starts_with('.'))
        };
        let count = self.parameters.list.len();
        if self.tabular.is_none() {
            return count;
        }
        self.parameters.list.iter().position(is_tabular).unwrap_or(count)
    }

    /// Outputs of text vectors `[B, text]` and the columns beside them: `[B, outputs]`.
    ///
    /// # Panics
    /// If no such head was attached.
    pub fn tabular_logits(&self, pass: &Pass, text: Tensor<2>, rows: &RowColumns<'_>) -> Tensor<2> {
        self.tabular.as_ref().expect("the model has a head over columns").forward(pass, text, rows)
    }

    /// The precision of products from now on; f32 when loaded.
    pub fn set_precision(&mut self, precision: Precision) {
        self.parameters.set_precision(precision);
    }

    /// Whether training keeps only the blocks' inputs and computes the rest again: less memory, more time.
    pub fn set_gradient_checkpointing(&mut self, on: bool) {
        self.parameters.recompute = on;
    }

    /// Logits of each sequence: `[B, labels]`.
    ///
    /// # Panics
    /// If the model was loaded without a classification head.
    pub fn classification_logits(&self, pass: &Pass, hidden: Tensor<2>, batch: &PackedBatch) -> Tensor<2> {
        let head = self.layout.classification.as_ref().expect("the model has a classification head");
        head.forward(pass, hidden, batch)
    }

    /// What the output of the classification head takes of each sequence, with the dropout of the pass but for the last:
    /// `[B, features]`.
    ///
    /// # Panics
    /// If the model was loaded without a classification head.
    pub fn classification_features(&self, pass: &Pass, hidden: Tensor<2>, batch: &PackedBatch) -> Tensor<2> {
        let head = self.layout.classification.as_ref().expect("the model has a classification head");
        head.features(pass, hidden, batch)
    }

    /// Replaces the output of the classification head: `weight` `[labels, features]` row by row, `bias` `[labels]`. False,
    /// and nothing is changed, where the architecture's output has no bias.
    ///
    /// # Panics
    /// If the model was loaded without a classification head, or the sizes are others.
    pub fn set_classification_output(&mut self, weight: Vec<f32>, bias: Vec<f32>) -> bool {
        let head = self.layout.classification.as_ref().expect("the model has a classification head");
        let (weight_id, Some(bias_id)) = (head.output.weight.0, head.output.bias) else { return false };
        for (at, values) in [(weight_id, weight), (bias_id.0, bias)] {
            let parameter = &mut self.parameters.list[at];
            assert_eq!(
                values.len(),
                parameter.spec.shape.iter().product::<usize>(),
                "{}",
                parameter.spec.name
            );
            parameter.set_value(Value::new(values, &parameter.spec.shape));
        }
        true
    }

    /// The name of the word embedding, for masks and vocabulary work.
    pub fn word_embeddings(&self) -> &crate::parameters::Value {
        self.parameters.matrix(self.layout.encoder.word_embeddings())
    }
}
