use super::*;
use crate::testing::{assert_close, bits, dot, finite_differences, numbers, same_for_any_thread_count, wide};

const EPSILON: f32 = 1e-5;

fn reference(h: &[f64], gamma: &[f64], beta: &[f64]) -> Vec<f64> {
    let features = gamma.len();
    let mut y = Vec::new();
    for row in h.chunks(features) {
        let mean = row.iter().sum::<f64>() / features as f64;
        let variance = row.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / features as f64;
        let deviation = (variance + f64::from(EPSILON)).sqrt();
        y.extend(row.iter().zip(gamma).zip(beta).map(|((v, g), b)| (v - mean) / deviation * g + b));
    }
    y
}

fn added(x: &[f64], residual: &[f64], dropout: Dropout) -> Vec<f64> {
    let scale = |i: usize| f64::from(dropout.keep_scale(i as u64));
    x.iter().zip(residual).enumerate().map(|(i, (x, r))| x * scale(i) + r).collect()
}

struct Case {
    shape: NormShape,
    x: Vec<f32>,
    residual: Option<Vec<f32>>,
    gamma: Vec<f32>,
    beta: Vec<f32>,
    dy: Vec<f32>,
    dropout: Dropout,
}

#[derive(Debug, PartialEq)]
struct Outcome {
    y: Vec<f32>,
    dx: Vec<f32>,
    dresidual: Vec<f32>,
    dgamma: Vec<f32>,
    dbeta: Vec<f32>,
}

impl Case {
    fn new(tokens: usize, features: usize, with_residual: bool, probability: f32) -> Self {
        let n = tokens * features;
        Self {
            shape: NormShape { tokens, features },
            x: numbers(n, 1),
            residual: with_residual.then(|| numbers(n, 2)),
            gamma: numbers(features, 3),
            beta: numbers(features, 4),
            dy: numbers(n, 5),
            dropout: Dropout { probability, seed: 6 },
        }
    }

    fn run(&self) -> Outcome {
        let NormShape { tokens, features } = self.shape;
        let n = tokens * features;
        let (mut mean, mut inverse) = (vec![0.0; tokens], vec![0.0; tokens]);
        let nan = |n: usize| vec![f32::NAN; n];
        let mut out =
            Outcome { y: nan(n), dx: nan(n), dresidual: nan(n), dgamma: nan(features), dbeta: nan(features) };
        let residual = self.residual.as_deref();
        add_norm_forward(
            &self.x,
            residual,
            &self.gamma,
            &self.beta,
            EPSILON,
            self.dropout,
            &mut out.y,
            &mut mean,
            &mut inverse,
            self.shape,
        );
        add_norm_backward(
            &self.x,
            residual,
            &self.gamma,
            &mean,
            &inverse,
            self.dropout,
            &self.dy,
            &mut out.dx,
            Some(&mut out.dresidual),
            &mut out.dgamma,
            &mut out.dbeta,
            self.shape,
        );
        out
    }
}

#[test]
fn values_and_gradients_match_the_definition() {
    for (tokens, features, with_residual, probability) in
        [(0, 4, true, 0.0), (1, 1, false, 0.0), (3, 5, true, 0.0), (2, 37, false, 0.4), (5, 33, true, 0.25)]
    {
        let case = Case::new(tokens, features, with_residual, probability);
        let out = case.run();
        let x = wide(&case.x);
        let residual = case.residual.as_deref().map_or(vec![0.0; x.len()], wide);
        let (gamma, beta) = (wide(&case.gamma), wide(&case.beta));
        let h = added(&x, &residual, case.dropout);
        assert_close(&out.y, &reference(&h, &gamma, &beta), 2e-6);
        if features == 1 {
            continue;
        }
        let loss = |y: Vec<f64>| dot(&y, &case.dy);
        let dx =
            finite_differences(&x, |x| loss(reference(&added(x, &residual, case.dropout), &gamma, &beta)));
        assert_close(&out.dx, &dx, 1e-5);
        let dresidual =
            finite_differences(&residual, |r| loss(reference(&added(&x, r, case.dropout), &gamma, &beta)));
        assert_close(&out.dresidual, &dresidual, 1e-5);
        assert_close(&out.dgamma, &finite_differences(&gamma, |g| loss(reference(&h, g, &beta))), 1e-5);
        assert_close(&out.dbeta, &finite_differences(&beta, |b| loss(reference(&h, &gamma, b))), 1e-5);
    }
}

#[test]
fn a_gradient_for_the_residual_is_optional() {
    let case = Case::new(3, 8, true, 0.3);
    let out = case.run();
    let NormShape { tokens, features } = case.shape;
    let (mut y, mut mean, mut inverse) = (vec![0.0; 24], vec![0.0; tokens], vec![0.0; tokens]);
    add_norm_forward(
        &case.x,
        case.residual.as_deref(),
        &case.gamma,
        &case.beta,
        EPSILON,
        case.dropout,
        &mut y,
        &mut mean,
        &mut inverse,
        case.shape,
    );
    let (mut dx, mut dgamma, mut dbeta) = (vec![0.0; 24], vec![0.0; features], vec![0.0; features]);
    add_norm_backward(
        &case.x,
        case.residual.as_deref(),
        &case.gamma,
        &mean,
        &inverse,
        case.dropout,
        &case.dy,
        &mut dx,
        None,
        &mut dgamma,
        &mut dbeta,
        case.shape,
    );
    assert_eq!((dx, dgamma, dbeta), (out.dx, out.dgamma, out.dbeta));
}

#[test]
fn threads_do_not_change_the_bits() {
    let case = Case::new(700, 97, true, 0.1);
    same_for_any_thread_count(|| {
        let out = case.run();
        [out.y, out.dx, out.dresidual, out.dgamma, out.dbeta].concat()
    });
}

#[test]
fn paths_do_not_change_the_bits() {
    let case = Case::new(3, 101, true, 0.2);
    let n = case.x.len();
    let mask = case.dropout.flat_mask(n);
    let results: Vec<_> = Path::available()
        .into_iter()
        .map(|path| {
            let input = Input::part(&case.x, case.residual.as_deref(), mask, 0, n);
            let (mut y, mut mean, mut inverse) = (vec![0.0; n], vec![0.0; 3], vec![0.0; 3]);
            forward_on(path, input, &case.gamma, &case.beta, EPSILON, &mut y, &mut mean, &mut inverse);
            let (mut dx, mut dgamma, mut dbeta) = (vec![0.0; n], vec![0.0; 101], vec![0.0; 101]);
            let gradients =
                Gradients { dx: &mut dx, dresidual: None, dgamma: &mut dgamma, dbeta: &mut dbeta };
            backward_on(path, input, &case.gamma, (&mean, &inverse), &case.dy, gradients);
            bits(&[y, mean, inverse, dx, dgamma, dbeta].concat())
        })
        .collect();
    assert!(results.iter().all(|result| *result == results[0]));
}
