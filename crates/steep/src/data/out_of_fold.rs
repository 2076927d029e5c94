//! Every row measured once: which rows train, validate and test in each fold?

use super::assign::{by_time, units};
use super::folds::k_folds;
use super::labelled::Labelled;
use super::splits::{
    Split, SplitMethod, SplitOptions, check_filled, deal_by_class, deal_by_group, deal_by_time, lacks,
};
use crate::error::{Error, Result};

/// One split a fold. Stratified and grouped, each row is in the test part of one fold and in none of the same fold's
/// other parts.
///
/// By time, the rows lie in `folds + 1` blocks, one after the other; a fold tests on a block and fits on all earlier ones
/// (a growing window), so that the first block is never tested on. Validation rows are cut from those to fit on, in the
/// same way: `validation_fraction` is a share of all rows, at most half of those.
///
/// # Errors
/// A split column, which leaves nothing to deal; fewer than two folds; fewer rows or groups than folds; a method that
/// lacks its column.
pub fn out_of_fold(rows: &Labelled, options: &SplitOptions, folds: u32) -> Result<Vec<Split>> {
    let all = rows.labels.len();
    let tested = tested(rows, options, folds)?;
    let split = |fold: u32| {
        let is_tested = |row: &u32| tested[*row as usize] == Some(fold);
        let is_free = |row: &u32| match options.method {
            SplitMethod::Time => tested[*row as usize].is_none_or(|other| other < fold),
            _ => !is_tested(row),
        };
        let members: Vec<u32> = (0..all as u32).filter(is_free).collect();
        let share = options.validation_fraction * all as f64 / members.len().max(1) as f64;
        let mut split = cut(rows, options, &members, share.min(0.5))?;
        split.test = (0..all as u32).filter(is_tested).collect();
        check_filled(&split, &[1.0, options.validation_fraction, 1.0])?;
        Ok(split)
    };
    (0..folds).map(split).collect()
}

/// The fold that each row is tested in.
fn tested(rows: &Labelled, options: &SplitOptions, folds: u32) -> Result<Vec<Option<u32>>> {
    match options.method {
        SplitMethod::Column => {
            let problem = "the split column says already which rows are tested on";
            Err(Error::config("folds", problem, "leave split_column or folds out"))
        }
        SplitMethod::Stratified | SplitMethod::Grouped => {
            let dealt = k_folds(&rows.labels, rows.groups.as_deref(), folds, options.seed)?;
            Ok(dealt.into_iter().map(Some).collect())
        }
        SplitMethod::Time => {
            let times = rows.time.as_deref().ok_or_else(|| lacks("time", "time_column"))?;
            let (strata, _) = rows.labels.strata();
            let all: Vec<u32> = (0..rows.labels.len() as u32).collect();
            let units = units(&all, &strata, rows.groups.as_deref());
            let fractions = vec![1.0 / f64::from(folds + 1); folds as usize + 1];
            let mut tested = vec![None; all.len()];
            for (unit, block) in units.iter().zip(by_time(&units, times, &fractions)) {
                for row in &unit.rows {
                    tested[*row as usize] = block.checked_sub(1);
                }
            }
            Ok(tested)
        }
    }
}

/// Training and validation rows of a fold.
fn cut(rows: &Labelled, options: &SplitOptions, members: &[u32], share: f64) -> Result<Split> {
    let fractions = [1.0 - share, share];
    match options.method {
        SplitMethod::Time => deal_by_time(rows, members, &fractions),
        SplitMethod::Grouped => Ok(deal_by_group(rows, members, &fractions, options.seed)),
        _ => Ok(deal_by_class(rows, members, &fractions, options.seed)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Labels, RowOrigins};
    use proptest::prelude::*;

    fn rows(ids: Vec<u32>) -> Labelled {
        let count = ids.len();
        Labelled {
            texts: vec![String::new(); count],
            labels: Labels::Single { names: (0..4).map(|class| class.to_string()).collect(), ids },
            groups: None,
            splits: None,
            time: None,
            missing_texts: 0,
            origins: RowOrigins::default(),
        }
    }

    fn options(method: SplitMethod, seed: u64) -> SplitOptions {
        SplitOptions { method, validation_fraction: 0.1, test_fraction: 0.2, seed }
    }

    fn parts(split: &Split) -> Vec<u32> {
        let mut all: Vec<u32> =
            split.train.iter().chain(&split.validation).chain(&split.test).copied().collect();
        all.sort_unstable();
        all
    }

    proptest! {
        #[test]
        fn each_row_is_tested_once_and_by_a_fold_that_does_not_fit_on_it(
            ids in prop::collection::vec(0_u32..4, 60..200),
            folds in 2_u32..6,
            seed: u64,
        ) {
            let rows = rows(ids);
            let all: Vec<u32> = (0..rows.labels.len() as u32).collect();
            let splits = out_of_fold(&rows, &options(SplitMethod::Stratified, seed), folds).unwrap();
            let mut tested: Vec<u32> = splits.iter().flat_map(|split| split.test.clone()).collect();
            tested.sort_unstable();
            prop_assert_eq!(&tested, &all);
            for split in &splits {
                prop_assert_eq!(parts(split), all.clone());
                let share = split.validation.len() as f64 / all.len() as f64;
                prop_assert!((share - 0.1).abs() < 0.03, "{}", share);
            }
        }

        #[test]
        fn groups_never_straddle_the_parts_of_a_fold(
            pairs in prop::collection::vec((0_u32..4, 0_u32..30), 150..300),
            seed: u64,
        ) {
            let (ids, groups): (Vec<u32>, Vec<u32>) = pairs.into_iter().unzip();
            let rows = Labelled { groups: Some(groups.iter().map(u32::to_string).collect()), ..rows(ids) };
            for split in out_of_fold(&rows, &options(SplitMethod::Grouped, seed), 4).unwrap() {
                let of = |part: &[u32]| -> std::collections::BTreeSet<u32> {
                    part.iter().map(|row| groups[*row as usize]).collect()
                };
                let (train, validation, test) = (of(&split.train), of(&split.validation), of(&split.test));
                prop_assert!(train.is_disjoint(&test) && train.is_disjoint(&validation) && validation.is_disjoint(&test));
            }
        }
    }

    #[test]
    fn by_time_a_fold_fits_on_the_past_only_and_the_first_block_is_never_tested() {
        let times: Vec<f64> = (0..120).map(|row| f64::from((row * 37) % 120)).collect();
        let rows = Labelled { time: Some(times.clone()), ..rows((0..120).map(|row| row % 4).collect()) };
        let splits = out_of_fold(&rows, &options(SplitMethod::Time, 1), 5).unwrap();
        let ends = |part: &[u32]| {
            let times = || part.iter().map(|row| times[*row as usize]);
            (times().fold(f64::INFINITY, f64::min), times().fold(f64::NEG_INFINITY, f64::max))
        };
        let mut tested = 0;
        for split in &splits {
            let (train, validation, test) = (ends(&split.train), ends(&split.validation), ends(&split.test));
            assert!(train.1 < validation.0 && validation.1 < test.0, "{train:?} {validation:?} {test:?}");
            assert!(test.0 >= 20.0);
            tested += split.test.len();
        }
        assert_eq!((splits.len(), tested), (5, 100));
    }

    #[test]
    fn what_cannot_be_dealt_is_refused_with_a_cure() {
        let rows = rows(vec![0, 1, 2, 3, 0, 1]);
        for (method, folds) in
            [(SplitMethod::Column, 3), (SplitMethod::Stratified, 1), (SplitMethod::Time, 3)]
        {
            assert!(out_of_fold(&rows, &options(method, 1), folds).unwrap_err().hint().is_some());
        }
    }
}
