//! What `steep finetune` trains for, from its keys.

use super::check::{fill, one_of, positive, within};
use super::choices::items;
use super::finetune::FinetuneRequest;
use crate::config::ClassifyRequest;
use crate::error::{Error, Result};
use crate::objectives::{EmbeddingLoss, EmbeddingSettings, MaskingSettings, TripletMining};
use crate::stages::{ClassifySettings, ContrastiveSettings, FinetuneSettings, MultiTaskSettings};

/// Losses of vectors, each with its default temperature: those of sentence-transformers (a scale of 20) and of Khosla
/// et al. (2020, arXiv 2004.11362).
#[derive(Debug, Clone, Copy, PartialEq)]
enum Name {
    Classification,
    MultipleNegativesRanking,
    Triplet,
    SupervisedContrastive,
    Cosent,
}

const NAMES: [(&str, Name); 5] = [
    ("classification", Name::Classification),
    ("multiple_negatives_ranking", Name::MultipleNegativesRanking),
    ("triplet", Name::Triplet),
    ("supervised_contrastive", Name::SupervisedContrastive),
    ("cosent", Name::Cosent),
];

const MINING: [(&str, TripletMining); 2] = [("hard", TripletMining::Hard), ("all", TripletMining::All)];

/// sentence-transformers' margin of triplets, in Euclidean distances.
const MARGIN: f64 = 5.0;

impl FinetuneRequest {
    /// How vectors are trained, where the objective asks for that; none where encoder and head are trained together.
    pub fn embedding(&mut self) -> Result<Option<EmbeddingSettings>> {
        let name = fill(&mut self.objective, || "classification".to_owned());
        let objective = one_of("objective", &name, &NAMES)?;
        self.check_objective_keys(objective, &name)?;
        let loss = match objective {
            Name::Classification => return Ok(None),
            Name::Triplet => {
                let mining = fill(&mut self.triplet_mining, || "hard".to_owned());
                let mining = one_of("triplet_mining", &mining, &MINING)?;
                EmbeddingLoss::Triplet {
                    mining,
                    margin: positive("margin", fill(&mut self.margin, || MARGIN))?,
                }
            }
            Name::MultipleNegativesRanking => {
                EmbeddingLoss::MultipleNegativesRanking { temperature: self.temperature(0.05)? }
            }
            Name::SupervisedContrastive => {
                EmbeddingLoss::SupervisedContrastive { temperature: self.temperature(0.07)? }
            }
            Name::Cosent => EmbeddingLoss::Cosent { temperature: self.temperature(0.05)? },
        };
        let dims = items(self.matryoshka_dims.as_ref()).into_iter();
        let dims = dims.map(|dim| Ok(super::check::at_least_one("matryoshka_dims", dim)? as usize));
        Ok(Some(EmbeddingSettings { loss, matryoshka_dims: dims.collect::<Result<_>>()? }))
    }

    fn temperature(&mut self, default: f64) -> Result<f64> {
        positive("temperature", fill(&mut self.temperature, || default))
    }

    /// Refuses keys of other objectives.
    fn check_objective_keys(&self, objective: Name, name: &str) -> Result<()> {
        let classifies = objective == Name::Classification;
        let takes_triplets = objective == Name::Triplet;
        let of_others = [
            ("temperature", self.temperature.is_some() && (classifies || takes_triplets)),
            ("triplet_mining", self.triplet_mining.is_some() && !takes_triplets),
            ("margin", self.margin.is_some() && !takes_triplets),
            ("matryoshka_dims", self.matryoshka_dims.is_some() && classifies),
            (
                "label_smoothing_factor",
                self.label_smoothing_factor.is_some_and(|share| share > 0.0) && !classifies,
            ),
            ("joint", self.joint == Some(true) && !classifies),
            ("mlm_weight", self.mlm_weight.is_some_and(|weight| weight > 0.0) && !classifies),
        ];
        match of_others.into_iter().find(|(_, given)| *given) {
            None => Ok(()),
            Some((key, _)) => {
                let problem = format!("means nothing to the objective {name}");
                Err(Error::config(key, problem, format!("leave {key} out, or choose another objective")))
            }
        }
    }

    /// What the stage of vectors does, from what [`Self::resolve`] gave; and how the classifier is fitted.
    pub fn resolve_contrastive(
        &self,
        settings: FinetuneSettings,
        embedding: EmbeddingSettings,
    ) -> Result<(ContrastiveSettings, ClassifySettings)> {
        let FinetuneSettings { training, max_seq_length, .. } = settings;
        let mut classifier = ClassifyRequest {
            class_weight: self.class_weight.clone(),
            problem_type: self.problem_type.clone(),
            seed: self.seed,
            ..ClassifyRequest::default()
        };
        Ok((ContrastiveSettings { embedding, training, max_seq_length }, classifier.resolve()?))
    }

    /// Masked language modelling beside the labels, if it counts.
    pub(super) fn multi_task(&mut self) -> Result<Option<MultiTaskSettings>> {
        let mlm_weight = within("mlm_weight", fill(&mut self.mlm_weight, || 0.0), 0.0..=1e6)?;
        if mlm_weight == 0.0 {
            if self.mlm_probability.is_some() {
                let hint = "give --mlm_weight 0.1";
                return Err(Error::config("mlm_probability", "means nothing without mlm_weight", hint));
            }
            return Ok(None);
        }
        if self.joint == Some(true) {
            let hint = "leave one of the two out";
            return Err(Error::config("mlm_weight", "is not for one network over text and columns", hint));
        }
        let probability = fill(&mut self.mlm_probability, || MaskingSettings::EVALUATION.mlm_probability);
        let mlm_probability = within("mlm_probability", probability, 0.0..=0.9)?;
        positive("mlm_probability", mlm_probability)?;
        let masking = MaskingSettings { mlm_probability, ..MaskingSettings::EVALUATION };
        Ok(Some(MultiTaskSettings { mlm_weight, masking }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::List;

    fn embedding(request: FinetuneRequest) -> Result<Option<EmbeddingSettings>, String> {
        request.clone().embedding().map_err(|error| match error {
            Error::Config { key, .. } => key,
            other => panic!("{other:?}"),
        })
    }

    fn objective(name: &str) -> FinetuneRequest {
        FinetuneRequest { objective: Some(name.to_owned()), ..FinetuneRequest::default() }
    }

    #[test]
    fn objectives_have_their_defaults() {
        assert_eq!(embedding(FinetuneRequest::default()), Ok(None));
        let loss = |name: &str| embedding(objective(name)).unwrap().unwrap().loss;
        assert_eq!(
            loss("multiple_negatives_ranking"),
            EmbeddingLoss::MultipleNegativesRanking { temperature: 0.05 }
        );
        assert_eq!(loss("triplet"), EmbeddingLoss::Triplet { mining: TripletMining::Hard, margin: 5.0 });
        assert_eq!(
            loss("supervised_contrastive"),
            EmbeddingLoss::SupervisedContrastive { temperature: 0.07 }
        );
        assert_eq!(loss("cosent"), EmbeddingLoss::Cosent { temperature: 0.05 });
    }

    #[test]
    fn keys_of_other_objectives_are_refused_by_their_names() {
        let refused = |request| embedding(request).unwrap_err();
        assert_eq!(refused(objective("contrastive")), "objective");
        assert_eq!(refused(FinetuneRequest { margin: Some(1.0), ..objective("cosent") }), "margin");
        assert_eq!(
            refused(FinetuneRequest { temperature: Some(1.0), ..objective("triplet") }),
            "temperature"
        );
        assert_eq!(
            refused(FinetuneRequest { matryoshka_dims: Some(List(vec![8])), ..FinetuneRequest::default() }),
            "matryoshka_dims"
        );
        assert_eq!(
            refused(FinetuneRequest { matryoshka_dims: Some(List(vec![0])), ..objective("cosent") }),
            "matryoshka_dims"
        );
        assert_eq!(refused(FinetuneRequest { joint: Some(true), ..objective("cosent") }), "joint");
        assert_eq!(refused(FinetuneRequest { mlm_weight: Some(0.1), ..objective("cosent") }), "mlm_weight");
    }
}
