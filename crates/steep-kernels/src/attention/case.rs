//! What the tests of attention share: a case, run and compared with the definition.

use super::backward::{Gradients, Outputs, in_parallel as backward_in_parallel};
use super::forward::{Inputs as Arguments, in_parallel as forward_in_parallel};
use super::reference::{Inputs, Reference, Results};
use super::route::Route;
use super::*;
use crate::dropout::Dropout;
use crate::gemm::Element;
use crate::testing::{numbers, wide};

/// Inputs of an attention; everything but sizes is derived from fixed seeds.
#[derive(Clone)]
pub(super) struct Case {
    pub(super) offsets: Vec<u32>,
    pub(super) key_offsets: Option<Vec<u32>>,
    pub(super) num_heads: usize,
    pub(super) head_dim: usize,
    pub(super) visibility: Visibility,
    pub(super) max_distance: Option<usize>,
    pub(super) dropout: Dropout,
    pub(super) route: Route,
}

/// The largest differences, relative to 1 + |expected|, that are allowed in the context and in the gradients.
pub(super) struct Tolerance {
    pub(super) context: f64,
    pub(super) gradients: f64,
    pub(super) bias: f64,
}

/// f32 sums in f32.
pub(super) const EXACT: Tolerance = Tolerance { context: 3e-6, gradients: 2e-5, bias: 2e-5 };

/// bf16 has 8 bits: an operand or result is off by up to 2^-9 of itself; the gradient of a bias sums such errors over all
/// queries, which grow as the root of their number.
pub(super) const ROUNDED: Tolerance = Tolerance { context: 8e-3, gradients: 3e-2, bias: 4e-2 };

pub(super) struct Outcome<E> {
    pub(super) context: Vec<E>,
    pub(super) log_sum_exp: Vec<f32>,
    /// Of query, key and value.
    pub(super) gradients: [Vec<E>; 3],
    pub(super) dbias: Vec<f32>,
}

impl<E: Element> Outcome<E> {
    pub(super) fn bits(&self) -> Vec<u32> {
        let [dquery, dkey, dvalue] = &self.gradients;
        let elements =
            [&self.context, dquery, dkey, dvalue].into_iter().flatten().map(|value| value.to_f32());
        elements.chain(self.log_sum_exp.iter().chain(&self.dbias).copied()).map(f32::to_bits).collect()
    }
}

pub(super) fn offsets(lengths: &[u32]) -> Vec<u32> {
    let mut offsets = vec![0];
    offsets.extend(lengths.iter().scan(0, |end, length| {
        *end += length;
        Some(*end)
    }));
    offsets
}

pub(super) fn elements<E: Element>(values: &[f32]) -> Vec<E> {
    values.iter().map(|value| E::from_f32(*value)).collect()
}

impl Case {
    pub(super) fn new(lengths: &[u32], num_heads: usize, head_dim: usize) -> Self {
        Self {
            offsets: offsets(lengths),
            key_offsets: None,
            num_heads,
            head_dim,
            visibility: Visibility::Bidirectional,
            max_distance: None,
            dropout: Dropout::NONE,
            route: Route::best(),
        }
    }

    pub(super) fn shape(&self) -> AttentionShape<'_> {
        AttentionShape {
            offsets: &self.offsets,
            key_offsets: self.key_offsets.as_deref(),
            num_heads: self.num_heads,
            head_dim: self.head_dim,
            visibility: self.visibility,
        }
    }

    pub(super) fn hidden(&self) -> usize {
        self.num_heads * self.head_dim
    }

    /// Elements of query and key matrices.
    pub(super) fn sizes(&self) -> [usize; 2] {
        let all = self.shape().sequences();
        [self.shape().query_tokens(&all), self.shape().key_tokens(&all)].map(|tokens| tokens * self.hidden())
    }

    pub(super) fn scale(&self) -> f32 {
        0.7 / (self.head_dim as f32).sqrt()
    }

    /// Inputs that E holds exactly.
    pub(super) fn inputs<E: Element>(&self) -> Inputs<f32> {
        let columns = self.max_distance.map_or(0, |distance| 2 * distance + 1);
        let [queries, keys] = self.sizes();
        let round = |value: f32| E::from_f32(2.0 * value).to_f32();
        let random = |length, seed| numbers(length, seed).into_iter().map(round).collect();
        [random(queries, 1), random(keys, 2), random(keys, 3), numbers(self.num_heads * columns, 4)]
    }

    pub(super) fn dcontext<E: Element>(&self) -> Vec<f32> {
        numbers(self.sizes()[0], 5).into_iter().map(|value| E::from_f32(value).to_f32()).collect()
    }

    /// Query, key and value, and their gradients, share one buffer each, as in a model, unless queries and keys differ.
    pub(super) fn run<E: Element>(&self) -> Outcome<E> {
        let [query, key, value, bias] = self.inputs::<E>();
        let [query, key, value] = [query, key, value].map(|values| elements::<E>(&values));
        let hidden = self.hidden();
        let nan = E::from_f32(f32::NAN);
        if self.key_offsets.is_some() {
            let inputs = [&query, &key, &value].map(|values| View { values: &values[..], stride: hidden });
            let mut gradients = [query.clone(), key.clone(), value.clone()];
            gradients.iter_mut().for_each(|gradient| gradient.fill(nan));
            let targets = gradients.each_mut().map(|gradient| ViewMut::new(gradient, hidden));
            let (context, log_sum_exp, dbias) = self.run_on(inputs, &bias, targets);
            return Outcome { context, log_sum_exp, gradients, dbias };
        }
        let rows = query.chunks(hidden).zip(key.chunks(hidden)).zip(value.chunks(hidden));
        let packed: Vec<E> = rows.flat_map(|((query, key), value)| [query, key, value].concat()).collect();
        let mut gradients = vec![nan; packed.len()];
        let (context, log_sum_exp, dbias) = self.run_on(
            View::split(&packed, [hidden; 3]),
            &bias,
            ViewMut::split(&mut gradients, [hidden; 3]),
        );
        let part = |which: usize| {
            gradients.chunks(3 * hidden).flat_map(|row| row[which * hidden..][..hidden].to_vec()).collect()
        };
        Outcome { context, log_sum_exp, gradients: [part(0), part(1), part(2)], dbias }
    }

    /// Context, log-sum-exp and gradient of the bias.
    pub(super) fn run_on<E: Element>(
        &self,
        [query, key, value]: [View<E>; 3],
        bias: &[f32],
        [dquery, dkey, dvalue]: [ViewMut<E>; 3],
    ) -> (Vec<E>, Vec<f32>, Vec<f32>) {
        let position_bias = self.max_distance.map(|max_distance| PositionBias { values: bias, max_distance });
        let shape = self.shape();
        let hidden = self.hidden();
        let size = self.sizes()[0];
        let mut context = vec![E::from_f32(f32::NAN); size];
        let mut log_sum_exp = vec![f32::NAN; size / self.head_dim];
        let mut dbias = vec![f32::NAN; bias.len()];
        let target = ViewMut::new(&mut context, hidden);
        let arguments = || Arguments {
            query,
            key,
            value,
            position_bias,
            scale: self.scale(),
            dropout: self.dropout,
            shape,
            sequences: shape.sequences(),
        };
        forward_in_parallel(arguments(), target, &mut log_sum_exp, self.route);
        let outputs = Outputs {
            context: View { values: &context, stride: hidden },
            log_sum_exp: &log_sum_exp,
            dcontext: View { values: &elements(&self.dcontext::<E>()), stride: hidden },
        };
        let gradients = Gradients { dquery, dkey, dvalue };
        let dbias_target = position_bias.is_some().then_some(&mut dbias[..]);
        backward_in_parallel(arguments(), outputs, gradients, dbias_target, self.route);
        (context, log_sum_exp, dbias)
    }

    pub(super) fn reference(&self, inputs: &Inputs<f64>, dcontext: &[f64]) -> Results {
        let reference = Reference {
            shape: self.shape(),
            scale: f64::from(self.scale()),
            dropout: self.dropout,
            max_distance: self.max_distance,
        };
        reference.results(inputs, dcontext)
    }

    pub(super) fn expected<E: Element>(&self) -> Results {
        self.reference(&self.inputs::<E>().map(|values| wide(&values)), &wide(&self.dcontext::<E>()))
    }

    pub(super) fn check<E: Element>(&self, tolerance: &Tolerance) {
        let (outcome, expected) = (self.run::<E>(), self.expected::<E>());
        close("context", &outcome.context, &expected.context, tolerance.context);
        close("log_sum_exp", &outcome.log_sum_exp, &expected.log_sum_exp, 3e-6);
        let names = ["dquery", "dkey", "dvalue"];
        for (which, gradient) in outcome.gradients.iter().enumerate() {
            close(names[which], gradient, &expected.gradients[which], tolerance.gradients);
        }
        let queries = f64::from(self.offsets[self.offsets.len() - 1]).max(1.0);
        close("dbias", &outcome.dbias, &expected.gradients[3], tolerance.bias * queries.sqrt());
    }
}

pub(super) fn close<E: Element>(name: &str, values: &[E], expected: &[f64], tolerance: f64) {
    assert_eq!(values.len(), expected.len());
    for (index, (value, expected)) in values.iter().zip(expected).enumerate() {
        let value = f64::from(value.to_f32());
        let fits = value == *expected || (value - expected).abs() <= tolerance * (1.0 + expected.abs());
        assert!(fits, "{name} {index}: {value} instead of {expected}");
    }
}

/// Each kind of attention, with sequences that are empty, of one token and longer.
pub(super) fn kinds(num_heads: usize, head_dim: usize) -> Vec<Case> {
    let plain = Case::new(&[3, 0, 1, 7], num_heads, head_dim);
    let cross = |queries: &[u32], keys: &[u32]| Case {
        key_offsets: Some(offsets(keys)),
        ..Case::new(queries, num_heads, head_dim)
    };
    vec![
        plain.clone(),
        Case { dropout: Dropout { probability: 0.3, seed: 9 }, ..plain.clone() },
        Case { visibility: Visibility::Causal, ..plain.clone() },
        Case { visibility: Visibility::SlidingWindow { reach: 2 }, ..plain.clone() },
        Case { visibility: Visibility::SlidingWindow { reach: 0 }, ..plain.clone() },
        Case {
            max_distance: Some(9),
            dropout: Dropout { probability: 0.2, seed: 1 },
            ..Case::new(&[0, 5, 1, 0, 7, 0], num_heads, head_dim)
        },
        cross(&[3, 2, 0, 5], &[4, 0, 6, 1]),
        Case { visibility: Visibility::Causal, ..cross(&[4, 2], &[2, 6]) },
        Case {
            visibility: Visibility::SlidingWindow { reach: 1 },
            max_distance: Some(6),
            dropout: Dropout { probability: 0.2, seed: 4 },
            ..cross(&[7, 1, 3], &[2, 5, 3])
        },
    ]
}
