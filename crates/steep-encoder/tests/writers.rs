//! Families that write texts against transformers: `goldens/families.py` made the numbers. Their logits, losses and
//! gradients without label smoothing are compared with those of all families, in `families.rs`.

mod reference;

use reference::{Reference, assert_close, goldens, values};
use std::path::PathBuf;
use steep_encoder::{HeadKind, Model, NextToken, PackedBatch, Pass};

const WRITERS: [&str; 2] = ["bart", "mbart"];
const HIDDEN: f32 = 1e-5;
const GRADIENT: f32 = 2e-5;

fn folder(family: &str) -> PathBuf {
    goldens("families").join(family)
}

fn load(family: &str) -> Model {
    let (model, report) = Model::load(&folder(family).join("seq2seq"), HeadKind::Seq2Seq, 0).expect("loads");
    assert_eq!(report.initialised, Vec::<String>::new(), "{family} is complete");
    model
}

#[test]
fn smoothed_losses_and_their_gradients_equal_the_label_smoother() {
    for family in WRITERS {
        let reference = Reference::load(&folder(family));
        let (model, target) = (load(family), reference.written());
        let pass = Pass::train_without_dropout(&model.parameters);
        let loss = model.seq2seq_losses(&pass, &reference.batch(), &target, 0.1).sum();
        let count = target.num_tokens() as f32;
        let mean = loss.clone().inner().into_scalar::<f32>() / count;
        let expected = reference.floats("seq2seq.smoothed.loss")[0];
        assert!((mean - expected).abs() < 1e-5, "{family}: {mean} against {expected}");
        let gradients = pass.gradients(loss);
        for (parameter, gradient) in model.parameters.list.iter().zip(&gradients.list) {
            if !parameter.spec.used {
                continue;
            }
            let name = &parameter.spec.name;
            let gradient = gradient.as_ref().unwrap_or_else(|| panic!("{family} {name}: none"));
            let found: Vec<f32> = gradient.to_vec().iter().map(|value| value / count).collect();
            let expected = reference.floats(&format!("seq2seq.smoothed.gradient.{name}"));
            assert_close(&found, &expected, GRADIENT, &format!("{family} {name}"));
        }
    }
}

#[test]
fn the_decoders_states_equal_transformers() {
    for family in WRITERS {
        let reference = Reference::load(&folder(family));
        let (model, report) =
            Model::load(&folder(family).join("base"), HeadKind::DecoderFeatures, 0).expect("loads");
        assert_eq!(report.initialised, Vec::<String>::new());
        let last = model.last_hidden_state(&Pass::evaluate(&model.parameters), &reference.batch());
        assert_close(&values(last), &reference.packed("base.decoder_last_hidden_state"), HIDDEN, family);
    }
    let error =
        Model::load(&folder("gpt2").join("base"), HeadKind::DecoderFeatures, 0).expect_err("no decoder");
    assert!(error.to_string().contains("features of the decoder"), "{error}");
}

#[test]
fn a_token_at_a_time_gives_the_logits_of_the_whole_text() {
    const LENGTH: usize = 6;
    // Two texts for each source but the last; some change places in the middle, as beams do.
    let (sources, exchanged) = ([0, 0, 1, 1, 2, 2, 3], [1, 0, 3, 2, 4, 5, 6]);
    for family in WRITERS {
        let (model, source) = (load(family), Reference::load(&folder(family)).batch());
        let pass = Pass::evaluate(&model.parameters);
        let texts: Vec<Vec<u32>> = (0..sources.len() as u32)
            .map(|text| (0..LENGTH as u32).map(|at| 5 + (text * 11 + at * 7) % 40).collect())
            .collect();
        // A text by itself, with what it is written after.
        let expected = |text: usize| {
            let span = source.offsets[sources[text]] as usize..source.offsets[sources[text] + 1] as usize;
            let read = PackedBatch::new([&source.input_ids[span]]);
            values(model.seq2seq_logits(&pass, &read, &PackedBatch::new([texts[text].as_slice()])))
        };
        let expected: Vec<Vec<f32>> = (0..texts.len()).map(expected).collect();
        let width = expected[0].len() / LENGTH;
        let mut decoding = model.begin_decoding(&pass, &source);
        for at in 0..LENGTH {
            let text_at = |place: usize| if at < LENGTH / 2 { place } else { exchanged[place] };
            let next = |place: usize| {
                let text = &texts[text_at(place)];
                let start = if family == "mbart" { text[LENGTH - 1] } else { 2 };
                NextToken {
                    parent: if at == LENGTH / 2 { exchanged[place] } else { place },
                    source: sources[place],
                    token: if at == 0 { start } else { text[at - 1] },
                }
            };
            let tokens: Vec<NextToken> = (0..texts.len()).map(next).collect();
            let found = values(model.next_token_logits(&pass, &mut decoding, &tokens));
            for place in 0..texts.len() {
                let expected = &expected[text_at(place)][at * width..(at + 1) * width];
                let what = format!("{family} token {at} of text {place}");
                assert_close(&found[place * width..(place + 1) * width], expected, 1e-5, &what);
            }
        }
    }
}

#[test]
fn texts_whose_source_is_done_leave_the_others_as_they_are() {
    let (model, source) = (load("bart"), Reference::load(&folder("bart")).batch());
    let pass = Pass::evaluate(&model.parameters);
    let token = |parent, source, token| NextToken { parent, source, token };
    let width = model.config.vocab_size;
    let after = |first: &[NextToken], second: &[NextToken]| {
        let mut decoding = model.begin_decoding(&pass, &source);
        let _ = model.next_token_logits(&pass, &mut decoding, first);
        values(model.next_token_logits(&pass, &mut decoding, second))
    };
    let all: Vec<NextToken> = (0..4).map(|text| token(0, text, 2)).collect();
    let both = after(&all, &[token(1, 1, 9), token(3, 3, 11)]);
    assert_eq!(both[..width], after(&all, &[token(1, 1, 9)])[..]);
    assert_eq!(both[width..], after(&all, &[token(3, 3, 11)])[..]);
}
