//! The keys of `steep finetune` for one network over texts and columns.

use super::check::{at_least_one, fill, one_of, positive, within};
use super::finetune::FinetuneRequest;
use super::preparation::column_keys;
use crate::error::{Error, Result};
use crate::features::preparation::CategoricalEncoding;
use crate::stages::{FinetuneSettings, HeadInit, JointSettings, PreparedFeatures};
use steep_encoder::{CombineMethod, TabularSettings};

/// The encodings that a network takes: all but that of the labels' means, which is no use where labels are learned anyway.
const ENCODINGS: [(&str, CategoricalEncoding); 4] = [
    ("embedding", CategoricalEncoding::Embedding),
    ("one_hot", CategoricalEncoding::OneHot),
    ("ordinal", CategoricalEncoding::Ordinal),
    ("hashing", CategoricalEncoding::Hashing),
];

impl FinetuneRequest {
    /// How columns are prepared, where `joint` asks for them; fills the keys in.
    ///
    /// # Errors
    /// A key of columns without `joint`.
    pub fn joint_features(&mut self) -> Result<Option<PreparedFeatures>> {
        if fill(&mut self.joint, || false) {
            return column_keys!(self).prepared("embedding", &ENCODINGS).map(Some);
        }
        let own = [
            ("feature_columns", self.feature_columns.is_some()),
            ("combine_feat_method", self.combine_feat_method.is_some()),
            ("modality_dropout", self.modality_dropout.is_some()),
            ("tabular_learning_rate", self.tabular_learning_rate.is_some()),
            ("mlp_hidden_size", self.mlp_hidden_size.is_some()),
            ("tabular_dropout", self.tabular_dropout.is_some()),
            ("gating_beta", self.gating_beta.is_some()),
        ];
        let own = own.into_iter().find(|(_, given)| *given).map(|(name, _)| name);
        match own.or_else(|| column_keys!(self).first_given()) {
            None => Ok(None),
            Some(key) => {
                let hint = "add --joint to train text and columns together, or leave it out";
                Err(Error::config(key, "has no use without joint", hint))
            }
        }
    }

    /// What the stage of text and columns does; fills the keys in.
    pub fn resolve_joint(
        &mut self,
        finetune: FinetuneSettings,
        features: PreparedFeatures,
    ) -> Result<JointSettings> {
        if finetune.head_init != HeadInit::Random {
            let problem = "a head over text and columns is always new";
            return Err(Error::config("head_init", problem, "leave it out, or leave out joint"));
        }
        let method = fill(&mut self.combine_feat_method, || "concat".to_owned());
        let hidden_size = fill(&mut self.mlp_hidden_size, || 64);
        let dropout = fill(&mut self.tabular_dropout, || 0.1);
        let gating_beta = positive("gating_beta", fill(&mut self.gating_beta, || 0.2))?;
        let rate = fill(&mut self.tabular_learning_rate, || 1e-3);
        let modality_dropout = fill(&mut self.modality_dropout, || 0.0);
        let tabular = TabularSettings {
            combine_feat_method: one_of("combine_feat_method", &method, &CombineMethod::ALL)?,
            mlp_hidden_size: within(
                "mlp_hidden_size",
                at_least_one("mlp_hidden_size", hidden_size)?,
                1..=1 << 16,
            )? as usize,
            dropout: within("tabular_dropout", dropout, 0.0..=0.95)? as f32,
            gating_beta: gating_beta as f32,
        };
        Ok(JointSettings {
            finetune,
            features,
            tabular,
            tabular_learning_rate: positive(
                "tabular_learning_rate",
                within("tabular_learning_rate", rate, 0.0..=1.0)?,
            )?,
            modality_dropout: within("modality_dropout", modality_dropout, 0.0..=0.9)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Facts, List, to_toml};

    fn resolved(request: &mut FinetuneRequest) -> Result<Option<JointSettings>> {
        let features = request.joint_features()?;
        let facts =
            Facts { rows: 500, hidden_size: 384, num_hidden_layers: 6, max_seq_length: 128, new_rows: None };
        let finetune = request.resolve(&facts, Vec::new())?;
        features.map(|features| request.resolve_joint(finetune, features)).transpose()
    }

    #[test]
    fn a_completed_request_resolves_to_the_same() {
        let mut request = FinetuneRequest {
            joint: Some(true),
            categorical_columns: Some(List(vec!["colour".into()])),
            combine_feat_method: Some("gating_on_cat_and_num_feats_then_sum".into()),
            modality_dropout: Some(0.2),
            ..FinetuneRequest::default()
        };
        let settings = resolved(&mut request).unwrap().unwrap();
        assert_eq!(settings.tabular.combine_feat_method, CombineMethod::GatingOnCatAndNumFeatsThenSum);
        let preparation = &settings.features.preparation;
        assert_eq!(preparation.categorical_encoding, CategoricalEncoding::Embedding);
        assert!(!preparation.block_scaling);
        let mut again: FinetuneRequest = toml::from_str(&to_toml(&request)).unwrap();
        assert_eq!(resolved(&mut again).unwrap().unwrap(), settings);
    }

    #[test]
    fn keys_of_columns_need_joint_and_every_method_has_its_name() {
        assert_eq!(resolved(&mut FinetuneRequest::default()).unwrap(), None);
        let request = FinetuneRequest { gating_beta: Some(0.5), ..FinetuneRequest::default() };
        assert!(resolved(&mut request.clone()).unwrap_err().hint().unwrap().contains("--joint"));
        let request =
            FinetuneRequest { tag_columns: Some(List(vec!["tags".into()])), ..FinetuneRequest::default() };
        assert!(resolved(&mut request.clone()).unwrap_err().to_string().starts_with("tag_columns"));
        for (name, method) in CombineMethod::ALL {
            assert_eq!(serde_json::to_value(method).unwrap(), name);
        }
        let target = FinetuneRequest {
            joint: Some(true),
            categorical_encoding: Some("target".into()),
            ..FinetuneRequest::default()
        };
        assert!(resolved(&mut target.clone()).is_err());
    }
}
