use super::case::{Case, EXACT, ROUNDED, close, elements, kinds, offsets};
use super::route::Route;
use super::vector::{Four, HIDDEN, Vector};
use super::*;
#[cfg(target_arch = "x86_64")]
use crate::dispatch::{Level, Path};
use crate::dropout::Dropout;
use crate::gemm::Element;
use crate::testing::{bits, dot, finite_differences, same_for_any_thread_count, wide};
use half::bf16;
use proptest::prelude::*;
use std::ops::Range;

#[test]
fn the_reference_gradients_are_those_of_the_reference() {
    for case in kinds(2, 3) {
        let inputs = case.inputs::<f32>().map(|values| wide(&values));
        let weights = case.dcontext::<f32>();
        let results = case.reference(&inputs, &wide(&weights));
        for which in 0..4 {
            let differences = finite_differences(&inputs[which], |moved| {
                let mut inputs = inputs.clone();
                inputs[which] = moved.to_vec();
                dot(&case.reference(&inputs, &wide(&weights)).context, &weights)
            });
            let gradient: Vec<f32> = results.gradients[which].iter().map(|value| *value as f32).collect();
            close("gradient", &gradient, &differences, 1e-6);
        }
    }
}

#[test]
fn every_kind_matches_the_definition() {
    for (num_heads, head_dim) in [(1, 1), (2, 5), (3, 8)] {
        for case in kinds(num_heads, head_dim) {
            for route in Route::available() {
                let case = Case { route, ..case.clone() };
                case.check::<f32>(&EXACT);
                case.check::<bf16>(&ROUNDED);
            }
        }
    }
}

/// Sequences longer than every block and group, and heads as wide as those of models.
#[test]
fn long_sequences_match_the_definition() {
    for (lengths, num_heads, head_dim) in
        [(&[33, 65, 1, 100, 129][..], 2, 32), (&[16, 47, 15, 17], 1, 64), (&[70], 1, 80), (&[31, 66], 1, 128)]
    {
        for visibility in [
            Visibility::Bidirectional,
            Visibility::Causal,
            Visibility::SlidingWindow { reach: 5 },
            Visibility::SlidingWindow { reach: 40 },
        ] {
            for route in Route::available() {
                let case = Case { visibility, route, ..Case::new(lengths, num_heads, head_dim) };
                case.check::<f32>(&EXACT);
                case.check::<bf16>(&ROUNDED);
                Case { max_distance: Some(130), ..case }.check::<f32>(&EXACT);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    #[test]
    fn every_route_matches_the_definition(
        lengths in prop::collection::vec((0u32..40, 0u32..40), 0..4),
        is_cross in any::<bool>(),
        (num_heads, head_dim) in (1usize..3, 1usize..70),
        (window, has_bias, probability) in (0usize..20, any::<bool>(), prop::sample::select(vec![0.0f32, 0.25])),
    ) {
        let visibility = match window {
            0..8 => Visibility::Bidirectional,
            8..14 => Visibility::Causal,
            reach => Visibility::SlidingWindow { reach: reach - 14 },
        };
        let (queries, keys): (Vec<u32>, Vec<u32>) = lengths.into_iter().unzip();
        for route in Route::available() {
            let case = Case {
                key_offsets: is_cross.then(|| offsets(&keys)),
                visibility,
                max_distance: has_bias.then_some(41),
                dropout: Dropout { probability, seed: 6 },
                route,
                ..Case::new(&queries, num_heads, head_dim)
            };
            case.check::<f32>(&EXACT);
            case.check::<bf16>(&ROUNDED);
        }
    }
}

/// Every sequence alone, on the calling thread, must give the bits it gives in the batch.
fn check_ranges<E: Element>(case: &Case) {
    let whole = case.run::<E>();
    let [query, key, value, bias] = case.inputs::<E>();
    let [query, key, value] = [query, key, value].map(|values| elements::<E>(&values));
    let dcontext = elements::<E>(&case.dcontext::<E>());
    let position_bias = case.max_distance.map(|max_distance| PositionBias { values: &bias, max_distance });
    let (shape, hidden) = (case.shape(), case.hidden());
    let ranges = (0..case.offsets.len() - 1).map(|first| first..(first + 2).min(case.offsets.len() - 1));
    for sequences in ranges {
        let tokens = |offsets: &[u32]| offsets[sequences.start] as usize..offsets[sequences.end] as usize;
        let (queries, keys) =
            (tokens(&case.offsets), tokens(case.key_offsets.as_ref().unwrap_or(&case.offsets)));
        let part = |tokens: &Range<usize>| tokens.start * hidden..tokens.end * hidden;
        let heads = queries.start * case.num_heads..queries.end * case.num_heads;
        let view = |values| View { values, stride: hidden };
        let (query, key, value) = (&query[part(&queries)], &key[part(&keys)], &value[part(&keys)]);
        let (mut context, mut log_sum_exp) = (query.to_vec(), vec![0.0; heads.len()]);
        attention_forward_sequences(
            sequences.clone(),
            view(query),
            view(key),
            view(value),
            position_bias,
            case.scale(),
            case.dropout,
            ViewMut::new(&mut context, hidden),
            &mut log_sum_exp,
            shape,
        );
        let mut gradients = [query.to_vec(), key.to_vec(), value.to_vec()];
        let mut dbias = vec![0.0; bias.len()];
        let [dquery, dkey, dvalue] = gradients.each_mut().map(|gradient| ViewMut::new(gradient, hidden));
        attention_backward_sequences(
            sequences.clone(),
            view(query),
            view(key),
            view(value),
            position_bias,
            case.scale(),
            case.dropout,
            view(&context),
            &log_sum_exp,
            view(&dcontext[part(&queries)]),
            dquery,
            dkey,
            dvalue,
            position_bias.is_some().then_some(&mut dbias[..]),
            shape,
        );
        let same = |a: &[E], b: &[E]| {
            assert!(a.iter().zip(b).all(|(a, b)| a.to_f32().to_bits() == b.to_f32().to_bits()));
        };
        same(&context, &whole.context[part(&queries)]);
        same(&gradients[0], &whole.gradients[0][part(&queries)]);
        same(&gradients[1], &whole.gradients[1][part(&keys)]);
        same(&gradients[2], &whole.gradients[2][part(&keys)]);
        assert_eq!(bits(&log_sum_exp), bits(&whole.log_sum_exp[heads]));
        assert_eq!(
            dbias.iter().all(|value| *value == 0.0),
            bias.is_empty() || queries.len() + keys.len() < 3
        );
    }
}

#[test]
fn a_sequence_does_not_know_its_neighbours() {
    let plain = Case::new(&[9, 50, 17, 2, 70], 2, 16);
    for case in [
        Case { dropout: Dropout { probability: 0.1, seed: 2 }, ..plain.clone() },
        Case { max_distance: Some(80), ..plain.clone() },
        Case { key_offsets: Some(offsets(&[5, 60, 1, 16, 30])), visibility: Visibility::Causal, ..plain },
    ] {
        check_ranges::<f32>(&case);
        check_ranges::<bf16>(&case);
    }
}

#[test]
fn threads_do_not_change_the_bits() {
    let case = Case {
        max_distance: Some(130),
        dropout: Dropout { probability: 0.1, seed: 2 },
        ..Case::new(&[128, 3, 0, 77, 1, 16, 16, 130], 4, 32)
    };
    let as_floats = |bits: Vec<u32>| bits.into_iter().map(f32::from_bits).collect();
    same_for_any_thread_count(|| as_floats(case.run::<f32>().bits()));
    same_for_any_thread_count(|| as_floats(case.run::<bf16>().bits()));
}

/// A causal query gives the same bits however many tokens follow it.
#[test]
fn a_causal_query_does_not_know_what_follows() {
    let case = |length| Case { visibility: Visibility::Causal, ..Case::new(&[length], 1, 32) };
    let (long, short) = (case(90).run::<f32>(), case(41).run::<f32>());
    assert_eq!(bits(&long.context[..41 * 32]), bits(&short.context));
}

#[test]
fn exponentials_are_within_two_units_on_every_route() {
    fn check<V: Vector>() {
        for first in (0..40_000).step_by(V::LANES) {
            let inputs: Vec<f32> = (0..V::LANES).map(|lane| -0.003 * (first + lane) as f32).collect();
            let mut values = inputs.clone();
            // SAFETY: the caller checked the route; the slices have as many elements as the register lanes.
            unsafe { V::load(inputs.as_ptr()).exp2().store(values.as_mut_ptr()) };
            for (input, value) in inputs.iter().zip(&values) {
                let expected = f64::from(*input).exp2();
                assert!((f64::from(*value) / expected - 1.0).abs() < 2.4e-7, "{input}: {value}");
            }
        }
        let special = |x: f32| {
            let mut values = [0.0; 16];
            // SAFETY: as above.
            unsafe { V::splat(x).exp2().store(values.as_mut_ptr()) };
            values[0]
        };
        assert_eq!(special(0.0), 1.0);
        assert_eq!((special(HIDDEN), special(f32::NEG_INFINITY)), (0.0, 0.0));
        assert!(special(f32::NAN).is_nan());
    }
    check::<Four>();
    #[cfg(target_arch = "x86_64")]
    for path in Path::available() {
        match path.level() {
            Level::Avx512 => check::<std::arch::x86_64::__m512>(),
            Level::Avx2 => check::<std::arch::x86_64::__m256>(),
            Level::Baseline => {}
        }
    }
}

#[test]
fn a_batch_may_be_empty() {
    Case::new(&[], 2, 4).check::<f32>(&EXACT);
    Case { max_distance: Some(0), ..Case::new(&[0, 0], 2, 4) }.check::<bf16>(&ROUNDED);
}

#[test]
#[should_panic(expected = "max_distance")]
fn too_short_a_bias_is_refused() {
    Case { max_distance: Some(1), ..Case::new(&[3], 1, 2) }.run::<f32>();
}

#[test]
#[should_panic(expected = "needs a position bias")]
fn a_gradient_of_no_bias_is_refused() {
    let mut gradients = [0.0; 3];
    let [dquery, dkey, dvalue] = ViewMut::split(&mut gradients, [1; 3]);
    let view = View { values: &[1.0], stride: 1 };
    let case = Case::new(&[1], 1, 1);
    attention_backward(
        view,
        view,
        view,
        None,
        1.0,
        Dropout::NONE,
        view,
        &[0.0],
        view,
        dquery,
        dkey,
        dvalue,
        Some(&mut [0.0]),
        case.shape(),
    );
}

#[test]
#[should_panic(expected = "dkey has rows of 3 elements")]
fn a_view_narrower_than_the_heads_is_refused() {
    let mut buffer = [0.0; 12];
    let [_, dkey, _] = ViewMut::split(&mut buffer, [4, 3, 5]);
    dkey.check("dkey", 1, 4);
}

#[test]
fn parts_of_a_buffer_are_written_side_by_side() {
    let mut buffer = [0; 12];
    for (which, part) in ViewMut::split(&mut buffer, [1, 3, 2]).iter().enumerate() {
        let width = [1, 3, 2][which];
        let rows = part.rows(0, 2, 0, width);
        for row in 0..2 {
            // SAFETY: rows of the buffer, one at a time.
            unsafe { std::slice::from_raw_parts_mut(rows.row(row), width) }.fill(10 * row + which);
        }
    }
    assert_eq!(buffer, [0, 1, 1, 1, 2, 2, 10, 11, 11, 11, 12, 12]);
    assert_eq!(View::split(&buffer, [1, 3, 2])[1].values[0], 1);
    ViewMut::split(&mut [0.0; 0], [2, 2])[1].check("empty", 0, 2);
}
