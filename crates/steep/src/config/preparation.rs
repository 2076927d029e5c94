//! The keys that prepare raw columns, of `steep classify` and `steep finetune --joint`.

use super::ClassifyRequest;
use super::check::{at_least_one, fill, one_of, within};
use super::choices::items;
use super::engineered::engineered;
use super::values::{KeyValue, List};
use crate::error::{Error, Result};
use crate::features::columns::ColumnKind;
use crate::features::preparation::{Block, CategoricalEncoding, Imputation, PreparationSettings, ScalerKind};
use crate::stages::PreparedFeatures;

/// The keys of preparation that classify and finetune share, wherever they lie in the request.
pub(super) struct ColumnKeys<'a> {
    pub(super) numerical_columns: &'a mut Option<List<String>>,
    pub(super) categorical_columns: &'a mut Option<List<String>>,
    pub(super) boolean_columns: &'a mut Option<List<String>>,
    pub(super) datetime_columns: &'a mut Option<List<String>>,
    pub(super) tag_columns: &'a mut Option<List<String>>,
    pub(super) engineered_features: &'a mut Option<bool>,
    pub(super) engineered_families: &'a mut Option<List<String>>,
    pub(super) engineered_top_k: &'a mut Option<u64>,
    pub(super) text_column_names: &'a mut Option<List<String>>,
    pub(super) text_column_delimiter: &'a mut Option<String>,
    pub(super) imputation: &'a mut Option<String>,
    pub(super) fill_value: &'a mut Option<f64>,
    pub(super) missing_flags: &'a mut Option<bool>,
    pub(super) scaler: &'a mut Option<List<String>>,
    pub(super) categorical_encoding: &'a mut Option<String>,
    pub(super) min_category_count: &'a mut Option<u64>,
    pub(super) max_categories: &'a mut Option<u64>,
    pub(super) hashing_features: &'a mut Option<u64>,
    pub(super) max_tags: &'a mut Option<u64>,
}

/// Names one field of a request after the other as [`ColumnKeys`].
macro_rules! column_keys {
    ($request:expr) => {
        $crate::config::preparation::ColumnKeys {
            numerical_columns: &mut $request.numerical_columns,
            categorical_columns: &mut $request.categorical_columns,
            boolean_columns: &mut $request.boolean_columns,
            datetime_columns: &mut $request.datetime_columns,
            tag_columns: &mut $request.tag_columns,
            engineered_features: &mut $request.engineered_features,
            engineered_families: &mut $request.engineered_families,
            engineered_top_k: &mut $request.engineered_top_k,
            text_column_names: &mut $request.text_column_names,
            text_column_delimiter: &mut $request.text_column_delimiter,
            imputation: &mut $request.imputation,
            fill_value: &mut $request.fill_value,
            missing_flags: &mut $request.missing_flags,
            scaler: &mut $request.scaler,
            categorical_encoding: &mut $request.categorical_encoding,
            min_category_count: &mut $request.min_category_count,
            max_categories: &mut $request.max_categories,
            hashing_features: &mut $request.hashing_features,
            max_tags: &mut $request.max_tags,
        }
    };
}
pub(super) use column_keys;

impl ColumnKeys<'_> {
    /// The first key that is given and has no use but with columns.
    pub(super) fn first_given(&self) -> Option<&'static str> {
        let given = [
            ("numerical_columns", self.numerical_columns.is_some()),
            ("categorical_columns", self.categorical_columns.is_some()),
            ("boolean_columns", self.boolean_columns.is_some()),
            ("datetime_columns", self.datetime_columns.is_some()),
            ("tag_columns", self.tag_columns.is_some()),
            ("engineered_features", self.engineered_features.is_some()),
            ("engineered_families", self.engineered_families.is_some()),
            ("engineered_top_k", self.engineered_top_k.is_some()),
            ("imputation", self.imputation.is_some()),
            ("fill_value", self.fill_value.is_some()),
            ("missing_flags", self.missing_flags.is_some()),
            ("scaler", self.scaler.is_some()),
            ("categorical_encoding", self.categorical_encoding.is_some()),
            ("min_category_count", self.min_category_count.is_some()),
            ("max_categories", self.max_categories.is_some()),
            ("hashing_features", self.hashing_features.is_some()),
            ("max_tags", self.max_tags.is_some()),
        ];
        given.into_iter().find(|(_, given)| *given).map(|(name, _)| name)
    }

    /// How columns are prepared for whatever takes them as they come: no vectors, no selection, no scaling of blocks.
    /// Fills the keys in.
    pub(super) fn prepared(
        mut self,
        default_encoding: &str,
        encodings: &[(&str, CategoricalEncoding)],
    ) -> Result<PreparedFeatures> {
        let kinds = self.kinds()?;
        let engineered = if fill(self.engineered_features, || false) {
            Some(engineered(self.engineered_families, self.engineered_top_k)?)
        } else {
            None
        };
        let usual = PreparationSettings::default();
        let encoding = fill(self.categorical_encoding, || default_encoding.to_owned());
        let preparation = PreparationSettings {
            imputation: self.imputation()?,
            missing_flags: fill(self.missing_flags, || true),
            scalers: scalers(&fill(self.scaler, || List(vec!["standard".to_owned()])).0)?,
            categorical_encoding: one_of("categorical_encoding", &encoding, encodings)?,
            min_category_count: at_least_one(
                "min_category_count",
                fill(self.min_category_count, || usual.min_category_count),
            )?,
            max_categories: count("max_categories", self.max_categories, usual.max_categories, 2)?,
            hashing_features: count("hashing_features", self.hashing_features, usual.hashing_features, 1)?,
            max_tags: count("max_tags", self.max_tags, usual.max_tags, 0)?,
            block_scaling: false,
            ..usual
        };
        Ok(PreparedFeatures {
            kinds,
            text_columns: items(self.text_column_names.as_ref()),
            text_column_delimiter: fill(self.text_column_delimiter, || " ".to_owned()),
            engineered,
            preparation,
        })
    }

    fn kinds(&self) -> Result<Vec<(String, ColumnKind)>> {
        let given = [
            (&self.numerical_columns, ColumnKind::Numerical),
            (&self.categorical_columns, ColumnKind::Categorical),
            (&self.boolean_columns, ColumnKind::Boolean),
            (&self.datetime_columns, ColumnKind::Datetime { day_first: false }),
            (&self.tag_columns, ColumnKind::Tags),
        ];
        let mut kinds: Vec<(String, ColumnKind)> = Vec::new();
        for (names, kind) in given {
            for name in items(names.as_ref()) {
                if let Some((_, other)) = kinds.iter().find(|(known, _)| *known == name) {
                    let problem = format!("'{name}' is named as {} and as {}", other.name(), kind.name());
                    return Err(Error::config(format!("{}_columns", kind.name()), problem, "name it once"));
                }
                kinds.push((name, kind));
            }
        }
        Ok(kinds)
    }

    fn imputation(&mut self) -> Result<Imputation> {
        let constant = Imputation::Constant(self.fill_value.unwrap_or(0.0));
        let name = fill(self.imputation, || "median".to_owned());
        let known = [
            ("mean", Imputation::Mean),
            ("median", Imputation::Median),
            ("most_frequent", Imputation::MostFrequent),
            ("constant", constant),
        ];
        let imputation = one_of("imputation", &name, &known)?;
        if self.fill_value.is_some() && imputation != constant {
            let problem = format!("has no use with imputation {name}");
            return Err(Error::config("fill_value", problem, "set imputation to constant"));
        }
        Ok(imputation)
    }
}

impl ClassifyRequest {
    /// How features are prepared, if one of the keys for that is given; fills all of them in then.
    pub(super) fn preparation(&mut self) -> Result<Option<PreparedFeatures>> {
        if !self.asks_for_preparation() {
            return Ok(None);
        }
        let mut features = column_keys!(self).prepared("one_hot", &CategoricalEncoding::ALL)?;
        let settings = &mut features.preparation;
        settings.pca_components = positive_count("pca_components", self.pca_components)?;
        settings.variance_threshold = match self.variance_threshold {
            Some(least) if !(least >= 0.0 && least.is_finite()) => {
                let problem = format!("{least} is not possible");
                return Err(Error::config("variance_threshold", problem, "give 0 or more"));
            }
            threshold => threshold,
        };
        settings.select_k_best = positive_count("select_k_best", self.select_k_best)?;
        settings.block_scaling = fill(&mut self.block_scaling, || true);
        settings.block_weights = weights(&items(self.block_weights.as_ref()))?;
        if settings.block_scaling && self.scaling.as_ref().is_some_and(|scaling| scaling != "none") {
            let hint =
                "leave scaling out (the key scaler is for prepared columns), or set block_scaling to false";
            return Err(Error::config("scaling", "would undo the scaling of the blocks", hint));
        }
        Ok(Some(features))
    }

    fn asks_for_preparation(&mut self) -> bool {
        let numbers = [self.pca_components, self.select_k_best];
        let others =
            [self.block_weights.is_some(), self.block_scaling.is_some(), self.variance_threshold.is_some()];
        column_keys!(self).first_given().is_some()
            || numbers.iter().any(Option::is_some)
            || others.contains(&true)
    }
}

fn count(key: &str, value: &mut Option<u64>, default: usize, least: u64) -> Result<usize> {
    within(key, fill(value, || default as u64), least..=1 << 20).map(|value| value as usize)
}

fn positive_count(key: &str, value: Option<u64>) -> Result<Option<usize>> {
    value.map(|value| at_least_one(key, value).map(|value| value as usize)).transpose()
}

fn scalers(names: &[String]) -> Result<Vec<ScalerKind>> {
    if names.len() == 1 && names[0] == "none" {
        return Ok(Vec::new());
    }
    let mut known = ScalerKind::ALL.to_vec();
    // A near miss of `none` gets its hint too; that it stands alone is checked above.
    known.push(("none", ScalerKind::Standard));
    let scaler = |name: &String| {
        if name == "none" {
            return Err(Error::config("scaler", "'none' stands beside others", "leave it out"));
        }
        one_of("scaler", name, &known)
    };
    names.iter().map(scaler).collect()
}

fn weights(given: &[String]) -> Result<Vec<(Block, f64)>> {
    let mut weights: Vec<(Block, f64)> = Vec::new();
    for text in given {
        let hint = "write block=number, such as columns=2";
        let fault = |problem: String| Error::config("block_weights", problem, hint);
        let (name, number) = text.split_once('=').ok_or_else(|| fault(format!("'{text}' has no =")))?;
        let block = one_of("block_weights", name.trim(), &Block::ALL)?;
        let weight = f64::parse(number).map_err(|problem| fault(format!("'{number}': {problem}")))?;
        if weight <= 0.0 {
            return Err(fault(format!("{weight} is not above 0")));
        }
        if weights.iter().any(|(known, _)| *known == block) {
            return Err(fault(format!("{} is named twice", block.name())));
        }
        weights.push((block, weight));
    }
    Ok(weights)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::to_toml;

    fn request(change: impl FnOnce(&mut ClassifyRequest)) -> ClassifyRequest {
        let mut request = ClassifyRequest::default();
        change(&mut request);
        request
    }

    fn list(items: &[&str]) -> List<String> {
        List(items.iter().map(|item| (*item).to_owned()).collect())
    }

    #[test]
    fn features_are_prepared_when_a_key_says_so_and_left_alone_otherwise() {
        let settings = ClassifyRequest::default().resolve().unwrap();
        assert!(settings.preparation.is_none());
        let settings =
            request(|request| request.categorical_columns = Some(list(&["colour"]))).resolve().unwrap();
        assert_eq!(settings.preparation.unwrap().kinds, [("colour".to_owned(), ColumnKind::Categorical)]);
        assert_eq!(settings.scaling, crate::features::scaling::Scaling::None);
    }

    #[test]
    fn a_completed_request_resolves_to_the_same() {
        let mut first = request(|request| {
            request.scaler = Some(list(&["log1p", "standard"]));
            request.engineered_features = Some(true);
            request.block_weights = Some(list(&["columns=2", "engineered=0.5"]));
            request.datetime_columns = Some(list(&["made"]));
            request.imputation = Some("constant".into());
            request.fill_value = Some(-1.0);
        });
        let settings = first.resolve().unwrap();
        let prepared = settings.preparation.as_ref().unwrap();
        assert_eq!(prepared.preparation.scalers, [ScalerKind::Log1p, ScalerKind::Standard]);
        assert_eq!(prepared.preparation.block_weights, [(Block::Columns, 2.0), (Block::Engineered, 0.5)]);
        assert_eq!(prepared.preparation.imputation, Imputation::Constant(-1.0));
        let mut again: ClassifyRequest = toml::from_str(&to_toml(&first)).unwrap();
        assert_eq!(again.resolve().unwrap(), settings);
    }

    #[test]
    fn what_does_not_fit_together_is_refused_with_a_hint() {
        let refused = [
            request(|request| {
                request.scaler = Some(list(&["standard"]));
                request.scaling = Some("standard".into());
            }),
            request(|request| request.scaler = Some(list(&["none", "log1p"]))),
            request(|request| request.scaler = Some(list(&["standart"]))),
            request(|request| request.block_weights = Some(list(&["columns"]))),
            request(|request| request.block_weights = Some(list(&["columns=-1"]))),
            request(|request| request.block_weights = Some(list(&["columns=1", "columns=2"]))),
            request(|request| request.fill_value = Some(1.0)),
            request(|request| request.pca_components = Some(0)),
            request(|request| request.variance_threshold = Some(-1.0)),
            request(|request| {
                request.numerical_columns = Some(list(&["a"]));
                request.tag_columns = Some(list(&["a"]));
            }),
            request(|request| {
                request.engineered_features = Some(true);
                request.engineered_families = Some(list(&["emojis"]));
            }),
        ];
        for mut request in refused {
            let error = request.resolve().unwrap_err();
            assert!(error.hint().is_some(), "{error}");
        }
    }
}
