//! Rows of a table, looked up by id; and their gradients, put back.

use crate::parallel::rows_per_task;
use rayon::prelude::*;

/// Tokens per task of [`scatter_add`].
const SCATTER_TOKENS: usize = 256;

fn check(table: &[f32], ids: &[u32], rows: &[f32], features: usize) {
    assert!(features > 0, "an embedding needs at least one feature");
    assert_eq!(table.len() % features, 0, "the embedding table must be [vocabulary, features]");
    assert_eq!(rows.len(), ids.len() * features, "the token rows must be [tokens, features]");
    let vocabulary = table.len() / features;
    if let Some(largest) = ids.iter().max() {
        assert!((*largest as usize) < vocabulary, "id {largest} is outside a vocabulary of {vocabulary}");
    }
}

/// `out[t] = weight[ids[t]]`.
///
/// # Shapes
/// `weight` `[V, features]`, `ids` `[T]`, `out` `[T, features]`.
pub fn gather(weight: &[f32], ids: &[u32], out: &mut [f32], features: usize) {
    check(weight, ids, out, features);
    for_each_token(weight, ids, out, features, <[f32]>::copy_from_slice);
}

/// `out[t] += weight[ids[t]]`; shapes as in [`gather`].
pub fn gather_add(weight: &[f32], ids: &[u32], out: &mut [f32], features: usize) {
    check(weight, ids, out, features);
    for_each_token(weight, ids, out, features, add);
}

fn for_each_token(
    weight: &[f32],
    ids: &[u32],
    out: &mut [f32],
    features: usize,
    act: fn(&mut [f32], &[f32]),
) {
    let tokens = rows_per_task(features);
    out.par_chunks_mut(tokens * features).zip(ids.par_chunks(tokens)).for_each(|(out, ids)| {
        for (out, id) in out.chunks_exact_mut(features).zip(ids) {
            act(out, &weight[*id as usize * features..][..features]);
        }
    });
}

fn add(out: &mut [f32], row: &[f32]) {
    for (out, value) in out.iter_mut().zip(row) {
        *out += value;
    }
}

/// `dweight[ids[t]] += dout[t]`, for each id in the order of its tokens.
///
/// # Shapes
/// `dout` `[T, features]`, `ids` `[T]`, `dweight` `[V, features]`.
pub fn scatter_add(dout: &[f32], ids: &[u32], dweight: &mut [f32], features: usize) {
    check(dweight, ids, dout, features);
    assert!(u32::try_from(ids.len()).is_ok(), "a batch has fewer than 2^32 tokens");
    // Sorted by id, then by token: equal ids meet in the order of their tokens, in one task.
    let mut order: Vec<u64> =
        ids.iter().zip(0u64..).map(|(id, token)| u64::from(*id) << 32 | token).collect();
    order.sort_unstable();
    scatter(dout, &order, dweight, 0, features);
}

fn id_of(entry: u64) -> usize {
    (entry >> 32) as usize
}

/// Adds the tokens of `order`, whose ids lie in `dweight`, the rows from `first_id`.
fn scatter(dout: &[f32], order: &[u64], dweight: &mut [f32], first_id: usize, features: usize) {
    if let Some(middle) = split_point(order) {
        let (left, right) = order.split_at(middle);
        let boundary = id_of(right[0]);
        let (low, high) = dweight.split_at_mut((boundary - first_id) * features);
        rayon::join(
            || scatter(dout, left, low, first_id, features),
            || scatter(dout, right, high, boundary, features),
        );
        return;
    }
    for entry in order {
        let token = *entry as u32 as usize;
        let row = &mut dweight[(id_of(*entry) - first_id) * features..][..features];
        add(row, &dout[token * features..][..features]);
    }
}

/// Where two ids part nearest to the middle, if there is enough to share.
fn split_point(order: &[u64]) -> Option<usize> {
    if order.len() <= SCATTER_TOKENS {
        return None;
    }
    let id = id_of(order[order.len() / 2]);
    let start = order.partition_point(|entry| id_of(*entry) < id);
    let end = order.partition_point(|entry| id_of(*entry) <= id);
    [start, end].into_iter().find(|point| (1..order.len()).contains(point))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{bits, numbers, same_for_any_thread_count};

    fn ids(tokens: usize, vocabulary: usize, seed: u64) -> Vec<u32> {
        // Skewed, as the frequencies of words are.
        numbers(tokens, seed).into_iter().map(|x| (x * x * x.abs() * vocabulary as f32) as u32).collect()
    }

    #[test]
    fn gather_copies_and_adds_rows() {
        let weight = numbers(50 * 7, 1);
        for tokens in [0, 1, 9_001] {
            let ids = ids(tokens, 50, 2);
            let mut out = vec![f32::NAN; tokens * 7];
            gather(&weight, &ids, &mut out, 7);
            let expected: Vec<f32> =
                ids.iter().flat_map(|id| weight[*id as usize * 7..][..7].to_vec()).collect();
            assert_eq!(out, expected);
            gather_add(&weight, &ids, &mut out, 7);
            assert!(out.iter().zip(&expected).all(|(out, e)| *out == e + e));
        }
    }

    #[test]
    fn scatter_adds_in_the_order_of_tokens() {
        for (tokens, vocabulary) in [(0, 3), (1, 3), (600, 1), (3000, 2), (3000, 1000)] {
            let ids = ids(tokens, vocabulary, 3);
            let dout = numbers(tokens * 5, 4);
            let before = numbers(vocabulary * 5, 5);
            let mut expected = before.clone();
            for (id, row) in ids.iter().zip(dout.chunks(5)) {
                add(&mut expected[*id as usize * 5..][..5], row);
            }
            let mut dweight = before.clone();
            scatter_add(&dout, &ids, &mut dweight, 5);
            assert_eq!(bits(&dweight), bits(&expected));
            same_for_any_thread_count(|| {
                let mut dweight = before.clone();
                scatter_add(&dout, &ids, &mut dweight, 5);
                dweight
            });
        }
    }

    #[test]
    #[should_panic(expected = "outside a vocabulary of 2")]
    fn unknown_ids_are_refused() {
        gather(&[0.0; 4], &[2], &mut [0.0; 2], 2);
    }
}
