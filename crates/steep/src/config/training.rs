//! From the training keys of a request to [`TrainingSettings`].

use super::check::{at_least_one, fill, one_of, positive, within};
use super::choices::items;
use super::values::List;
use crate::error::{Error, Result};
use crate::stages::{ModelFolder, VocabularyExtension};
use crate::training::{
    Freezing, GradualUnfreezing, LrSchedulerType, NewRows, ParameterPattern, TrainingSettings,
};
use steep_encoder::{AdamWSettings, LoraSettings};

/// What is known of model and data when a request is resolved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    /// Rows trained on.
    pub rows: u64,
    /// Width of the encoder.
    pub hidden_size: usize,
    /// Layers of the encoder.
    pub num_hidden_layers: usize,
    /// Texts are cut to so many tokens.
    pub max_seq_length: usize,
    /// The rows of tokens that were added to the vocabulary, if some were.
    pub new_rows: Option<NewRows>,
}

impl Facts {
    /// The facts of a model, the sequence length asked for, and a number of rows.
    ///
    /// # Errors
    /// A sequence length that the model does not allow, or an unreadable list of new tokens.
    pub fn of(model: &ModelFolder, max_seq_length: Option<u64>, rows: u64) -> Result<Self> {
        Ok(Self {
            rows,
            hidden_size: model.config.hidden_size,
            num_hidden_layers: model.config.num_hidden_layers,
            max_seq_length: model.max_seq_length(max_seq_length.map(|length| length as usize))?,
            new_rows: VocabularyExtension::of(&model.path)?.map(|extension| extension.new_rows()),
        })
    }
}

/// The training keys of a request, wherever they lie in it.
pub(super) struct TrainingKeys<'a> {
    pub(super) num_train_epochs: &'a mut Option<f64>,
    pub(super) max_steps: &'a mut Option<i64>,
    pub(super) batch_size: &'a mut Option<u64>,
    pub(super) gradient_accumulation_steps: &'a mut Option<u64>,
    pub(super) max_tokens_per_micro_batch: &'a mut Option<u64>,
    pub(super) learning_rate: &'a mut Option<f64>,
    pub(super) lr_scheduler_type: &'a mut Option<String>,
    pub(super) warmup_ratio: &'a mut Option<f64>,
    pub(super) warmup_steps: &'a mut Option<f64>,
    pub(super) adam_beta1: &'a mut Option<f64>,
    pub(super) adam_beta2: &'a mut Option<f64>,
    pub(super) adam_epsilon: &'a mut Option<f64>,
    pub(super) weight_decay: &'a mut Option<f64>,
    pub(super) max_grad_norm: &'a mut Option<f64>,
    pub(super) layerwise_lr_decay: &'a mut Option<f64>,
    pub(super) seed: &'a mut Option<u64>,
    pub(super) logging_steps: &'a mut Option<u64>,
    pub(super) eval_strategy: &'a mut Option<String>,
    pub(super) eval_steps: &'a mut Option<u64>,
    pub(super) evaluations_per_epoch: &'a mut Option<u64>,
    pub(super) save_steps: &'a mut Option<u64>,
    pub(super) save_total_limit: &'a mut Option<u64>,
    pub(super) load_best_model_at_end: &'a mut Option<bool>,
    pub(super) gradient_checkpointing: &'a mut Option<bool>,
    pub(super) dtype: &'a mut Option<String>,
    pub(super) bf16: &'a mut Option<bool>,
    pub(super) freeze: &'a mut Option<List<String>>,
    pub(super) train_only: &'a mut Option<List<String>>,
    pub(super) gradual_unfreezing: &'a mut Option<String>,
    pub(super) lora_rank: &'a mut Option<u64>,
    pub(super) lora_alpha: &'a mut Option<f64>,
    pub(super) lora_dropout: &'a mut Option<f64>,
    pub(super) lora_targets: &'a mut Option<List<String>>,
}

/// Low-rank matrices want a larger rate than the weights themselves: Hu et al. 2021 (arXiv 2106.09685) train them with
/// 2e-4 to 5e-4 where the same encoders are fine-tuned with 1e-5 to 3e-5.
const LORA_LEARNING_RATE_FACTOR: f64 = 10.0;

/// What a request's training keys default to; see the recipes of [`adapt_defaults`] and [`finetune_defaults`].
pub(super) struct TrainingDefaults {
    batch_size: u64,
    /// From sequences a step to the rate.
    learning_rate: fn(usize, &Facts) -> f64,
    /// From steps in an epoch to epochs.
    num_train_epochs: fn(u64, &Facts) -> f64,
    warmup_ratio: f64,
    adam_beta2: f64,
    adam_epsilon: f64,
    layerwise_lr_decay: f64,
    evaluations_per_epoch: u64,
    load_best_model_at_end: bool,
}

/// Continued pretraining. Rate: 5e-5 at 32 sequences (Sun et al. 2019, arXiv 1905.05583) and its square root with the
/// batch, which gives 1.4e-4 at 256 (1e-4 in Gururangan et al. 2020, arXiv 2004.10964). Betas, epsilon and 6 % warm-up
/// are those of Gururangan et al.
pub(super) fn adapt_defaults() -> TrainingDefaults {
    TrainingDefaults {
        batch_size: 32,
        learning_rate: |batch, _| 5e-5 * (batch as f64 / 32.0).sqrt(),
        num_train_epochs: |_, facts| if facts.rows > 200_000 { 1.0 } else { 3.0 },
        warmup_ratio: 0.06,
        adam_beta2: 0.98,
        adam_epsilon: 1e-6,
        layerwise_lr_decay: 1.0,
        evaluations_per_epoch: 2,
        load_best_model_at_end: false,
    }
}

/// Training on labels. Few rows are trained on for longer (Mosbach et al. 2021, arXiv 2006.04884: 20 epochs; Zhang et
/// al. 2021, arXiv 2006.05987), 10 % warm-up and bias correction for the same reasons; 2e-5 at the size of BERT-base
/// (Sun et al. 2019), more for smaller encoders.
pub(super) fn finetune_defaults(facts: &Facts) -> TrainingDefaults {
    TrainingDefaults {
        batch_size: if facts.rows < 2_000 { 16 } else { 32 },
        learning_rate: |_, facts| match (facts.hidden_size, facts.num_hidden_layers) {
            (..=384, _) => 1e-4,
            (_, ..=6) => 5e-5,
            _ => 2e-5,
        },
        num_train_epochs: |steps_per_epoch, facts| {
            if facts.rows >= 10_000 { 3.0 } else { 400_u64.div_ceil(steps_per_epoch).clamp(3, 20) as f64 }
        },
        warmup_ratio: 0.1,
        adam_beta2: 0.999,
        adam_epsilon: 1e-8,
        layerwise_lr_decay: 0.95,
        evaluations_per_epoch: if facts.rows >= 10_000 { 2 } else { 1 },
        load_best_model_at_end: true,
    }
}

impl TrainingKeys<'_> {
    /// Fills the keys in, checks them, and gives the settings.
    pub(super) fn resolve(mut self, defaults: &TrainingDefaults, facts: &Facts) -> Result<TrainingSettings> {
        let train_batch_size = self.train_batch_size(defaults)?;
        let steps_per_epoch = facts.rows.div_ceil(train_batch_size as u64).max(1);
        let num_train_epochs =
            fill(self.num_train_epochs, || (defaults.num_train_epochs)(steps_per_epoch, facts));
        positive("num_train_epochs", num_train_epochs)?;
        let max_steps = self.max_steps()?;
        let total_steps =
            max_steps.unwrap_or((num_train_epochs * steps_per_epoch as f64).ceil().min(1e15) as u64).max(1);
        let (freezing, lora) = (self.freezing()?, self.lora()?);
        let faster = if lora.is_some() { LORA_LEARNING_RATE_FACTOR } else { 1.0 };
        let learning_rate =
            fill(self.learning_rate, || faster * (defaults.learning_rate)(train_batch_size, facts));
        positive("learning_rate", within("learning_rate", learning_rate, 0.0..=1.0)?)?;
        let scheduler = fill(self.lr_scheduler_type, || "linear".to_owned());
        let logging = fill(self.logging_steps, || (total_steps / 100).clamp(1, 500));
        Ok(TrainingSettings {
            num_train_epochs,
            max_steps,
            train_batch_size,
            max_tokens_per_micro_batch: self.micro_batch()?,
            learning_rate,
            lr_scheduler_type: one_of("lr_scheduler_type", &scheduler, &LrSchedulerType::ALL)?,
            warmup_ratio: self.warmup(defaults.warmup_ratio, total_steps)?,
            adamw: self.adamw(defaults, lora.is_some())?,
            seed: fill(self.seed, || 42),
            logging_steps: at_least_one("logging_steps", logging)?,
            evaluations_per_epoch: self.evaluations(defaults, steps_per_epoch)?,
            gradient_checkpointing: fill(self.gradient_checkpointing, || false),
            dtype: super::dtype::resolve_for_training(self.dtype, self.bf16)?,
            freezing,
            lora,
            save_steps: at_least_one("save_steps", fill(self.save_steps, || 500))?,
            save_total_limit: at_least_one("save_total_limit", fill(self.save_total_limit, || 2))? as usize,
            load_best_model_at_end: fill(self.load_best_model_at_end, || defaults.load_best_model_at_end),
        })
    }

    fn train_batch_size(&mut self, defaults: &TrainingDefaults) -> Result<usize> {
        let accumulation = fill(self.gradient_accumulation_steps, || 1);
        let batch = fill(self.batch_size, || defaults.batch_size);
        within("gradient_accumulation_steps", accumulation, 1..=65_536)?;
        Ok((within("per_device_train_batch_size", batch, 1..=65_536)? * accumulation) as usize)
    }

    fn micro_batch(&mut self) -> Result<usize> {
        let tokens = fill(self.max_tokens_per_micro_batch, || 4_096);
        Ok(within("max_tokens_per_micro_batch", tokens, 1..=1 << 24)? as usize)
    }

    /// -1 means no limit, as in transformers.
    fn max_steps(&self) -> Result<Option<u64>> {
        match *self.max_steps {
            None | Some(-1) => Ok(None),
            Some(steps) if steps > 0 => Ok(Some(steps as u64)),
            Some(steps) => {
                let problem = format!("{steps} is not possible");
                Err(Error::config("max_steps", problem, "give 1 or more, or -1 for no limit"))
            }
        }
    }

    /// Steps win over the ratio; less than one step is a share, as in transformers 5.
    fn warmup(&mut self, default: f64, total_steps: u64) -> Result<f64> {
        let Some(steps) = *self.warmup_steps else {
            return within("warmup_ratio", fill(self.warmup_ratio, || default), 0.0..=1.0);
        };
        within("warmup_steps", steps, 0.0..=total_steps as f64)?;
        if steps < 1.0 {
            return Ok(steps);
        }
        // The schedule rounds up, so half a step less gives the steps asked for whatever the rounding of the ratio.
        Ok((steps.ceil() - 0.5) / total_steps as f64)
    }

    fn freezing(&self) -> Result<Freezing> {
        let patterns = |key: &str, list: &Option<List<String>>| {
            let read = |text: &String| {
                text.parse::<ParameterPattern>().map_err(|problem| {
                    let hint = "give embeddings, head, layers:0-3, or names of tensors with * for any part";
                    Error::config(key, format!("'{text}': {problem}"), hint)
                })
            };
            items(list.as_ref()).iter().map(read).collect::<Result<Vec<_>>>()
        };
        let gradual_unfreezing = match self.gradual_unfreezing.as_deref() {
            None => GradualUnfreezing::None,
            Some("epoch") => GradualUnfreezing::EachEpoch,
            Some(text) => {
                let share = text.parse().ok().filter(|share| *share > 0.0 && *share <= 1.0);
                GradualUnfreezing::Share(share.ok_or_else(|| {
                    let hint = "give epoch, or a share of the steps above 0 and at most 1";
                    Error::config("gradual_unfreezing", format!("'{text}' is not possible"), hint)
                })?)
            }
        };
        Ok(Freezing {
            freeze: patterns("freeze", self.freeze)?,
            train_only: patterns("train_only", self.train_only)?,
            gradual_unfreezing,
            vocabulary_warmup: None,
        })
    }

    fn lora(&mut self) -> Result<Option<LoraSettings>> {
        let Some(rank) = *self.lora_rank else {
            let others = [
                ("lora_alpha", self.lora_alpha.is_some()),
                ("lora_dropout", self.lora_dropout.is_some()),
                ("lora_targets", self.lora_targets.is_some()),
            ];
            return match others.into_iter().find(|(_, given)| *given) {
                None => Ok(None),
                Some((key, _)) => {
                    Err(Error::config(key, "means nothing without lora_rank", "give --lora_rank 8"))
                }
            };
        };
        Ok(Some(LoraSettings {
            rank: within("lora_rank", rank, 1..=65_536)? as usize,
            alpha: positive("lora_alpha", fill(self.lora_alpha, || rank as f64))?,
            dropout: within("lora_dropout", fill(self.lora_dropout, || 0.0), 0.0..=0.95)?,
            targets: items(self.lora_targets.as_ref()),
        }))
    }

    fn adamw(&mut self, defaults: &TrainingDefaults, has_lora: bool) -> Result<AdamWSettings> {
        let layer_decay = if has_lora { 1.0 } else { defaults.layerwise_lr_decay };
        let below_one = 0.0..=0.999_999_9;
        Ok(AdamWSettings {
            adam_beta1: within("adam_beta1", fill(self.adam_beta1, || 0.9), below_one.clone())? as f32,
            adam_beta2: within("adam_beta2", fill(self.adam_beta2, || defaults.adam_beta2), below_one)?
                as f32,
            adam_epsilon: positive("adam_epsilon", fill(self.adam_epsilon, || defaults.adam_epsilon))? as f32,
            weight_decay: within("weight_decay", fill(self.weight_decay, || 0.01), 0.0..=1.0)? as f32,
            max_grad_norm: within("max_grad_norm", fill(self.max_grad_norm, || 1.0), 0.0..=1e9)? as f32,
            layerwise_lr_decay: self.layer_decay(layer_decay)? as f32,
        })
    }

    fn layer_decay(&mut self, default: f64) -> Result<f64> {
        let decay = fill(self.layerwise_lr_decay, || default);
        positive("layerwise_lr_decay", within("layerwise_lr_decay", decay, 0.0..=1.0)?)
    }

    /// Evaluations in an epoch, from whichever key says something about them.
    fn evaluations(&mut self, defaults: &TrainingDefaults, steps_per_epoch: u64) -> Result<u32> {
        let default = defaults.evaluations_per_epoch;
        let strategy = match (&*self.eval_strategy, *self.eval_steps) {
            (Some(strategy), _) => strategy.clone(),
            (None, Some(_)) => "steps".to_owned(),
            (None, None) => "epoch".to_owned(),
        };
        let evaluations = match strategy.as_str() {
            "no" => 0,
            "steps" => {
                let steps = at_least_one("eval_steps", fill(self.eval_steps, || 500))?;
                (steps_per_epoch as f64 / steps as f64).round().max(1.0) as u64
            }
            _ => {
                one_of("eval_strategy", &strategy, &[("no", ()), ("steps", ()), ("epoch", ())])?;
                fill(self.evaluations_per_epoch, || default)
            }
        };
        Ok(within("evaluations_per_epoch", evaluations, 0..=10_000)? as u32)
    }
}

/// Declares a request that has the training keys, which are written down here once.
macro_rules! request_with_training {
    (
        $(#[doc = $about:literal])+
        $command:literal $request:ident { $($own:tt)+ }
    ) => {
        request! {
            $(#[doc = $about])+
            $command $request {
                $($own)+
                /// Stop after so many optimizer steps, whatever the epochs; default -1, no limit
                max_steps: i64;
                /// Micro-steps whose gradients make one optimizer step, so that a step has
                /// per_device_train_batch_size times this many sequences; default 1
                gradient_accumulation_steps: u64;
                /// Tokens computed at once, 1 or more; bounds the memory and changes nothing but rounding;
                /// default 4096
                max_tokens_per_micro_batch: u64;
                /// Shape of the learning rate after the warm-up: linear, cosine, constant, constant_with_warmup or
                /// inverse_sqrt; default linear
                lr_scheduler_type: String;
                /// Optimizer steps of warm-up instead of warmup_ratio; below 1 a share of all steps
                warmup_steps: f64;
                /// AdamW's decay of the first moment, from 0 to below 1; default 0.9
                adam_beta1: f64;
                /// Decoupled weight decay of all but biases and norms, from 0 to 1; default 0.01
                weight_decay: f64;
                /// Gradients are scaled down to this norm; 0 switches it off; default 1
                max_grad_norm: f64;
                /// Seed of order, masks and dropout; equal seeds give equal bytes; default 42
                seed: u64;
                /// Optimizer steps between entries of the log; default a hundredth of all steps, at most 500
                logging_steps: u64;
                /// When held-out rows are evaluated: epoch, steps or no; before the first and after the last step they
                /// always are; default epoch
                eval_strategy: String, old ["evaluation_strategy"];
                /// Optimizer steps between evaluations where eval_strategy is steps, rounded so that an epoch has a whole
                /// number of them; default 500
                eval_steps: u64;
                /// Numbers in which the encoder computes: f32, bf16, or auto for what is quick on this machine; default auto
                dtype: String, old ["torch_dtype"];
                /// The same as dtype = "bf16"
                bf16: bool;
                /// Whether each layer keeps its inputs only and computes the rest again for the gradients: the same bytes with
                /// less memory, but slower; default false
                gradient_checkpointing: bool;
                /// Parameters that stay as they are: embeddings, layers:0-3 (the first is 0), head, or names of tensors
                /// such as *.LayerNorm.*; default none
                freeze: $crate::config::List<String>;
                /// Train these parameters only, named as those of freeze; default all
                train_only: $crate::config::List<String>;
                /// Begin with the head and go on from the top down: epoch for one more layer with each epoch, or the
                /// share of the steps after which all layers learn, above 0 and at most 1; default: all from the start
                gradual_unfreezing: String;
                /// Train low-rank matrices beside the encoder's weights instead of these (LoRA), of this rank, 1 or
                /// more; default: train the weights
                lora_rank: u64, old ["lora_r"];
                /// lora_rank: their product is multiplied by this / lora_rank, above 0; default lora_rank
                lora_alpha: f64;
                /// lora_rank: dropout on their input, from 0 to 0.95; above 0 it takes more time; default 0
                lora_dropout: f64;
                /// lora_rank: the linear layers, by their names or ends of those, or all-linear; default: as PEFT, of most
                /// families query and value
                lora_targets: $crate::config::List<String>, old ["lora_target_modules", "target_modules"];
                /// Optimizer steps between checkpoints; default 500
                save_steps: u64;
                /// Checkpoints kept while training, at least 2; default 2
                save_total_limit: u64;
            }
        }

        impl $request {
            /// Its training keys.
            fn training_keys(&mut self) -> $crate::config::training::TrainingKeys<'_> {
                $crate::config::training::TrainingKeys {
                    num_train_epochs: &mut self.num_train_epochs,
                    max_steps: &mut self.max_steps,
                    batch_size: &mut self.per_device_train_batch_size,
                    gradient_accumulation_steps: &mut self.gradient_accumulation_steps,
                    max_tokens_per_micro_batch: &mut self.max_tokens_per_micro_batch,
                    learning_rate: &mut self.learning_rate,
                    lr_scheduler_type: &mut self.lr_scheduler_type,
                    warmup_ratio: &mut self.warmup_ratio,
                    warmup_steps: &mut self.warmup_steps,
                    adam_beta1: &mut self.adam_beta1,
                    adam_beta2: &mut self.adam_beta2,
                    adam_epsilon: &mut self.adam_epsilon,
                    weight_decay: &mut self.weight_decay,
                    max_grad_norm: &mut self.max_grad_norm,
                    layerwise_lr_decay: &mut self.layerwise_lr_decay,
                    seed: &mut self.seed,
                    logging_steps: &mut self.logging_steps,
                    eval_strategy: &mut self.eval_strategy,
                    eval_steps: &mut self.eval_steps,
                    evaluations_per_epoch: &mut self.evaluations_per_epoch,
                    save_steps: &mut self.save_steps,
                    save_total_limit: &mut self.save_total_limit,
                    load_best_model_at_end: &mut self.load_best_model_at_end,
                    gradient_checkpointing: &mut self.gradient_checkpointing,
                    dtype: &mut self.dtype,
                    bf16: &mut self.bf16,
                    freeze: &mut self.freeze,
                    train_only: &mut self.train_only,
                    gradual_unfreezing: &mut self.gradual_unfreezing,
                    lora_rank: &mut self.lora_rank,
                    lora_alpha: &mut self.lora_alpha,
                    lora_dropout: &mut self.lora_dropout,
                    lora_targets: &mut self.lora_targets,
                }
            }
        }
    };
}
pub(super) use request_with_training;
