//! A request becomes settings.

use super::{CompareFacts, CompareRequest};
use crate::compare::{
    CompareSettings, FeatureSet, LabelledSource, RankingOptions, Route, TableSettings, UnlabelledSource,
};
use crate::config::check::{at_least_one, fill, one_of, positive, required, within};
use crate::config::choices::{c_grid, items, metric, task};
use crate::config::dtype::resolve_for_training;
use crate::config::duration::seconds;
use crate::config::values::List;
use crate::data::LabelBudget;
use crate::error::{Error, Result};
use std::path::{Path, PathBuf};

impl CompareRequest {
    /// What the columns of the labelled rows mean; fills the keys in.
    pub fn labelled(&mut self) -> Result<LabelledSource> {
        let test = fill(&mut self.test_fraction, || 0.2);
        let validation = fill(&mut self.validation_fraction, || 0.1);
        Ok(LabelledSource {
            source: required("labelled_file", self.labelled_file.as_ref(), "FILE")?,
            text_columns: items(self.text_column_names.as_ref()),
            text_column_delimiter: fill(&mut self.text_column_delimiter, || " ".to_owned()),
            label_column: fill(&mut self.label_column_name, || "label".to_owned()),
            task: task(self.problem_type.as_ref())?,
            group_column: self.group_column.clone(),
            split_column: self.split_column.clone(),
            time_column: self.time_column.clone(),
            test_fraction: within("test_fraction", test, 0.001..=0.999)?,
            validation_fraction: within("validation_fraction", validation, 0.0..=0.999)?,
            label_budget: self.label_budget()?,
        })
    }

    /// Where the unlabelled texts come from, if there are any.
    pub fn unlabelled(&self) -> Option<UnlabelledSource> {
        self.unlabelled_file.as_ref().map(|source| UnlabelledSource {
            source: source.clone(),
            text_column: self.unlabelled_text_column.clone(),
            limit: self.limit_unlabelled,
        })
    }

    /// The encoder as the user named it, or all that are to be ranked.
    pub fn models(&self) -> Result<Vec<String>> {
        let models = items(self.models.as_ref());
        if models.is_empty() {
            let key = "model_name_or_path";
            return Ok(vec![required(key, self.model_name_or_path.as_ref(), "FOLDER_OR_NAME")?]);
        }
        if self.model_name_or_path.is_some() {
            let problem = "model_name_or_path names an encoder as well";
            return Err(Error::config("models", problem, "give one of the two; models may name it too"));
        }
        let distinct: std::collections::BTreeSet<&String> = models.iter().collect();
        if distinct.len() != models.len() {
            return Err(Error::config("models", "an encoder is named twice", "name each once"));
        }
        Ok(models)
    }

    /// How several encoders are ranked; fills the keys in.
    pub fn ranking(&mut self) -> Result<RankingOptions> {
        let kept = at_least_one("models_kept", fill(&mut self.models_kept, || 1))?;
        let samples = fill(&mut self.models_max_samples, || 2_000);
        let max_samples = within("models_max_samples", samples, 20..=1_000_000_000)? as usize;
        Ok(RankingOptions { max_samples, kept: kept as usize })
    }

    /// Where everything is written.
    pub fn output_dir(&self) -> Result<PathBuf> {
        required("output_dir", self.output_dir.as_ref(), "FOLDER")
    }

    /// What the comparison does; fills every key in.
    pub fn resolve(&mut self, facts: &CompareFacts) -> Result<CompareSettings> {
        self.max_seq_length = Some(facts.labelled.max_seq_length as u64);
        let labelled = self.labelled()?;
        let unlabelled = self.unlabelled();
        let table = self.table();
        let features = self.features(table.is_some())?;
        let (routes, seeds) = (self.routes(unlabelled.is_some(), table.is_some(), &features)?, self.seeds()?);
        let learning = self.learning(table.is_some() || features != [FeatureSet::Text])?;
        let prepared = learning.preparation.expect("the request asks for engineered columns");
        resolve_for_training(&mut self.dtype, &mut self.bf16)?;
        let adapt = self.adapt(facts)?;
        let finetune = self.finetune(facts, &labelled)?;
        let joint = if routes.iter().any(|route| route.is_joint()) {
            Some(self.joint(finetune.clone(), features.iter().any(|set| set.has_engineered()))?)
        } else {
            None
        };
        let labels_without_training = routes.contains(&Route::Zeroshot);
        let adds_tokens = routes.iter().any(|route| route.extends_vocabulary());
        let vocabulary = adds_tokens.then(|| self.vocabulary()).transpose()?;
        let folds = within("cv_folds", fill(&mut self.cv_folds, || 5), 2..=20)? as u32;
        let out_of_fold = self.folds.map(|folds| within("folds", folds, 2..=20)).transpose()?;
        if out_of_fold.is_some() && self.split_column.is_some() {
            let problem = "split_column says already which rows are tested on";
            return Err(Error::config("folds", problem, "leave one of the two out"));
        }
        let resamples = within("resamples", fill(&mut self.resamples, || 5_000), 100..=1_000_000)? as usize;
        Ok(CompareSettings {
            title: fill(&mut self.title, || title_of(&labelled.source)),
            model: facts.model.clone(),
            model_name: facts.name.clone(),
            labelled,
            unlabelled,
            adapt_on_training_texts: fill(&mut self.adapt_on_training_texts, || true),
            allow_test_text_in_unlabelled: fill(&mut self.allow_test_text_in_unlabelled, || false),
            routes,
            features,
            table: table.map(|columns| TableSettings { columns, kinds: prepared.kinds }),
            preparation: prepared.preparation,
            engineered: prepared.engineered.unwrap_or_default(),
            joint,
            learner: learning.learner,
            label_curve: fill(&mut self.label_curve, || true),
            slice_columns: items(self.slice_columns.as_ref()),
            seeds,
            max_seq_length: Some(facts.labelled.max_seq_length),
            metric: self.metric.as_ref().map(|name| metric("metric", name)).transpose()?,
            objective: adapt.objective,
            masking: adapt.masking,
            adapt: adapt.training,
            zeroshot: self.zeroshot(facts)?.filter(|_| labels_without_training),
            vocabulary,
            held_out_fraction: self.held_out()?,
            head_init: finetune.head_init,
            classification: finetune.classification,
            finetune: finetune.training,
            contrastive: self.contrastive()?,
            c_grid: c_grid(&mut self.c_grid)?,
            folds,
            rope: within("equivalence_margin", fill(&mut self.equivalence_margin, || 0.005), 0.0..=1e9)?,
            certainty: within("certainty", fill(&mut self.certainty, || 0.95), 0.5..=0.999_999)?,
            resamples,
            output_dir: self.output_dir()?,
            out_of_fold: out_of_fold.map(|folds| folds as u32),
            budget: self.budget.as_ref().map(|text| seconds("budget", text)).transpose()?,
            pilot: self.pilot()?,
            adaptation_curve: fill(&mut self.adaptation_curve, || true),
            text_curve: self.text_curve()?,
            plan: None,
            ranking: None,
            further: Vec::new(),
        })
    }

    fn pilot(&mut self) -> Result<Option<f64>> {
        if !fill(&mut self.pilot, || false) {
            return Ok(None);
        }
        within("pilot_fraction", fill(&mut self.pilot_fraction, || 0.1), 0.01..=0.5).map(Some)
    }

    /// Ascending, each above 0 and below 1.
    fn text_curve(&self) -> Result<Vec<f64>> {
        let mut parts = items(self.text_curve.as_ref());
        for part in &parts {
            within("text_curve", *part, 0.001..=0.999)?;
        }
        parts.sort_by(f64::total_cmp);
        parts.dedup();
        Ok(parts)
    }

    fn label_budget(&self) -> Result<Option<LabelBudget>> {
        match (self.label_fraction, self.max_train_samples) {
            (None, None) => Ok(None),
            (Some(share), None) => {
                positive("label_fraction", within("label_fraction", share, 0.0..=1.0)?)?;
                Ok(Some(LabelBudget::Fraction(share)))
            }
            (None, Some(rows)) => {
                Ok(Some(LabelBudget::Rows(at_least_one("max_train_samples", rows)? as usize)))
            }
            (Some(_), Some(_)) => {
                let problem = "max_train_samples limits the labels as well";
                Err(Error::config("label_fraction", problem, "give one of the two"))
            }
        }
    }

    /// The columns beside the text, those of given kinds among them; none where none is named.
    fn table(&self) -> Option<Vec<String>> {
        let kinds = [
            &self.numerical_columns,
            &self.categorical_columns,
            &self.boolean_columns,
            &self.datetime_columns,
            &self.tag_columns,
        ];
        let is_named = self.feature_columns.is_some() || kinds.iter().any(|names| names.is_some());
        is_named.then(|| items(self.feature_columns.as_ref()))
    }

    fn features(&mut self, has_columns: bool) -> Result<Vec<FeatureSet>> {
        let usual = if has_columns { &["text", "text+columns"][..] } else { &["text"] };
        let names =
            fill(&mut self.features, || List(usual.iter().map(|name| (*name).to_owned()).collect())).0;
        let mut sets = vec![FeatureSet::Text];
        for name in &names {
            let set = one_of("features", name, &FeatureSet::ALL)?;
            if set.has_columns() && !has_columns {
                let hint = "give --feature_columns '*', or name columns";
                return Err(Error::config("features", format!("{name} needs columns"), hint));
            }
            sets.push(set);
        }
        sets.sort();
        sets.dedup();
        Ok(sets)
    }

    fn routes(
        &mut self,
        has_unlabelled: bool,
        has_columns: bool,
        features: &[FeatureSet],
    ) -> Result<Vec<Route>> {
        let has_beside = has_columns || features.iter().any(|set| set.has_engineered());
        let has_its_columns =
            |route: Route| (has_columns || !route.needs_columns()) && (has_beside || !route.is_joint());
        let has_zeroshot = self.zeroshot_model_name_or_path.is_some();
        let is_possible = |route: Route| {
            (has_unlabelled || !route.adapts())
                && has_its_columns(route)
                && (has_zeroshot || route != Route::Zeroshot)
        };
        let usual = |route: Route| is_possible(route) && !route.is_measured_where_named();
        let possible = Route::ALL.iter().filter(|(_, route, _)| usual(*route));
        let names =
            fill(&mut self.routes, || List(possible.map(|(name, ..)| (*name).to_owned()).collect())).0;
        let known: Vec<(&str, Route)> = Route::ALL.iter().map(|(name, route, _)| (*name, *route)).collect();
        let mut routes = Vec::new();
        for name in &names {
            let route = one_of("routes", name, &known)?;
            if route.adapts() && !has_unlabelled {
                let hint = "give --unlabelled_file FILE, or leave the route out";
                return Err(Error::config("routes", format!("{name} needs unlabelled texts"), hint));
            }
            if route == Route::Zeroshot && !has_zeroshot {
                let hint = "give --zeroshot_model_name_or_path MODEL, or leave the route out";
                return Err(Error::config("routes", "zeroshot needs a model of its own", hint));
            }
            if !has_its_columns(route) {
                let hint = "give --feature_columns '*', or leave the route out";
                return Err(Error::config("routes", format!("{name} needs columns beside the text"), hint));
            }
            routes.push(route);
        }
        routes.sort();
        routes.dedup();
        if routes.is_empty() {
            return Err(Error::config(
                "routes",
                "none is chosen",
                "choose at least one, or leave routes out",
            ));
        }
        Ok(routes)
    }

    fn seeds(&mut self) -> Result<Vec<u64>> {
        let count = within("num_seeds", self.num_seeds.unwrap_or(3), 1..=100)?;
        let seeds = fill(&mut self.seeds, || List((42..42 + count).collect())).0;
        let distinct: std::collections::BTreeSet<u64> = seeds.iter().copied().collect();
        if seeds.is_empty() || distinct.len() != seeds.len() {
            return Err(Error::config(
                "seeds",
                "the seeds are none, or one is named twice",
                "name each seed once",
            ));
        }
        // The list says it all, and a saved request must not say it twice.
        self.num_seeds = None;
        Ok(seeds)
    }

    fn held_out(&mut self) -> Result<f64> {
        let share = within("held_out_fraction", fill(&mut self.held_out_fraction, || 0.05), 0.0..=0.5)?;
        positive("held_out_fraction", share)
    }
}

fn title_of(source: &str) -> String {
    Path::new(source)
        .file_stem()
        .map_or_else(|| source.to_owned(), |name| name.to_string_lossy().into_owned())
}
