use super::*;
use crate::data::{Labels, RowOrigins};
use proptest::prelude::*;
use std::collections::BTreeSet;

/// Labelled rows of single classes.
fn rows(ids: Vec<u32>) -> Labelled {
    let classes = ids.iter().max().map_or(0, |most| most + 1);
    Labelled {
        texts: vec![String::new(); ids.len()],
        labels: Labels::Single { names: (0..classes).map(|class| class.to_string()).collect(), ids },
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

fn parts(split: &Split) -> [&Vec<u32>; 3] {
    [&split.train, &split.validation, &split.test]
}

fn is_partition(split: &Split, rows: usize) -> bool {
    let all: BTreeSet<u32> = parts(split).into_iter().flatten().copied().collect();
    let ascending = parts(split).into_iter().all(|part| part.windows(2).all(|pair| pair[0] < pair[1]));
    let total: usize = parts(split).into_iter().map(Vec::len).sum();
    ascending && total == rows && all.len() == rows && all.last().is_none_or(|last| (*last as usize) < rows)
}

fn of_class(rows: &Labelled, part: &[u32], class: u32) -> usize {
    let Labels::Single { ids, .. } = &rows.labels else { return 0 };
    part.iter().filter(|row| ids[**row as usize] == class).count()
}

fn names(groups: &[u32]) -> Vec<String> {
    groups.iter().map(|group| format!("g{group}")).collect()
}

fn groups_straddle(split: &Split, groups: &[u32]) -> bool {
    let of = |part: &Vec<u32>| part.iter().map(|row| groups[*row as usize]).collect::<BTreeSet<_>>();
    let [train, validation, test] = parts(split).map(of);
    !(train.is_disjoint(&validation) && train.is_disjoint(&test) && validation.is_disjoint(&test))
}

proptest! {
    #[test]
    fn stratified_parts_keep_proportions(ids in prop::collection::vec(0_u32..6, 30..300), seed: u64) {
        let rows = rows(ids.clone());
        let split = split(&rows, &options(SplitMethod::Stratified, seed)).unwrap();
        prop_assert!(is_partition(&split, ids.len()));
        for class in 0..6 {
            let size = ids.iter().filter(|id| **id == class).count();
            prop_assert!(size == 0 || of_class(&rows, &split.train, class) > 0);
            let test = of_class(&rows, &split.test, class) as f64;
            let validation = of_class(&rows, &split.validation, class) as f64;
            // The total is rounded (0.5) before it is parted (1 for each class).
            prop_assert!((test - 0.2 * size as f64).abs() < 1.5);
            prop_assert!((validation - 0.1 * size as f64).abs() < 1.5);
        }
    }

    #[test]
    fn groups_never_straddle(pairs in prop::collection::vec((0_u32..4, 0_u32..40), 200..400), seed: u64) {
        let (ids, groups): (Vec<u32>, Vec<u32>) = pairs.into_iter().unzip();
        let total = ids.len() as f64;
        let mut rows = rows(ids);
        rows.groups = Some(names(&groups));
        rows.time = Some((0..groups.len()).map(|row| row as f64).collect());
        for method in [SplitMethod::Grouped, SplitMethod::Time] {
            let split = match split(&rows, &options(method, seed)) {
                Ok(split) => split,
                // Groups stand at their latest row here, so that a part may stay empty by time.
                Err(error) => { prop_assert!(method == SplitMethod::Time, "{}", error); continue }
            };
            prop_assert!(is_partition(&split, groups.len()));
            prop_assert!(!groups_straddle(&split, &groups));
            if method == SplitMethod::Grouped {
                prop_assert!((split.test.len() as f64 / total - 0.2).abs() < 0.07, "{}", split.test.len());
                prop_assert!((split.validation.len() as f64 / total - 0.1).abs() < 0.07);
            }
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_split(ids in prop::collection::vec(0_u32..3, 60..100), seed: u64) {
        let mut rows = rows(ids);
        let once = split(&rows, &options(SplitMethod::Stratified, seed)).unwrap();
        prop_assert_eq!(&once, &split(&rows, &options(SplitMethod::Stratified, seed)).unwrap());
        prop_assert_ne!(&once, &split(&rows, &options(SplitMethod::Stratified, seed ^ 1)).unwrap());
        rows.groups = Some((0..rows.labels.len()).map(|row| row.to_string()).collect());
        let once = split(&rows, &options(SplitMethod::Grouped, seed)).unwrap();
        prop_assert_eq!(&once, &split(&rows, &options(SplitMethod::Grouped, seed)).unwrap());
    }

    #[test]
    fn train_is_earlier_than_test(times in prop::collection::vec(-1e6..1e6, 20..100)) {
        let mut rows = rows(vec![0; times.len()]);
        rows.time = Some(times.clone());
        let split = split(&rows, &options(SplitMethod::Time, 0)).unwrap();
        prop_assert!(is_partition(&split, times.len()));
        let at = |row: &u32| times[*row as usize];
        let last = |part: &Vec<u32>| part.iter().map(at).fold(f64::NEG_INFINITY, f64::max);
        let first = |part: &Vec<u32>| part.iter().map(at).fold(f64::INFINITY, f64::min);
        prop_assert!(last(&split.train) <= first(&split.validation));
        prop_assert!(last(&split.validation) <= first(&split.test));
        prop_assert!((split.test.len() as f64 - 0.2 * times.len() as f64).abs() <= 1.0);
    }
}

#[test]
fn groups_keep_the_proportions_of_classes() {
    // 400 groups of one to five rows; class 1 has a tenth of them.
    let groups: Vec<u32> = (0..400_u32).flat_map(|group| vec![group; 1 + (group % 5) as usize]).collect();
    let mut rows = rows(groups.iter().map(|group| u32::from(group % 10 == 3)).collect());
    rows.groups = Some(names(&groups));
    let split = split(&rows, &options(SplitMethod::Grouped, 7)).unwrap();
    for class in 0..2 {
        let all = of_class(&rows, &(0..groups.len() as u32).collect::<Vec<_>>(), class) as f64;
        let share = |part: &[u32]| of_class(&rows, part, class) as f64 / all;
        // One group is 0.025 of class 1.
        assert!((share(&split.test) - 0.2).abs() < 0.026, "{}", share(&split.test));
        assert!((share(&split.validation) - 0.1).abs() < 0.026, "{}", share(&split.validation));
    }
}

#[test]
fn a_class_with_one_row_trains() {
    let mut ids = vec![0; 50];
    ids.push(1);
    let rows = rows(ids);
    for seed in 0..20 {
        assert!(split(&rows, &options(SplitMethod::Stratified, seed)).unwrap().train.contains(&50));
    }
}

#[test]
fn the_column_is_obeyed_and_a_missing_validation_part_cut_from_train() {
    let mut rows = rows((0..100).map(|row| row % 2).collect());
    let written = |row: usize| match row {
        0..60 => "Train",
        60..80 => "dev",
        _ => "test",
    };
    rows.splits = Some((0..100).map(|row| written(row).to_owned()).collect());
    let given = split(&rows, &options(SplitMethod::Column, 0)).unwrap();
    assert_eq!((given.train.len(), given.validation.len(), given.test[0]), (60, 20, 80));
    rows.splits = Some((0..100).map(|row| if row < 60 { "training" } else { "test" }.to_owned()).collect());
    let cut = split(&rows, &options(SplitMethod::Column, 0)).unwrap();
    assert!(is_partition(&cut, 100));
    assert_eq!((cut.train.len(), cut.validation.len(), cut.test.len()), (54, 6, 40));
    assert_eq!(of_class(&rows, &cut.validation, 1), 3);
    let none = SplitOptions { validation_fraction: 0.0, ..options(SplitMethod::Column, 0) };
    assert!(split(&rows, &none).unwrap().validation.is_empty());
    let groups: Vec<u32> = (0..100).map(|row| row / 4).collect();
    rows.groups = Some(names(&groups));
    let cut = split(&rows, &options(SplitMethod::Column, 0)).unwrap();
    assert!(!groups_straddle(&cut, &groups) && !cut.validation.is_empty());
}

#[test]
fn faults_of_the_column_are_named_with_their_row() {
    let mut rows = rows(vec![0, 1, 0]);
    rows.splits = Some(["train", "test", "tset"].map(str::to_owned).to_vec());
    let error = split(&rows, &options(SplitMethod::Column, 0)).unwrap_err();
    assert!(error.to_string().contains("row 3: the split column says 'tset'"), "{error}");
    rows.splits = Some(["train", "test", "test"].map(str::to_owned).to_vec());
    rows.groups = Some(names(&[5, 6, 5]));
    let error = split(&rows, &options(SplitMethod::Column, 0)).unwrap_err();
    assert!(error.to_string().contains("row 3: the group 'g5' is in another part"), "{error}");
}

#[test]
fn what_cannot_be_split_is_refused() {
    let mut rows = rows(vec![0, 1, 2]);
    assert!(
        split(&rows, &options(SplitMethod::Stratified, 0))
            .unwrap_err()
            .to_string()
            .contains("no row is left")
    );
    for method in [SplitMethod::Column, SplitMethod::Grouped, SplitMethod::Time] {
        assert!(split(&rows, &options(method, 0)).unwrap_err().hint().unwrap().contains("name the column"));
    }
    rows.groups = Some(names(&[1, 1, 2]));
    assert!(split(&rows, &options(SplitMethod::Stratified, 0)).is_err());
    let too_much =
        SplitOptions { validation_fraction: 0.5, test_fraction: 0.5, ..options(SplitMethod::Time, 0) };
    assert!(split(&rows, &too_much).is_err());
    let nonsense = SplitOptions { validation_fraction: f64::NAN, ..too_much };
    assert!(split(&rows, &nonsense).is_err());
}
