//! A model: configuration, parameters, encoder and head.

use crate::architectures;
use crate::batch::PackedBatch;
use crate::checkpoint::{self, report::LoadReport};
use crate::config::Config;
use crate::error::Result;
use crate::heads::{
    AutoencoderHead, ClassificationHead, HeadKind, ReplacedTokenHead, RowColumns, TabularHead,
    TabularSettings, TabularShape, TokenHead,
};
use crate::layers::{Decoding, EncoderDecoder, Linear, NextToken, TextEncoder};
use crate::ops::block::Precision;
use crate::ops::{self, Activation};
use crate::parameters::{Declaration, Parameter, ParameterSpec, Parameters, Value};
use crate::pass::Pass;
use burn::Tensor;
use std::path::Path;
use std::sync::Arc;
use steep_kernels::in_pool;

/// What the names of an attached head begin with that predicts tokens.
const TOKEN_HEAD_SCOPE: &str = "mlm";
/// And those of a second encoder.
const TWIN_SCOPE: &str = "twin";

/// An encoder with its parameters and, if any, one head.
#[derive(Debug, Clone)]
pub struct Model {
    /// The checked `config.json`.
    pub config: Config,
    /// All parameters in declaration order.
    pub parameters: Parameters,
    pub(crate) layout: Layout,
    /// So many parameters are the model's own; others were attached.
    own: usize,
    tabular: Option<TabularHead>,
    twin: Option<Arc<dyn TextEncoder>>,
}

/// The layers of a model, without values.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    pub(crate) head_kind: HeadKind,
    /// Layers in all, those of a decoder included.
    num_layers: usize,
    encoder: Arc<dyn TextEncoder>,
    pooler: Option<Linear>,
    token_head: Option<TokenHead>,
    autoencoder: Option<AutoencoderHead>,
    classification: Option<ClassificationHead>,
    replaced_tokens: Option<ReplacedTokenHead>,
}

impl Layout {
    /// Declares every parameter of the model; `pooler` tells whether an unused pooler is kept.
    pub(crate) fn declare(config: &Config, head_kind: HeadKind, pooler: bool) -> (Self, Vec<ParameterSpec>) {
        let architecture = architectures::of(config.model_type);
        let mut declare = Declaration::new(config.initializer_range);
        let encoder =
            declare.scope(architecture.prefix(), |declare| architecture.encoder(config, head_kind, declare));
        let num_layers = declare.depth().saturating_sub(1);
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
        let token_head = matches!(head_kind, HeadKind::MaskedLm | HeadKind::CausalLm | HeadKind::Seq2Seq)
            .then(|| architecture.token_head(config, word_embeddings, &mut declare));
        let autoencoder = (head_kind == HeadKind::Autoencoder)
            .then(|| AutoencoderHead::declare(config, word_embeddings, &mut declare));
        let classification = match head_kind {
            HeadKind::SequenceClassification { num_labels } => {
                Some(architecture.classification(config, num_labels, pooler, &mut declare))
            }
            _ => None,
        };
        let replaced_tokens = match head_kind {
            HeadKind::ReplacedTokens { generator } => {
                architecture.replaced_tokens(config, generator, &mut declare)
            }
            _ => None,
        };
        let layout = Self {
            head_kind,
            num_layers,
            encoder,
            pooler,
            token_head,
            autoencoder,
            classification,
            replaced_tokens,
        };
        (layout, declare.specs)
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
        let own = parameters.list.len();
        Ok((Self { config, parameters, layout, own, tabular: None, twin: None }, report))
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
        in_pool(|| {
            let mut states = Vec::new();
            let last = self.layout.encoder.forward(pass, batch, &mut |state| states.push(state.clone()));
            states.push(last);
            states
        })
    }

    /// The last layer's state, `[T, H]`.
    pub fn last_hidden_state(&self, pass: &Pass, batch: &PackedBatch) -> Tensor<2> {
        in_pool(|| self.layout.encoder.forward(pass, batch, &mut |_| {}))
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

    /// Logits `[T, V]` of each token of `target`, given those before it and the text of the same number of `source`.
    ///
    /// # Panics
    /// If the model was loaded without a head that writes texts.
    pub fn seq2seq_logits(&self, pass: &Pass, source: &PackedBatch, target: &PackedBatch) -> Tensor<2> {
        let states = self.target_states(pass, source, target);
        self.writing_head().forward(pass, states)
    }

    /// Cross-entropy `[T]` of each token of `target`, given those before it and the text of the same number of `source`.
    /// `label_smoothing` is the share of the target's probability that all words of the vocabulary have in equal parts.
    ///
    /// # Panics
    /// If the model was loaded without a head that writes texts.
    pub fn seq2seq_losses(
        &self,
        pass: &Pass,
        source: &PackedBatch,
        target: &PackedBatch,
        label_smoothing: f32,
    ) -> Tensor<1> {
        let states = self.target_states(pass, source, target);
        self.writing_head().smoothed_losses(pass, states, target.input_ids.clone(), label_smoothing)
    }

    fn target_states(&self, pass: &Pass, source: &PackedBatch, target: &PackedBatch) -> Tensor<2> {
        let encoded = self.last_hidden_state(pass, source);
        let decoder = self.decoder();
        decoder.decoder_states(pass, &decoder.shifted(target), &encoded, &source.offsets)
    }

    fn writing_head(&self) -> &TokenHead {
        self.layout.token_head.as_ref().expect("the model has a head that predicts tokens")
    }

    fn decoder(&self) -> &EncoderDecoder {
        self.layout.encoder.decoder().expect("the model has a decoder")
    }

    /// Reads the texts of a batch, for which nothing is written yet.
    ///
    /// # Panics
    /// If the model was loaded without a head that writes texts.
    pub fn begin_decoding(&self, pass: &Pass, source: &PackedBatch) -> Decoding {
        let encoded = self.last_hidden_state(pass, source);
        self.decoder().begin(pass, &encoded, &source.offsets)
    }

    /// Writes one more token of each text that is being written: the logits `[N, V]` of the tokens after those.
    ///
    /// # Panics
    /// If the model was loaded without a head that writes texts.
    pub fn next_token_logits(&self, pass: &Pass, decoding: &mut Decoding, tokens: &[NextToken]) -> Tensor<2> {
        let states = self.decoder().step(pass, decoding, tokens);
        self.writing_head().forward(pass, states)
    }

    /// Cross-entropy of each token after the first of each sequence of `batch`, written again from `vectors` `[B, H]`.
    ///
    /// # Panics
    /// If the model was loaded without an autoencoder's head.
    pub fn autoencoder_losses(&self, pass: &Pass, vectors: Tensor<2>, batch: &PackedBatch) -> Tensor<1> {
        let head = self.layout.autoencoder.as_ref().expect("the model has an autoencoder's head");
        head.losses(pass, vectors, batch)
    }

    /// Layers in all, those of a decoder included.
    pub fn num_layers(&self) -> usize {
        self.layout.num_layers
    }

    /// The parameters that are written with the model, in their order.
    pub fn own_parameters(&self) -> &[Parameter] {
        &self.parameters.list[..self.own]
    }

    pub(crate) fn own_parameters_mut(&mut self) -> &mut [Parameter] {
        &mut self.parameters.list[..self.own]
    }

    /// The parameters that were attached for training, in their order: they are not written with the model.
    pub fn attached_parameters(&self) -> &[Parameter] {
        &self.parameters.list[self.own..]
    }

    /// The same, to be changed.
    pub fn attached_parameters_mut(&mut self) -> &mut [Parameter] {
        &mut self.parameters.list[self.own..]
    }

    /// Puts declared parameters behind all others, begun from `seed`.
    pub(crate) fn attach(&mut self, specs: Vec<ParameterSpec>, seed: u64) {
        for spec in specs {
            let values = spec.initializer.values(spec.shape.iter().product(), seed, &spec.name);
            let value = Value::new(values, &spec.shape);
            self.parameters.list.push(Parameter::new(spec, value));
        }
    }

    /// For each token of `hidden` [T, H] how much speaks for its being replaced: `[T]`.
    ///
    /// # Panics
    /// If the model was loaded without a head that finds replaced tokens.
    pub fn replaced_token_logits(&self, pass: &Pass, hidden: Tensor<2>) -> Tensor<1> {
        self.replaced_token_head().forward(pass, hidden)
    }

    /// The generator's logits over the vocabulary at the given rows of a masked batch: `[N, V]`.
    ///
    /// # Panics
    /// If the model was loaded without a generator.
    pub fn generator_logits(&self, pass: &Pass, masked: &PackedBatch, rows: Arc<[u32]>) -> Tensor<2> {
        let generator = self.replaced_token_head().generator.as_ref();
        generator.expect("the model has a generator").logits(pass, masked, rows)
    }

    fn replaced_token_head(&self) -> &ReplacedTokenHead {
        self.layout.replaced_tokens.as_ref().expect("the model has a head that finds replaced tokens")
    }

    /// The bare encoder of a model with a head; what was attached is left behind.
    #[must_use]
    pub fn without_head(self) -> Self {
        self.reduced_to(HeadKind::None)
    }

    /// The discriminator of a model that has a generator beside it.
    #[must_use]
    pub fn without_generator(self) -> Self {
        self.reduced_to(HeadKind::ReplacedTokens { generator: None })
    }

    /// What of the model a model with that head has.
    fn reduced_to(self, head_kind: HeadKind) -> Self {
        let (layout, specs) = Layout::declare(&self.config, head_kind, self.layout.pooler.is_some());
        let mut parameters = self.parameters;
        let names: Vec<&str> = specs.iter().map(|spec| spec.name.as_str()).collect();
        parameters.list.retain(|parameter| names.contains(&parameter.spec.name.as_str()));
        parameters.list.sort_by_key(|parameter| names.iter().position(|name| *name == parameter.spec.name));
        let own = parameters.list.len();
        Self { config: self.config, parameters, layout, own, tabular: None, twin: None }
    }

    /// Puts a head over text and columns beside the encoder, its parameters behind all others under the names
    /// `tabular.…` and begun from `seed`. It is not written with the model: see [`Self::tabular_parameters`].
    pub fn attach_tabular(&mut self, shape: &TabularShape, settings: &TabularSettings, seed: u64) {
        let mut declare = Declaration::after(self.parameters.list.len(), self.config.initializer_range);
        declare.set_depth(self.num_layers() + 1);
        declare.set_optional();
        let head = TabularHead::declare(shape, settings, &mut declare);
        self.attach(declare.specs, seed);
        for &table in head.embeddings() {
            let parameter = &mut self.parameters.list[table.0];
            let (mut values, columns) = (parameter.value.to_vec(), parameter.spec.shape[1]);
            let unseen = values.len() - columns;
            values[unseen..].fill(0.0);
            parameter.set_value(Value::new(values, &parameter.spec.shape));
        }
        self.tabular = Some(head);
    }

    /// Puts the head that predicts masked tokens beside another one, its parameters behind all others under names that
    /// begin with `mlm.`, with the values of the folder, or begun from `seed` where it has none. It is not written with
    /// the model.
    ///
    /// # Errors
    /// A family without such a head; a folder that cannot be read.
    pub fn attach_token_head(&mut self, folder: &Path, seed: u64) -> Result<()> {
        let (donor, _) = Self::load_with(folder, self.config.clone(), HeadKind::MaskedLm, seed)?;
        let mut declare = Declaration::after(self.parameters.list.len(), self.config.initializer_range);
        declare.set_depth(self.num_layers() + 1);
        declare.set_optional();
        let (architecture, word) =
            (architectures::of(self.config.model_type), self.layout.encoder.word_embeddings());
        let head =
            declare.scope(TOKEN_HEAD_SCOPE, |declare| architecture.token_head(&self.config, word, declare));
        for spec in declare.specs {
            let name = &spec.name[TOKEN_HEAD_SCOPE.len() + 1..];
            let value = donor.parameters.get(name).expect("the donor declared the same head").value.clone();
            self.parameters.list.push(Parameter::new(spec, value));
        }
        self.layout.token_head = Some(head);
        Ok(())
    }

    /// Puts a second encoder beside this one that has its present values and learns by itself, its parameters behind all
    /// others under names that begin with `twin.`. It is not written with the model.
    pub fn attach_twin(&mut self) {
        let mut declare = Declaration::after(self.parameters.list.len(), self.config.initializer_range);
        let architecture = architectures::of(self.config.model_type);
        let twin = declare.scope(TWIN_SCOPE, |declare| {
            let encoder = |declare: &mut Declaration| {
                architecture.encoder(&self.config, self.layout.head_kind, declare)
            };
            declare.scope(architecture.prefix(), encoder)
        });
        for spec in declare.specs {
            let name = &spec.name[TWIN_SCOPE.len() + 1..];
            let value = self.parameters.get(name).expect("the encoder has the same parameters").value.clone();
            self.parameters.list.push(Parameter::new(spec, value));
        }
        self.twin = Some(twin);
    }

    /// The second encoder's last state, `[T, H]`.
    ///
    /// # Panics
    /// If none was attached.
    pub fn twin_hidden_state(&self, pass: &Pass, batch: &PackedBatch) -> Tensor<2> {
        let twin = self.twin.as_ref().expect("the model has a second encoder");
        in_pool(|| twin.forward(pass, batch, &mut |_| {}))
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
