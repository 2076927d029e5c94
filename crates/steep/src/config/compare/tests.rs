use super::{CompareFacts, CompareRequest};
use crate::compare::FeatureSet;
use crate::config::to_toml;
use crate::config::training::Facts;
use crate::config::values::List;
use crate::data::LabelBudget;
use crate::objectives::AdaptObjective;

fn facts() -> CompareFacts {
    CompareFacts {
        name: "model".into(),
        model: "folder".into(),
        labelled: Facts {
            rows: 2225,
            hidden_size: 384,
            num_hidden_layers: 6,
            max_seq_length: 256,
            new_rows: None,
        },
        unlabelled_rows: 2000,
        usual_objective: Some("mlm"),
        zeroshot_model: None,
    }
}

fn request() -> CompareRequest {
    CompareRequest {
        model_name_or_path: Some("model".into()),
        labelled_file: Some("data/bbc.csv".into()),
        unlabelled_file: Some("data/texts.txt".into()),
        output_dir: Some("out".into()),
        ..CompareRequest::default()
    }
}

#[test]
fn everything_has_a_default_but_what_only_the_user_knows() {
    let mut request = CompareRequest { label_fraction: Some(0.1), ..request() };
    let settings = request.resolve(&facts()).unwrap();
    assert_eq!((settings.title.as_str(), settings.seeds.as_slice()), ("bbc", &[42, 43, 44][..]));
    assert_eq!(settings.routes.len(), 7);
    // 2225 · 0.7 · 0.1 = 155 rows are 10 steps of 16 an epoch.
    assert_eq!((settings.finetune.train_batch_size, settings.finetune.num_train_epochs), (16, 20.0));
    assert_eq!(settings.finetune.learning_rate, 1e-4);
    assert_eq!(settings.adapt.num_train_epochs, 3.0);
    assert_eq!(settings.labelled.label_budget, Some(LabelBudget::Fraction(0.1)));
    let mut again: CompareRequest = toml::from_str(&to_toml(&request)).unwrap();
    assert_eq!(again.resolve(&facts()).unwrap(), settings);
}

#[test]
fn without_unlabelled_texts_no_route_adapts() {
    let mut bare = CompareRequest { unlabelled_file: None, ..request() };
    let settings = bare.resolve(&facts()).unwrap();
    assert!(settings.routes.iter().all(|route| !route.adapts()));
    let mut asked =
        CompareRequest { routes: Some(List(vec!["adapted".into()])), unlabelled_file: None, ..request() };
    assert!(asked.resolve(&facts()).unwrap_err().hint().unwrap().contains("--unlabelled_file"));
}

#[test]
fn columns_bring_their_routes_and_features_and_without_them_all_stays_lean() {
    let mut with = CompareRequest { feature_columns: Some(List(vec!["*".into()])), ..request() };
    let settings = with.resolve(&facts()).unwrap();
    assert_eq!((settings.routes.len(), settings.features.len()), (13, 2));
    assert_eq!(settings.joint.as_ref().unwrap().finetune.training, settings.finetune);
    let mut again: CompareRequest = toml::from_str(&to_toml(&with)).unwrap();
    assert_eq!(again.resolve(&facts()).unwrap(), settings);
    assert!(toml::to_string_pretty(&settings).unwrap().contains("table_only"));
    let bare = request().resolve(&facts()).unwrap();
    assert_eq!((bare.features.as_slice(), bare.table), (&[FeatureSet::Text][..], None));
    let engineered = CompareRequest { features: Some(List(vec!["text+engineered".into()])), ..request() };
    let settings = engineered.clone().resolve(&facts()).unwrap();
    // What is counted in the text is enough for a network over both; the other combinations need columns.
    assert_eq!((settings.features.len(), settings.routes.len()), (2, 9));
    assert!(settings.joint.unwrap().features.engineered.is_some());
    for refused in [
        CompareRequest { routes: Some(List(vec!["stacked".into()])), ..request() },
        CompareRequest { routes: Some(List(vec!["joint".into()])), ..request() },
        CompareRequest { features: Some(List(vec!["text+columns".into()])), ..request() },
        CompareRequest { learner: Some(List(vec!["forest".into()])), ..request() },
    ] {
        assert!(refused.clone().resolve(&facts()).unwrap_err().hint().is_some());
    }
}

#[test]
fn encoders_are_adapted_by_what_their_family_was_pretrained_with_or_by_what_is_asked_for() {
    let objective = |usual, asked: Option<&str>| {
        let mut request = CompareRequest { adapt_objective: asked.map(str::to_owned), ..request() };
        let settings = request.resolve(&CompareFacts { usual_objective: usual, ..facts() }).unwrap();
        let mut again: CompareRequest = toml::from_str(&to_toml(&request)).unwrap();
        assert_eq!(again.resolve(&facts()).unwrap().objective, settings.objective);
        settings.objective
    };
    assert_eq!(objective(Some("mlm"), None), AdaptObjective::Mlm);
    assert_eq!(objective(Some("clm"), None), AdaptObjective::Clm);
    assert_eq!(objective(None, None), AdaptObjective::Mlm);
    assert_eq!(objective(Some("clm"), Some("tsdae")), AdaptObjective::Tsdae { deletion_ratio: 0.6 });
    let tsdae = || CompareRequest { adapt_objective: Some("tsdae".into()), ..request() };
    let settings = CompareRequest { deletion_ratio: Some(0.3), ..tsdae() }.resolve(&facts()).unwrap();
    assert_eq!(settings.objective, AdaptObjective::Tsdae { deletion_ratio: 0.3 });
    for (mut refused, key) in [
        (CompareRequest { temperature: Some(0.1), ..tsdae() }, "temperature:"),
        (CompareRequest { adapt_objective: Some("seq2seq".into()), ..request() }, "adapt_objective:"),
        (CompareRequest { adapt_objective: Some("bert".into()), ..request() }, "adapt_objective:"),
    ] {
        let message = refused.resolve(&facts()).unwrap_err().to_string();
        assert!(message.starts_with(key), "{message}");
    }
}

#[test]
fn errors_speak_of_the_keys_that_were_written() {
    let of = |request: CompareRequest| request.clone().resolve(&facts()).unwrap_err().to_string();
    let message = of(CompareRequest { adapt_learning_rate: Some(-1.0), ..request() });
    assert!(message.starts_with("adapt_learning_rate:"), "{message}");
    let message = of(CompareRequest { finetune_batch_size: Some(0), ..request() });
    assert!(message.starts_with("finetune_batch_size:"), "{message}");
    let message = of(CompareRequest { routes: Some(List(vec!["frozn".into()])), ..request() });
    assert_eq!(message, "routes: 'frozn' is not known");
    let message = of(CompareRequest {
        feature_columns: Some(List(vec!["*".into()])),
        joint_categorical_encoding: Some("target".into()),
        ..request()
    });
    assert!(message.starts_with("joint_categorical_encoding:"), "{message}");
    let both = CompareRequest { label_fraction: Some(0.1), max_train_samples: Some(5), ..request() };
    assert!(of(both).starts_with("label_fraction:"));
    let message = of(CompareRequest { contrastive_objective: Some("simcse".into()), ..request() });
    assert!(message.starts_with("contrastive_objective:"), "{message}");
    assert!(of(CompareRequest { seeds: Some(List(vec![1, 1])), ..request() }).starts_with("seeds:"));
}
