//! What `steep adapt` can be asked.

use super::check::{at_least_one, fill, one_of, positive, required, within};
use super::training::{Facts, adapt_defaults, request_with_training};
use super::vocabulary::vocabulary_warmup;
use crate::error::{Error, Result};
use crate::objectives::{AdaptObjective, MaskingSettings, MaskingUnit, NoiseSettings};
use crate::stages::AdaptSettings;
use std::path::PathBuf;
use steep_encoder::{Config, HeadKind};

request_with_training! {
    /// Continued pretraining of an encoder on unlabelled texts.
    "adapt" AdaptRequest {
        /// The encoder: a folder, or a name on the hub; needed
        model_name_or_path: String, also ["model"];
        /// Branch, tag or commit of a model on the hub; default main
        model_revision: String, also ["revision"];
        /// A folder to take the masked-LM head from where the encoder has none, such as the one it was fine-tuned from;
        /// electra: the generator's folder; default: a new head or generator
        head_model_name_or_path: String;
        /// The texts: a file, folder or quoted pattern of txt, csv, tsv, jsonl or parquet, plain, .gz or .zst; needed
        train_file: String, also ["input"], old ["unlabelled_file", "dataset_name"];
        /// The column of the texts; default text, or the only column of strings, or the first; needed in seq2seq
        text_column_name: String, also ["text_column"], old ["source_column_name", "source_column"];
        /// seq2seq: the column of the texts that are written after those of text_column_name; needed there
        target_column_name: String, also ["target_column"], old ["summary_column"];
        /// Read only so many texts; default all
        max_train_samples: u64, also ["limit"];
        /// Texts whose loss is followed, in the same column; default: a part of train_file
        validation_file: String;
        /// Share of train_file that is held out to follow the loss where there is no validation_file, in per cent,
        /// from 0 to 50; default 5
        validation_split_percentage: f64;
        /// Held-out texts at most; default 2000
        max_eval_samples: u64;
        /// General text, on which forgetting is measured, one text a line; default: a sample that comes with steep
        general_file: String;
        /// The folder to write the adapted encoder into; needed
        output_dir: PathBuf, also ["output"];
        /// Longer texts are cut to so many tokens, at least 3; default: what the model folder says
        max_seq_length: u64, old ["block_size", "max_source_length"];
        /// seq2seq: longer targets are cut to so many tokens, at least 3; default: what the model folder says
        max_target_length: u64;
        /// What is trained for: mlm (hidden tokens), clm (the next token), simcse (two views of a text are near each
        /// other), contrastive_tension (two encoders agree on equal texts only), tsdae (a text from what is left of it), electra (which tokens a small generator replaced), denoising (a damaged text is written again) or seq2seq (a text
        /// is written after another); default: mlm, clm for a decoder, denoising for an encoder-decoder
        objective: String;
        /// mlm: what is hidden together: token, whole_word for all tokens of a word, or span for some words in a row;
        /// default token
        masking: String;
        /// The same as masking = "whole_word"
        whole_word_mask: bool, also ["wwm"];
        /// simcse: cosines are divided by this, above 0; default 0.05
        temperature: f64;
        /// contrastive_tension: pairs for each one of equal texts, that one included, from 2 to 1024; default 8
        pos_neg_ratio: u64;
        /// electra: width of a new generator as a share of the encoder's, above 0 and at most 1; default 0.25
        generator_size: f64;
        /// electra: how much finding replaced tokens counts beside replacing them, above 0; default 50
        discriminator_weight: f64;
        /// tsdae and denoising: share of the tokens that are deleted, from 0 to 0.95; default 0.6, and 0 in denoising
        deletion_ratio: f64;
        /// denoising: share of the tokens that are hidden in spans, each of which becomes one mask token, from 0 to 0.9;
        /// default 0.3
        infilling_ratio: f64;
        /// denoising: mean length of these spans, from 0.5 to 20; default 3
        poisson_lambda: f64;
        /// denoising: share of a text's sentences that change places, from 0 to 1; default 1
        permute_sentence_ratio: f64;
        /// denoising: share of the texts that are turned to begin at another token, from 0 to 1; default 0
        rotation_ratio: f64;
        /// seq2seq: share of the targets' probability that all words have in equal parts, from 0 to below 1; default 0
        label_smoothing_factor: f64, old ["label_smoothing"];
        /// mlm and electra: share of the tokens that are predicted, above 0 and at most 0.9; default 0.15
        mlm_probability: f64;
        /// mlm: share at the end of training, to which it goes in a straight line; default: as mlm_probability
        mlm_probability_end: f64;
        /// mlm: share of the predicted tokens that the encoder sees as the mask token, from 0 to 1; default 0.8, and 1
        /// in electra
        mask_share: f64;
        /// mlm: share of the predicted tokens that the encoder sees as a random token, from 0 to 1; default 0.1, and
        /// 0 in electra
        random_share: f64;
        /// Texts in a step, 1 or more; default 32
        per_device_train_batch_size: u64, also ["batch_size"], old ["train_batch_size", "per_gpu_train_batch_size"];
        /// Passes over the texts, may be a fraction; default 1 above 200,000 texts, else 3
        num_train_epochs: f64, also ["epochs"], old ["num_epochs"];
        /// The largest learning rate, above 0; default 5e-5 · √(texts in a step / 32)
        learning_rate: f64, also ["lr"];
        /// Share of the optimizer steps spent on warm-up, from 0 to 1; default 0.06
        warmup_ratio: f64;
        /// Optimizer steps in which nothing but the rows of new tokens learns, of a model that `steep vocab extend` wrote;
        /// below 1 a share of all steps; default 0
        vocabulary_warmup_steps: f64;
        /// AdamW's decay of the second moment, from 0 to below 1; default 0.98
        adam_beta2: f64;
        /// Added to AdamW's denominator, above 0; default 1e-6
        adam_epsilon: f64;
        /// Each layer learns so much slower than the one above it, above 0 and at most 1; default 1
        layerwise_lr_decay: f64;
        /// Evaluations in an epoch; 0 evaluates before the first and after the last step only; default 2
        evaluations_per_epoch: u64;
        /// Take the weights of the smallest held-out loss rather than the last; default false
        load_best_model_at_end: bool;
    }
}

/// What is read and where the result goes.
#[derive(Debug, Clone, PartialEq)]
pub struct AdaptSources {
    /// The encoder, as the user named it.
    pub model_name_or_path: String,
    /// Its revision on the hub.
    pub model_revision: Option<String>,
    /// Where the masked-LM head may be taken from.
    pub head_model_name_or_path: Option<String>,
    /// The texts.
    pub train_file: String,
    /// Their column.
    pub text_column_name: Option<String>,
    /// The column of what is written after them.
    pub target_column_name: Option<String>,
    /// Targets are cut to so many tokens.
    pub max_target_length: Option<usize>,
    /// Only so many are read.
    pub max_train_samples: Option<u64>,
    /// Texts whose loss is followed.
    pub validation_file: Option<String>,
    /// Share of the texts held out where there is no such file.
    pub validation_fraction: f64,
    /// Held-out texts at most.
    pub max_eval_samples: usize,
    /// General text, if not the sample that comes with steep.
    pub general_file: Option<String>,
    /// Where the result goes.
    pub output_dir: PathBuf,
}

impl AdaptRequest {
    /// What is read and written, checked as far as that needs no look at the data.
    pub fn sources(&mut self) -> Result<AdaptSources> {
        let percentage = fill(&mut self.validation_split_percentage, || 5.0);
        let held_out = at_least_one("max_eval_samples", fill(&mut self.max_eval_samples, || 2_000))?;
        Ok(AdaptSources {
            model_name_or_path: required(
                "model_name_or_path",
                self.model_name_or_path.as_ref(),
                "FOLDER_OR_NAME",
            )?,
            model_revision: self.model_revision.clone(),
            head_model_name_or_path: self.head_model_name_or_path.clone(),
            train_file: required("train_file", self.train_file.as_ref(), "FILE")?,
            text_column_name: self.text_column_name.clone(),
            target_column_name: self.target_column_name.clone(),
            max_target_length: self.max_target_length.map(|length| length as usize),
            max_train_samples: self.max_train_samples,
            validation_file: self.validation_file.clone(),
            validation_fraction: within("validation_split_percentage", percentage, 0.0..=50.0)? / 100.0,
            max_eval_samples: held_out as usize,
            general_file: self.general_file.clone(),
            output_dir: required("output_dir", self.output_dir.as_ref(), "FOLDER")?,
        })
    }

    /// What the stage does; fills every key in.
    pub fn resolve(&mut self, facts: &Facts) -> Result<AdaptSettings> {
        self.max_seq_length = Some(facts.max_seq_length as u64);
        let objective = self.objective()?;
        if matches!(objective, AdaptObjective::Electra { .. }) {
            // The generator sees nothing but masks, and what it fills in is what the encoder learns from.
            (self.mask_share, self.random_share) =
                (self.mask_share.or(Some(1.0)), self.random_share.or(Some(0.0)));
        }
        let masking = MaskingSettings {
            unit: self.masking_unit(objective)?,
            mlm_probability_end: self.mlm_probability_end,
            ..masking(&mut self.mlm_probability, &mut self.mask_share, &mut self.random_share)?
        };
        if let Some(end) = self.mlm_probability_end {
            positive("mlm_probability_end", within("mlm_probability_end", end, 0.0..=0.9)?)?;
        }
        let mut training = self.training_keys().resolve(&adapt_defaults(), facts)?;
        training.freezing.vocabulary_warmup =
            vocabulary_warmup(&mut self.vocabulary_warmup_steps, &training, facts)?;
        Ok(AdaptSettings { objective, masking, training, max_seq_length: facts.max_seq_length })
    }

    /// Takes what the family was pretrained with where no objective was asked for.
    ///
    /// # Errors
    /// A family that predicts no tokens.
    pub fn choose_objective(&mut self, config: &Config) -> Result<()> {
        if self.objective.is_some() {
            return Ok(());
        }
        let name = match usual_objective(config) {
            Some("denoising") if self.target_column_name.is_some() => "seq2seq",
            Some(name) => name,
            None => {
                let problem =
                    format!("is needed, since {} has no head that predicts tokens", config.model_type.name());
                return Err(Error::config("objective", problem, "give --objective tsdae or simcse"));
            }
        };
        self.objective = Some(name.to_owned());
        Ok(())
    }

    fn masking_unit(&mut self, objective: AdaptObjective) -> Result<MaskingUnit> {
        let whole_words = self.whole_word_mask.take() == Some(true);
        let key = if whole_words { "whole_word_mask" } else { "masking" };
        if whole_words && self.masking.get_or_insert_with(|| "whole_word".to_owned()) != "whole_word" {
            let problem = "asks for something else than masking";
            return Err(Error::config(key, problem, "give one of the two"));
        }
        let name = fill(&mut self.masking, || "token".to_owned());
        let unit = one_of("masking", &name, &MaskingUnit::ALL)?;
        let masks = matches!(objective, AdaptObjective::Mlm | AdaptObjective::Electra { .. });
        if unit != MaskingUnit::Token && !masks {
            let problem = "is of masked language modelling and electra only";
            return Err(Error::config(key, problem, "leave it out, or take --objective mlm"));
        }
        Ok(unit)
    }

    fn objective(&mut self) -> Result<AdaptObjective> {
        let name = fill(&mut self.objective, || "mlm".to_owned());
        let kind = one_of("objective", &name, &OBJECTIVES)?;
        let own = |key: &str, is_set: bool, owners: &[&str]| {
            if is_set && !owners.contains(&name.as_str()) {
                let hint = format!("leave it out, or take --objective {}", owners.join(" or "));
                return Err(Error::config(key, format!("is of {} only", owners.join(" and ")), hint));
            }
            Ok(())
        };
        own("mlm_probability_end", self.mlm_probability_end.is_some(), &["mlm"])?;
        own("temperature", self.temperature.is_some(), &["simcse"])?;
        own("pos_neg_ratio", self.pos_neg_ratio.is_some(), &["contrastive_tension"])?;
        own("deletion_ratio", self.deletion_ratio.is_some(), &["tsdae", "denoising"])?;
        own("generator_size", self.generator_size.is_some(), &["electra"])?;
        own("discriminator_weight", self.discriminator_weight.is_some(), &["electra"])?;
        for (key, value) in [
            ("infilling_ratio", self.infilling_ratio),
            ("poisson_lambda", self.poisson_lambda),
            ("permute_sentence_ratio", self.permute_sentence_ratio),
            ("rotation_ratio", self.rotation_ratio),
        ] {
            own(key, value.is_some(), &["denoising"])?;
        }
        own("label_smoothing_factor", self.label_smoothing_factor.is_some(), &["seq2seq"])?;
        own("target_column_name", self.target_column_name.is_some(), &["seq2seq"])?;
        own("max_target_length", self.max_target_length.is_some(), &["seq2seq"])?;
        Ok(match kind {
            AdaptObjective::Simcse { temperature } => AdaptObjective::Simcse {
                temperature: positive("temperature", fill(&mut self.temperature, || temperature))?,
            },
            AdaptObjective::ContrastiveTension { pos_neg_ratio } => {
                if self.lora_rank.is_some() {
                    let problem =
                        "contrastive_tension trains two encoders, which have no matrices beside them";
                    return Err(Error::config(
                        "lora_rank",
                        problem,
                        "leave it out, or take --objective simcse",
                    ));
                }
                let ratio = fill(&mut self.pos_neg_ratio, || pos_neg_ratio as u64);
                let pos_neg_ratio = within("pos_neg_ratio", ratio, 2..=1024)? as usize;
                AdaptObjective::ContrastiveTension { pos_neg_ratio }
            }
            AdaptObjective::Tsdae { deletion_ratio } => {
                let ratio = fill(&mut self.deletion_ratio, || deletion_ratio);
                AdaptObjective::Tsdae { deletion_ratio: within("deletion_ratio", ratio, 0.0..=0.95)? }
            }
            AdaptObjective::Electra { generator_size, discriminator_weight } => {
                let size =
                    within("generator_size", fill(&mut self.generator_size, || generator_size), 0.0..=1.0)?;
                let weight = fill(&mut self.discriminator_weight, || discriminator_weight);
                AdaptObjective::Electra {
                    generator_size: positive("generator_size", size)?,
                    discriminator_weight: positive("discriminator_weight", weight)?,
                }
            }
            AdaptObjective::Denoising(defaults) => AdaptObjective::Denoising(self.noise(defaults)?),
            AdaptObjective::Seq2seq { label_smoothing } => {
                required("target_column_name", self.target_column_name.as_ref(), "COLUMN")?;
                required("text_column_name", self.text_column_name.as_ref(), "COLUMN")?;
                let smoothing = fill(&mut self.label_smoothing_factor, || label_smoothing);
                let label_smoothing = within("label_smoothing_factor", smoothing, 0.0..=0.999)?;
                AdaptObjective::Seq2seq { label_smoothing }
            }
            other => other,
        })
    }

    fn noise(&mut self, defaults: NoiseSettings) -> Result<NoiseSettings> {
        let share = |key: &str, value: &mut Option<f64>, default: f64, largest: f64| {
            within(key, fill(value, || default), 0.0..=largest)
        };
        let lambda = fill(&mut self.poisson_lambda, || defaults.poisson_lambda);
        Ok(NoiseSettings {
            permute_sentence_ratio: share(
                "permute_sentence_ratio",
                &mut self.permute_sentence_ratio,
                defaults.permute_sentence_ratio,
                1.0,
            )?,
            deletion_ratio: share("deletion_ratio", &mut self.deletion_ratio, defaults.deletion_ratio, 0.95)?,
            infilling_ratio: share(
                "infilling_ratio",
                &mut self.infilling_ratio,
                defaults.infilling_ratio,
                0.9,
            )?,
            poisson_lambda: within("poisson_lambda", lambda, 0.5..=20.0)?,
            rotation_ratio: share("rotation_ratio", &mut self.rotation_ratio, defaults.rotation_ratio, 1.0)?,
        })
    }
}

/// What a family was pretrained with, as far as that needs texts only; none where it predicts no tokens.
pub fn usual_objective(config: &Config) -> Option<&'static str> {
    match config.token_head() {
        HeadKind::MaskedLm => Some("mlm"),
        HeadKind::CausalLm => Some("clm"),
        HeadKind::Seq2Seq => Some("denoising"),
        _ => None,
    }
}

/// Names with defaults: 0.05 of Gao et al. 2021 (arXiv 2104.08821), 0.6 of Wang et al. 2021 (arXiv 2104.06979), 8 of
/// Carlsson et al. 2021,
/// size and weight of Clark et al. 2020 (arXiv 2003.10555), the noise of Lewis et al. 2020 (arXiv 1910.13461).
const OBJECTIVES: [(&str, AdaptObjective); 8] = [
    ("mlm", AdaptObjective::Mlm),
    ("clm", AdaptObjective::Clm),
    ("simcse", AdaptObjective::Simcse { temperature: 0.05 }),
    ("contrastive_tension", AdaptObjective::ContrastiveTension { pos_neg_ratio: 8 }),
    ("tsdae", AdaptObjective::Tsdae { deletion_ratio: 0.6 }),
    ("electra", AdaptObjective::Electra { generator_size: 0.25, discriminator_weight: 50.0 }),
    ("denoising", AdaptObjective::Denoising(NoiseSettings::BART)),
    ("seq2seq", AdaptObjective::Seq2seq { label_smoothing: 0.0 }),
];

/// The mix of Devlin et al. 2018: 80 % of the predicted tokens hidden, 10 % random, the rest left as they are, so that
/// the encoder is used to unhidden text as well when it is used frozen.
pub(super) fn masking(
    mlm_probability: &mut Option<f64>,
    mask_share: &mut Option<f64>,
    random_share: &mut Option<f64>,
) -> Result<MaskingSettings> {
    let settings = MaskingSettings {
        mlm_probability: fill(mlm_probability, || 0.15),
        mask_share: within("mask_share", fill(mask_share, || 0.8), 0.0..=1.0)?,
        random_share: within("random_share", fill(random_share, || 0.1), 0.0..=1.0)?,
        ..MaskingSettings::EVALUATION
    };
    positive("mlm_probability", within("mlm_probability", settings.mlm_probability, 0.0..=0.9)?)?;
    // A hair of room for shares such as 0.9 and 0.1, whose sum is rounded.
    if settings.mask_share + settings.random_share > 1.0 + 1e-9 {
        let problem =
            format!("{} and mask_share {} are more than all", settings.random_share, settings.mask_share);
        return Err(Error::config("random_share", problem, "let both together be 1 at most"));
    }
    Ok(settings)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Request, to_toml};

    const FACTS: Facts =
        Facts { rows: 1000, hidden_size: 768, num_hidden_layers: 12, max_seq_length: 512, new_rows: None };

    #[test]
    fn defaults_are_those_of_the_keys_help() {
        let settings = AdaptRequest::default().resolve(&FACTS).unwrap();
        let training = &settings.training;
        assert_eq!((training.train_batch_size, training.num_train_epochs), (32, 3.0));
        assert!((training.learning_rate - 5e-5).abs() < 1e-12);
        assert_eq!((training.adamw.adam_beta2, training.adamw.adam_epsilon), (0.98, 1e-6));
        assert_eq!(settings.max_seq_length, 512);
        assert_eq!(settings.masking, MaskingSettings::EVALUATION);
        let many = AdaptRequest::default().resolve(&Facts { rows: 300_000, ..FACTS }).unwrap();
        assert_eq!(many.training.num_train_epochs, 1.0);
    }

    #[test]
    fn the_rate_grows_with_the_root_of_the_batch() {
        let mut request = AdaptRequest {
            per_device_train_batch_size: Some(64),
            gradient_accumulation_steps: Some(2),
            ..AdaptRequest::default()
        };
        let training = request.resolve(&FACTS).unwrap().training;
        assert_eq!(training.train_batch_size, 128);
        assert!((training.learning_rate - 1e-4).abs() < 1e-12);
    }

    #[test]
    fn a_completed_request_resolves_to_the_same() {
        let mut request =
            AdaptRequest { warmup_steps: Some(7.0), eval_steps: Some(10), ..AdaptRequest::default() };
        let settings = request.resolve(&FACTS).unwrap();
        assert_eq!(settings.training.schedule(1000).warmup_steps, 7);
        assert_eq!(settings.training.evaluations_per_epoch, 3);
        let mut again: AdaptRequest = toml::from_str(&to_toml(&request)).unwrap();
        assert_eq!(again.resolve(&Facts { rows: 999_999, ..FACTS }).unwrap().masking, settings.masking);
        assert_eq!(again.resolve(&FACTS).unwrap(), settings);
        assert_eq!(again.clone().or(AdaptRequest::default()), again);
    }

    #[test]
    fn objectives_have_their_papers_defaults() {
        let objective = |name: &str| {
            let mut request = AdaptRequest { objective: Some(name.to_owned()), ..AdaptRequest::default() };
            request.resolve(&FACTS).unwrap().objective
        };
        assert_eq!(AdaptRequest::default().resolve(&FACTS).unwrap().objective, AdaptObjective::Mlm);
        assert_eq!(objective("clm"), AdaptObjective::Clm);
        assert_eq!(objective("contrastive_tension"), AdaptObjective::ContrastiveTension { pos_neg_ratio: 8 });
        assert_eq!(objective("simcse"), AdaptObjective::Simcse { temperature: 0.05 });
        assert_eq!(objective("tsdae"), AdaptObjective::Tsdae { deletion_ratio: 0.6 });
        assert_eq!(objective("denoising"), AdaptObjective::Denoising(NoiseSettings::BART));
    }

    #[test]
    fn impossible_values_name_their_key() {
        let key_of = |request: AdaptRequest| match request.clone().resolve(&FACTS) {
            Err(Error::Config { key, .. }) => key,
            other => panic!("{other:?}"),
        };
        let request = AdaptRequest::default;
        assert_eq!(key_of(AdaptRequest { learning_rate: Some(-1.0), ..request() }), "learning_rate");
        assert_eq!(key_of(AdaptRequest { mlm_probability: Some(0.0), ..request() }), "mlm_probability");
        assert_eq!(key_of(AdaptRequest { random_share: Some(0.3), ..request() }), "random_share");
        assert_eq!(key_of(AdaptRequest { max_steps: Some(0), ..request() }), "max_steps");
        assert_eq!(
            key_of(AdaptRequest { per_device_train_batch_size: Some(0), ..request() }),
            "per_device_train_batch_size"
        );
        assert_eq!(
            key_of(AdaptRequest { lr_scheduler_type: Some("lineal".into()), ..request() }),
            "lr_scheduler_type"
        );
        assert_eq!(key_of(AdaptRequest { objective: Some("bert".into()), ..request() }), "objective");
        assert_eq!(key_of(AdaptRequest { temperature: Some(0.1), ..request() }), "temperature");
        let seq2seq = || AdaptRequest { objective: Some("seq2seq".into()), ..request() };
        assert_eq!(key_of(seq2seq()), "target_column_name");
        let target_column_name = Some("summary".into());
        let paired = AdaptRequest { target_column_name, ..seq2seq() };
        assert_eq!(key_of(paired.clone()), "text_column_name");
        let text_column_name = Some("article".into());
        let smoothed = AdaptRequest { text_column_name, label_smoothing_factor: Some(1.0), ..paired };
        assert_eq!(key_of(smoothed), "label_smoothing_factor");
        let tension = || AdaptRequest { objective: Some("contrastive_tension".into()), ..request() };
        assert_eq!(key_of(AdaptRequest { pos_neg_ratio: Some(1), ..tension() }), "pos_neg_ratio");
        assert_eq!(key_of(AdaptRequest { lora_rank: Some(8), ..tension() }), "lora_rank");
        assert_eq!(key_of(AdaptRequest { poisson_lambda: Some(3.0), ..request() }), "poisson_lambda");
        let clm = AdaptRequest { objective: Some("clm".into()), whole_word_mask: Some(true), ..request() };
        assert_eq!(key_of(clm), "whole_word_mask");
        let both = AdaptRequest { masking: Some("span".into()), whole_word_mask: Some(true), ..request() };
        assert_eq!(key_of(both), "whole_word_mask");
        assert_eq!(key_of(AdaptRequest { masking: Some("spam".into()), ..request() }), "masking");
        assert_eq!(
            key_of(AdaptRequest { mlm_probability_end: Some(0.0), ..request() }),
            "mlm_probability_end"
        );
        let simcse = AdaptRequest { objective: Some("simcse".into()), temperature: Some(0.0), ..request() };
        assert_eq!(key_of(simcse), "temperature");
        assert_eq!(
            key_of(AdaptRequest { eval_strategy: Some("always".into()), ..request() }),
            "eval_strategy"
        );
    }

    #[test]
    fn the_older_switch_for_whole_words_is_the_newer_keys_value() {
        let mut request = AdaptRequest { whole_word_mask: Some(true), ..AdaptRequest::default() };
        assert_eq!(request.resolve(&FACTS).unwrap().masking.unit, MaskingUnit::WholeWord);
        assert_eq!((request.masking.as_deref(), request.whole_word_mask), (Some("whole_word"), None));
        let mut off = AdaptRequest { whole_word_mask: Some(false), ..AdaptRequest::default() };
        assert_eq!(off.resolve(&FACTS).unwrap().masking, MaskingSettings::EVALUATION);
    }

    #[test]
    fn what_is_needed_is_asked_for_by_name() {
        let error = AdaptRequest::default().sources().unwrap_err();
        assert_eq!(error.to_string(), "model_name_or_path: is needed");
        assert_eq!(error.hint(), Some("give --model_name_or_path FOLDER_OR_NAME"));
    }
}
