//! Every pooling mode against sentence-transformers: `goldens/pooling.py` made the numbers.

use safetensors::SafeTensors;
use std::path::Path;
use steep_encoder::pooling::{PoolingMode, pool};

const WIDTH: usize = 8;

struct Reference(Vec<u8>);

impl Reference {
    fn floats(&self, name: &str) -> Vec<f32> {
        self.words(name).into_iter().map(f32::from_bits).collect()
    }

    fn words(&self, name: &str) -> Vec<u32> {
        let tensors = SafeTensors::deserialize(&self.0).expect("reference");
        let view = tensors.tensor(name).unwrap_or_else(|_| panic!("{name}"));
        view.data().as_chunks::<4>().0.iter().map(|bytes| u32::from_le_bytes(*bytes)).collect()
    }
}

#[test]
fn every_mode_equals_sentence_transformers() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../goldens/pooling");
    let reference = Reference(std::fs::read(folder.join("reference.safetensors")).expect("reference"));
    let states = reference.floats("token_embeddings");
    let mut compared = 0;
    for (layout, prompt) in [("mixed", 0), ("mixed", 2), ("right", 0), ("right", 2), ("right", 4)] {
        let mask = reference.words(&format!("{layout}.attention_mask"));
        let length = mask.len() / 3;
        let case = if prompt == 0 { layout.to_owned() } else { format!("{layout}.prompt_{prompt}") };
        for row in 0..3 {
            let real: Vec<usize> = (row * length..(row + 1) * length).filter(|&at| mask[at] == 1).collect();
            let skip = prompt.min(real.len());
            if skip == real.len() {
                continue; // nothing is left to pool: steep gives zeros
            }
            let packed: Vec<f32> =
                real.iter().flat_map(|&at| states[at * WIDTH..(at + 1) * WIDTH].to_vec()).collect();
            let mut all = Vec::new();
            for (mode, name, _) in PoolingMode::ALL {
                let mut out = [f32::NAN; WIDTH];
                pool(mode, &packed, WIDTH, skip, &mut out);
                let name = if name == "mean_sqrt_len" { "mean_sqrt_len_tokens" } else { name };
                let expected = reference.floats(&format!("{case}.{name}"));
                for (found, expected) in out.iter().zip(&expected[row * WIDTH..]) {
                    // Measured at most 1.2e-7.
                    assert!((found - expected).abs() < 1e-6, "{case} {name}: {found} against {expected}");
                    compared += 1;
                }
                all.extend(out);
            }
            let expected = reference.floats(&format!("{case}.concatenation.all"));
            for (found, expected) in all.iter().zip(&expected[row * 6 * WIDTH..]) {
                assert!((found - expected).abs() < 1e-6, "{case}: order of concatenation");
            }
        }
    }
    assert!(compared > 500, "compared {compared} values");
}
