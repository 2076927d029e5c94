//! Encoder-decoders in the way of BART (Lewis et al. 2020): two stacks of the same layers, of which one listens to the
//! other; read at once, or written a token at a time.

use super::{AttentionHeads, Encoder, EncoderLayer, Linear, Norm, TextEncoder};
use crate::batch::PackedBatch;
use crate::ops;
use crate::parameters::MatrixId;
use crate::pass::Pass;
use burn::Tensor;
use std::sync::Arc;

/// What a decoder layer hears of the encoder, between its two halves.
#[derive(Debug)]
pub(crate) struct CrossAttention {
    pub(crate) query: Linear,
    pub(crate) key: Linear,
    pub(crate) value: Linear,
    pub(crate) output: Linear,
    pub(crate) norm: Norm,
}

/// Embeddings and layers of one side.
#[derive(Debug)]
pub(crate) struct Stack {
    pub(crate) parts: Encoder,
    /// Of each layer, in a decoder.
    pub(crate) cross: Vec<CrossAttention>,
    pub(crate) heads: AttentionHeads,
    /// LayerNorm after the last layer. Where there is one, each part of a layer is normalised before it instead of after
    /// it (mBART).
    pub(crate) final_norm: Option<Norm>,
}

/// What the encoder told: keys and values of each decoder layer, `[S, H]` each, and where each text of them begins.
#[derive(Debug, Clone)]
pub(crate) struct Heard {
    parts: Vec<[Tensor<2>; 2]>,
    offsets: Arc<[u32]>,
}

impl Stack {
    /// The last states `[T, H]`; those of a decoder listen to what was heard, sequence by sequence.
    fn states(
        &self,
        pass: &Pass,
        batch: &PackedBatch,
        heard: Option<&Heard>,
        visit: &mut dyn FnMut(&Tensor<2>),
    ) -> Tensor<2> {
        let mut state = self.parts.embeddings.forward(pass, batch);
        for (index, layer) in self.parts.layers.iter().enumerate() {
            visit(&state);
            state = if self.final_norm.is_none() {
                self.parts.attention(layer, pass, state, None, batch)
            } else {
                let attend = |parts| self.heads.attend(pass, batch, parts, None, self.parts.visibility);
                self.attention(layer, pass, state, attend)
            };
            if let Some(heard) = heard {
                state = self.listen(index, pass, state, &batch.offsets, heard);
            }
            state = self.feed_forward(layer, pass, state);
        }
        self.finish(pass, state)
    }

    fn finish(&self, pass: &Pass, state: Tensor<2>) -> Tensor<2> {
        match &self.final_norm {
            Some(norm) => norm.forward(pass, state),
            None => state,
        }
    }

    /// The first half of a layer; `attend` makes contexts of queries, keys and values.
    fn attention(
        &self,
        layer: &EncoderLayer,
        pass: &Pass,
        x: Tensor<2>,
        attend: impl FnOnce([Tensor<2>; 3]) -> Tensor<2>,
    ) -> Tensor<2> {
        let input = self.before(pass, &layer.attention_norm, &x);
        let parts = [layer.query, layer.key, layer.value].map(|part| part.forward(pass, input.clone()));
        let output = layer.attention_output.forward(pass, attend(parts));
        self.after(pass, &layer.attention_norm, output, x)
    }

    /// Between the halves: queries at `offsets` listen to what was heard of the text of the same number.
    fn listen(
        &self,
        index: usize,
        pass: &Pass,
        x: Tensor<2>,
        offsets: &Arc<[u32]>,
        heard: &Heard,
    ) -> Tensor<2> {
        let cross = &self.cross[index];
        let query = cross.query.forward(pass, self.before(pass, &cross.norm, &x));
        let [key, value] = heard.parts[index].clone();
        let context = self.heads.attend_to(pass, offsets, [query, key, value], &heard.offsets);
        let output = cross.output.forward(pass, context);
        self.after(pass, &cross.norm, output, x)
    }

    fn feed_forward(&self, layer: &EncoderLayer, pass: &Pass, x: Tensor<2>) -> Tensor<2> {
        if self.final_norm.is_none() {
            return self.parts.feed_forward(layer, pass, x);
        }
        let input = self.before(pass, &layer.output_norm, &x);
        let inner = layer.intermediate.forward_activation(pass, input, self.parts.activation);
        let inner = ops::dropout(inner, pass.dropout(self.parts.activation_dropout));
        self.after(pass, &layer.output_norm, layer.output.forward(pass, inner), x)
    }

    /// What a part of a layer reads.
    fn before(&self, pass: &Pass, norm: &Norm, x: &Tensor<2>) -> Tensor<2> {
        if self.final_norm.is_some() { norm.forward(pass, x.clone()) } else { x.clone() }
    }

    /// What a part of a layer leaves, from its output and its input.
    fn after(&self, pass: &Pass, norm: &Norm, output: Tensor<2>, x: Tensor<2>) -> Tensor<2> {
        let dropout = pass.dropout(self.parts.output_dropout);
        if self.final_norm.is_some() {
            return x + ops::dropout(output, dropout);
        }
        norm.forward_sum(pass, output, x, dropout)
    }

    /// What each layer hears of the encoder's states `[S, H]`.
    fn hear(&self, pass: &Pass, encoded: &Tensor<2>, offsets: &Arc<[u32]>) -> Heard {
        let parts = self
            .cross
            .iter()
            .map(|cross| [&cross.key, &cross.value].map(|part| part.forward(pass, encoded.clone())));
        Heard { parts: parts.collect(), offsets: offsets.clone() }
    }
}

/// What a decoder reads before the first token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DecoderStart {
    /// This token.
    Token(u32),
    /// The last token of what it is to write: the language, in mBART.
    LastToken,
}

/// Which states are those of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum States {
    /// The encoder's.
    Encoder,
    /// The decoder's, which reads the text again, a token late.
    Decoder,
}

/// Both sides.
#[derive(Debug)]
pub(crate) struct EncoderDecoder {
    pub(crate) encoder: Stack,
    pub(crate) decoder: Stack,
    pub(crate) start: DecoderStart,
    pub(crate) states: States,
}

impl TextEncoder for EncoderDecoder {
    fn forward(&self, pass: &Pass, batch: &PackedBatch, visit: &mut dyn FnMut(&Tensor<2>)) -> Tensor<2> {
        let encoded = self.encoder.states(pass, batch, None, visit);
        match self.states {
            States::Encoder => encoded,
            States::Decoder => {
                visit(&encoded);
                self.decoder_states(pass, &self.shifted(batch), &encoded, &batch.offsets)
            }
        }
    }

    fn word_embeddings(&self) -> MatrixId {
        self.encoder.parts.embeddings.word
    }

    fn decoder(&self) -> Option<&EncoderDecoder> {
        Some(self)
    }
}

/// The encoder alone.
impl TextEncoder for Stack {
    fn forward(&self, pass: &Pass, batch: &PackedBatch, visit: &mut dyn FnMut(&Tensor<2>)) -> Tensor<2> {
        self.states(pass, batch, None, visit)
    }

    fn word_embeddings(&self) -> MatrixId {
        self.parts.embeddings.word
    }
}

impl EncoderDecoder {
    /// What the decoder reads to predict these tokens.
    pub(crate) fn shifted(&self, batch: &PackedBatch) -> PackedBatch {
        match self.start {
            DecoderStart::Token(token) => batch.shifted_right(|_| token),
            DecoderStart::LastToken => batch.shifted_right(|text| text[text.len() - 1]),
        }
    }

    /// The decoder's states `[T, H]` of a batch whose sequences listen to `encoded` `[S, H]`, sequence by sequence.
    pub(crate) fn decoder_states(
        &self,
        pass: &Pass,
        batch: &PackedBatch,
        encoded: &Tensor<2>,
        encoded_offsets: &Arc<[u32]>,
    ) -> Tensor<2> {
        let heard = self.decoder.hear(pass, encoded, encoded_offsets);
        self.decoder.states(pass, batch, Some(&heard), &mut |_| {})
    }

    /// Nothing written yet to texts whose states are `encoded` `[S, H]`.
    pub(crate) fn begin(&self, pass: &Pass, encoded: &Tensor<2>, offsets: &Arc<[u32]>) -> Decoding {
        let heard = self.decoder.hear(pass, encoded, offsets);
        Decoding { heard, written: Vec::new(), rows: 0, histories: Vec::new() }
    }

    /// The decoder's states `[N, H]` at the next tokens, one a text that is being written.
    pub(crate) fn step(&self, pass: &Pass, decoding: &mut Decoding, tokens: &[NextToken]) -> Tensor<2> {
        let stack = &self.decoder;
        let decoding_step = decoding.append(tokens);
        let ids = tokens.iter().map(|next| next.token).collect();
        let places = decoding.places(stack.parts.embeddings.first_position);
        let mut state = stack.parts.embeddings.forward_at(pass, ids, places, None);
        for (index, layer) in stack.parts.layers.iter().enumerate() {
            let attend = |[query, key, value]: [Tensor<2>; 3]| {
                let [key, value] = decoding.remember(index, [key, value], &decoding_step.rows);
                stack.heads.attend_to(pass, &decoding_step.queries, [query, key, value], &decoding_step.keys)
            };
            state = stack.attention(layer, pass, state, attend);
            state = stack.listen(index, pass, state, &decoding_step.texts, &decoding.heard);
            state = stack.feed_forward(layer, pass, state);
        }
        stack.finish(pass, state)
    }
}

/// One more token of a text that is being written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NextToken {
    /// The text that it continues, by its place in the step before; of no meaning in the first step.
    pub parent: usize,
    /// The text that is read for it, by its place in the batch. Never decreases along a step.
    pub source: usize,
    /// The token.
    pub token: u32,
}

/// Texts that are being written, with the keys and values of all that was written.
///
/// Keys and values stand where they were put, and a text is a list of their rows, so that texts that part after a common
/// beginning share it and nothing is moved when some are given up.
#[derive(Debug)]
pub struct Decoding {
    heard: Heard,
    /// Of each layer, `[rows, H]` each.
    written: Vec<[Tensor<2>; 2]>,
    rows: u32,
    /// The rows of each text.
    histories: Vec<Vec<u32>>,
}

/// Who listens to what in a step.
struct Step {
    /// One query a text.
    queries: Arc<[u32]>,
    /// Where the keys of each text begin, among `rows`.
    keys: Arc<[u32]>,
    rows: Arc<[u32]>,
    /// Where the texts written for each source begin.
    texts: Arc<[u32]>,
}

impl Decoding {
    fn append(&mut self, tokens: &[NextToken]) -> Step {
        let rows = self.rows..self.rows + tokens.len() as u32;
        self.rows = rows.end;
        let continued = |next: &NextToken| self.histories.get(next.parent).cloned().unwrap_or_default();
        let histories = tokens.iter().zip(rows).map(|(next, row)| [continued(next), vec![row]].concat());
        self.histories = histories.collect();
        let mut keys = vec![0];
        keys.extend(self.histories.iter().scan(0, |end, history| {
            *end += history.len() as u32;
            Some(*end)
        }));
        let sources = self.heard.offsets.len() as u32;
        let before = |source: u32| tokens.partition_point(|next| (next.source as u32) < source) as u32;
        Step {
            queries: (0..=tokens.len() as u32).collect(),
            keys: keys.into(),
            rows: self.histories.concat().into(),
            texts: (0..sources).map(before).collect(),
        }
    }

    /// Position ids of the last tokens.
    fn places(&self, first: u32) -> Arc<[u32]> {
        self.histories.iter().map(|history| first + history.len() as u32 - 1).collect()
    }

    /// Puts new keys and values of a layer behind those that are there, and gives those at `rows`.
    fn remember(&mut self, layer: usize, new: [Tensor<2>; 2], rows: &Arc<[u32]>) -> [Tensor<2>; 2] {
        match self.written.get_mut(layer) {
            None => self.written.push(new),
            Some(written) => {
                let mut new = new.into_iter();
                *written = written
                    .clone()
                    .map(|old| Tensor::cat(std::iter::once(old).chain(new.next()).collect(), 0));
            }
        }
        self.written[layer].clone().map(|all| ops::embedding(all, rows.clone()))
    }
}
