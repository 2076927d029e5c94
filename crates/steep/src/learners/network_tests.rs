use super::*;
use crate::learners::labels::Labels;
use crate::progress::{Cancel, Silent};

fn fit(options: &NetworkOptions, features: &DenseMatrix, targets: Targets<'_>) -> Result<Network> {
    Network::fit(options, features, targets, &Context { progress: &Silent, cancel: &Cancel::default() })
}

/// Two rings, which no line parts.
fn rings() -> (DenseMatrix, Labels) {
    let mut stream = Stream::new(2, &[]);
    let row = |row: usize| {
        let (radius, angle) = (1.0 + (row % 2) as f64 + 0.1 * stream.normal(), stream.next_f64() * 6.3);
        [radius * angle.cos(), radius * angle.sin()]
    };
    let values = (0..400).flat_map(row).map(|value| value as f32).collect();
    let labels = Labels::single_label((0..400).map(|row| row % 2).collect(), 2).unwrap();
    (DenseMatrix::new(400, 2, values).unwrap(), labels)
}

fn options() -> NetworkOptions {
    NetworkOptions {
        learning_rate: 1e-2,
        batch_size: 50,
        hidden_layer_sizes: vec![16, 8],
        ..NetworkOptions::default()
    }
}

#[test]
fn rings_are_told_apart_and_the_seed_decides_the_bits() {
    let (features, labels) = rings();
    let targets = Targets::Classes(&labels);
    let network = fit(&options(), &features, targets).unwrap();
    let outputs = network.outputs_of(&features).unwrap();
    let right = (0..400).filter(|row| (outputs.row(*row)[1] > 0.5) == (row % 2 == 1)).count();
    assert!(right > 390, "{right}");
    assert_eq!(fit(&options(), &features, targets).unwrap(), network);
    assert_ne!(fit(&NetworkOptions { seed: 1, ..options() }, &features, targets).unwrap(), network);
}

#[test]
fn impossible_options_are_refused() {
    let (features, labels) = rings();
    let refused = |options: NetworkOptions| fit(&options, &features, Targets::Classes(&labels)).is_err();
    assert!(refused(NetworkOptions { hidden_layer_sizes: vec![], ..options() }));
    assert!(refused(NetworkOptions { hidden_layer_sizes: vec![0], ..options() }));
    assert!(refused(NetworkOptions { batch_size: 0, ..options() }));
    assert!(refused(NetworkOptions { validation_fraction: 1.0, ..options() }));
}

/// Weights after five epochs in the given order, from scikit-learn's first weights. Tolerance 2e-5.
#[test]
fn steps_equal_scikit_learn() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../goldens/learners/learners.json");
    let golden: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let list = |value: &serde_json::Value| serde_json::from_value::<Vec<f32>>(value.clone()).unwrap();
    let others = &golden["others"];
    let features = DenseMatrix::new(400, 20, list(&others["scaled"])).unwrap();
    let classes = |name: usize| {
        let case = &others["nearest_centroid"][name];
        let indices = serde_json::from_value(case["labels"].clone()).unwrap();
        Labels::single_label(indices, case["class_count"].as_u64().unwrap() as usize).unwrap()
    };
    let members: Vec<u8> = serde_json::from_value(golden["multi_label"][0]["members"].clone()).unwrap();
    let several = Labels::multi_label(members.into_iter().map(|member| member == 1).collect(), 4).unwrap();
    for (name, labels) in [("classes", classes(0)), ("binary", classes(1)), ("labels", several)] {
        let case = &others["networks"][name];
        let layers = |which: &str| -> Vec<Layer> {
            let layer = |pair: &serde_json::Value| Layer { weight: list(&pair[0]), bias: list(&pair[1]) };
            case[which].as_array().unwrap().iter().map(layer).collect()
        };
        let options = NetworkOptions {
            hidden_layer_sizes: serde_json::from_value(case["sizes"].clone()).unwrap(),
            alpha: 0.1,
            ..NetworkOptions::default()
        };
        let mut trainer = Trainer::new(&options, &features, Targets::Classes(&labels));
        trainer.network.layers = layers("first");
        let rows: Vec<u32> = (0..400).collect();
        for _ in 0..5 {
            for batch in rows.chunks(50) {
                trainer.step(batch);
            }
        }
        for (found, expected) in trainer.network.layers.iter().zip(layers("last")) {
            let pairs =
                found.weight.iter().zip(&expected.weight).chain(found.bias.iter().zip(&expected.bias));
            let largest = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(largest < 2e-5, "{name}: {largest:e}");
        }
    }
}
