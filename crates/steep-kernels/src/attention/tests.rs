use super::*;
use crate::dispatch::Path;
use crate::testing::{assert_close, bits, dot, finite_differences, numbers, same_for_any_thread_count, wide};

/// Inputs of an attention; everything but sizes is derived from fixed seeds.
struct Case {
    offsets: Vec<u32>,
    num_heads: usize,
    head_dim: usize,
    max_distance: Option<usize>,
    dropout: Dropout,
}

/// Query, key, value and bias.
type Inputs<T> = [Vec<T>; 4];

#[derive(Debug)]
struct Outcome {
    out: Vec<f32>,
    gradients: Inputs<f32>,
}

impl Case {
    fn new(lengths: &[u32], num_heads: usize, head_dim: usize) -> Self {
        let mut offsets = vec![0];
        offsets.extend(lengths.iter().scan(0, |end, length| {
            *end += length;
            Some(*end)
        }));
        Self { offsets, num_heads, head_dim, max_distance: None, dropout: Dropout::NONE }
    }

    fn shape(&self) -> AttentionShape<'_> {
        AttentionShape { offsets: &self.offsets, num_heads: self.num_heads, head_dim: self.head_dim }
    }

    fn size(&self) -> usize {
        self.shape().tokens() * self.shape().features()
    }

    fn scale(&self) -> f32 {
        0.7 / (self.head_dim as f32).sqrt()
    }

    fn inputs(&self) -> Inputs<f32> {
        let columns = self.max_distance.map_or(0, |distance| 2 * distance + 1);
        let twice = |seed| numbers(self.size(), seed).into_iter().map(|x| 2.0 * x).collect();
        [twice(1), twice(2), twice(3), numbers(self.num_heads * columns, 4)]
    }

    fn dout(&self) -> Vec<f32> {
        numbers(self.size(), 5)
    }

    fn run(&self) -> Outcome {
        let [query, key, value, bias] = self.inputs();
        let position_bias =
            self.max_distance.map(|max_distance| PositionBias { values: &bias, max_distance });
        let shape = self.shape();
        let nan = |length: usize| vec![f32::NAN; length];
        let (mut out, mut log_sum_exp) = (nan(self.size()), nan(shape.tokens() * self.num_heads));
        attention_forward(
            &query,
            &key,
            &value,
            position_bias,
            self.scale(),
            self.dropout,
            &mut out,
            &mut log_sum_exp,
            shape,
        );
        let (mut dquery, mut dkey, mut dvalue, mut dbias) =
            (nan(self.size()), nan(self.size()), nan(self.size()), nan(bias.len()));
        attention_backward(
            &query,
            &key,
            &value,
            position_bias,
            self.scale(),
            self.dropout,
            &out,
            &log_sum_exp,
            &self.dout(),
            &mut dquery,
            &mut dkey,
            &mut dvalue,
            self.max_distance.map(|_| &mut dbias[..]),
            shape,
        );
        Outcome { out, gradients: [dquery, dkey, dvalue, dbias] }
    }

    /// The output by the definition, in f64.
    fn reference(&self, inputs: &Inputs<f64>) -> Vec<f64> {
        let shape = self.shape();
        let mut out = vec![0.0; self.size()];
        for index in 0..(self.offsets.len() - 1) * self.num_heads {
            let task = shape.task(index);
            for query in 0..task.length {
                self.reference_row(inputs, task, query, &mut out);
            }
        }
        out
    }

    fn reference_row(&self, [query, key, value, bias]: &Inputs<f64>, task: Task, i: usize, out: &mut [f64]) {
        let shape = self.shape();
        let at = |token: usize, feature: usize| shape.position(task, token) + feature;
        let scores: Vec<f64> = (0..task.length)
            .map(|j| {
                let dot: f64 = (0..self.head_dim).map(|f| query[at(i, f)] * key[at(j, f)]).sum();
                let bias = self.max_distance.map_or(0.0, |m| bias[task.head * (2 * m + 1) + m + j - i]);
                dot * f64::from(self.scale()) + bias
            })
            .collect();
        let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let total: f64 = scores.iter().map(|score| (score - largest).exp()).sum();
        for (j, score) in scores.iter().enumerate() {
            let high = (task.start * self.num_heads + task.head) as u64;
            let keep = self.dropout.keep_scale((high << 32) + (i * task.length + j) as u64);
            let probability = (score - largest).exp() / total * f64::from(keep);
            for f in 0..self.head_dim {
                out[at(i, f)] += probability * value[at(j, f)];
            }
        }
    }

    fn check(&self) {
        let outcome = self.run();
        let inputs = self.inputs().map(|values| wide(&values));
        assert_close(&outcome.out, &self.reference(&inputs), 3e-6);
        for (which, gradient) in outcome.gradients.iter().enumerate() {
            let expected = finite_differences(&inputs[which], |moved| {
                let mut inputs = inputs.clone();
                inputs[which] = moved.to_vec();
                dot(&self.reference(&inputs), &self.dout())
            });
            assert_close(gradient, &expected, 2e-5);
        }
    }
}

#[test]
fn values_and_gradients_match_the_definition() {
    for (num_heads, head_dim) in [(1, 1), (2, 5), (3, 8)] {
        let case = Case::new(&[3, 0, 1, 7], num_heads, head_dim);
        case.check();
        Case { dropout: Dropout { probability: 0.3, seed: 9 }, ..case }.check();
    }
    Case {
        max_distance: Some(9),
        dropout: Dropout { probability: 0.2, seed: 1 },
        ..Case::new(&[0, 5, 1, 0, 7, 0], 2, 3)
    }
    .check();
}

#[test]
fn long_sequences_match_the_definition() {
    for (lengths, num_heads, head_dim) in [(&[33, 65, 1, 100][..], 2, 32), (&[16, 47], 1, 64)] {
        let case = Case { max_distance: Some(100), ..Case::new(lengths, num_heads, head_dim) };
        let inputs = case.inputs().map(|values| wide(&values));
        assert_close(&case.run().out, &case.reference(&inputs), 5e-6);
    }
    Case { max_distance: Some(34), ..Case::new(&[35], 1, 2) }.check();
}

#[test]
fn a_batch_may_be_empty() {
    Case::new(&[], 2, 4).check();
    Case { max_distance: Some(0), ..Case::new(&[0, 0], 2, 4) }.check();
}

#[test]
fn a_sequence_alone_equals_the_sequence_in_a_batch() {
    let case = Case::new(&[9, 50, 17], 2, 16);
    let [query, key, value, _] = case.inputs();
    let whole = case.run().out;
    let part = 9 * 32..59 * 32;
    let alone = AttentionShape { offsets: &[0, 50], ..case.shape() };
    let (mut out, mut log_sum_exp) = (vec![0.0; part.len()], vec![0.0; 100]);
    attention_forward(
        &query[part.clone()],
        &key[part.clone()],
        &value[part.clone()],
        None,
        case.scale(),
        Dropout::NONE,
        &mut out,
        &mut log_sum_exp,
        alone,
    );
    assert_eq!(bits(&out), bits(&whole[part]));
}

#[test]
fn threads_do_not_change_the_bits() {
    let case = Case {
        max_distance: Some(130),
        dropout: Dropout { probability: 0.1, seed: 2 },
        ..Case::new(&[128, 3, 0, 77, 1, 16, 16, 130], 4, 32)
    };
    same_for_any_thread_count(|| {
        let outcome = case.run();
        [vec![outcome.out], outcome.gradients.to_vec()].concat().concat()
    });
}

#[test]
fn softmax_has_the_same_bits_on_every_path() {
    let (length, stride, rows) = (37, 48, 5);
    let bias = numbers(2 * 40 + 1, 1);
    let scoring = rows::Scoring {
        length,
        stride,
        scale: 0.3,
        bias: Some(HeadBias { values: &bias, max_distance: 40 }),
        mask: Dropout { probability: 0.2, seed: 3 }.mask(5),
    };
    let results: Vec<_> = Path::available()
        .into_iter()
        .map(|path| {
            let mut scores = numbers(rows * stride, 2);
            let (mut log_sum_exp, mut inverse_sum) = (vec![0.0; rows], vec![0.0; rows]);
            let out = rows::Normalisers { log_sum_exp: &mut log_sum_exp, inverse_sum: &mut inverse_sum };
            rows::softmax(path, scoring, 4, &mut scores, out);
            let mut raw = numbers(rows * stride, 2);
            let mut gradients = numbers(rows * stride, 3);
            let mut dbias = vec![0.0; 2 * length - 1];
            let block = rows::BackwardRows {
                scores: &mut raw,
                gradients: &mut gradients,
                log_sum_exp: &log_sum_exp,
                output_dot: &numbers(rows, 4),
                dbias: Some(&mut dbias),
            };
            rows::softmax_backward(path, scoring, 4, block);
            bits(&[scores, log_sum_exp, inverse_sum, raw, gradients, dbias].concat())
        })
        .collect();
    assert!(results.iter().all(|result| *result == results[0]));
}

#[test]
#[should_panic(expected = "max_distance")]
fn too_short_a_bias_is_refused() {
    Case { max_distance: Some(1), ..Case::new(&[3], 1, 2) }.run();
}
