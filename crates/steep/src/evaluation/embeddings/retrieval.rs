//! Does a search find what belongs to a query?
//!
//! Means over queries of what sentence-transformers' `InformationRetrievalEvaluator` measures; a document belongs to a query or
//! does not.

use std::collections::{BTreeMap, BTreeSet};

/// The documents that belong to a query; ones that the corpus does not hold count as not found.
pub type Relevant = BTreeSet<u32>;

/// Metrics by name, such as `ndcg@10`, of what was found for each query, the best first. With `hits` the first `k` found, `rᵢ`
/// one where the `i`-th of them belongs to the query, else zero, and `R` documents that belong to it:
///
/// - `accuracy@k`: the share of queries for which any was found;
/// - `precision@k` = Σ rᵢ / k, `recall@k` = Σ rᵢ / R;
/// - `mrr@k`: one divided by the rank of the first that was found, zero if none;
/// - `map@k` = Σ rᵢ · precision@i / min(k, R);
/// - `ndcg@k` = Σ rᵢ / log₂(i + 1), divided by the same sum if the first min(k, R) belonged to it (Järvelin and Kekäläinen 2002).
///
/// Queries to which nothing belongs are left out; without any others there are no metrics.
pub fn retrieval_metrics(
    found: &[Vec<u32>],
    relevant: &[Relevant],
    k_values: &[usize],
) -> BTreeMap<String, f64> {
    let queries: Vec<_> = found.iter().zip(relevant).filter(|(_, relevant)| !relevant.is_empty()).collect();
    let mut metrics = BTreeMap::new();
    if queries.is_empty() {
        return metrics;
    }
    for &k in k_values {
        for (name, of) in METRICS {
            let values = queries.iter().map(|(found, relevant)| {
                let hits: Vec<bool> = found.iter().take(k).map(|row| relevant.contains(row)).collect();
                of(&hits, relevant.len(), k)
            });
            metrics.insert(format!("{name}@{k}"), values.sum::<f64>() / queries.len() as f64);
        }
    }
    metrics
}

/// A metric of one query, from which of the first rows belong to it, how many do in all, and `k`.
type OfQuery = fn(&[bool], usize, usize) -> f64;

const METRICS: [(&str, OfQuery); 6] = [
    ("accuracy", |hits, _, _| f64::from(u8::from(hits.contains(&true)))),
    ("precision", |hits, _, k| count(hits) / k as f64),
    ("recall", |hits, all, _| count(hits) / all as f64),
    ("mrr", |hits, _, _| hits.iter().position(|&hit| hit).map_or(0.0, |at| 1.0 / (at as f64 + 1.0))),
    ("map", |hits, all, k| {
        let precision = |(at, _): (usize, &bool)| count(&hits[..=at]) / (at as f64 + 1.0);
        hits.iter().enumerate().filter(|(_, hit)| **hit).map(precision).sum::<f64>() / all.min(k) as f64
    }),
    ("ndcg", |hits, all, k| {
        let gain = |at: usize| 1.0 / (at as f64 + 2.0).log2();
        let found = (0..hits.len()).filter(|&at| hits[at]).map(gain).sum::<f64>();
        found / (0..all.min(k)).map(gain).sum::<f64>()
    }),
];

fn count(hits: &[bool]) -> f64 {
    hits.iter().filter(|hit| **hit).count() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_perfect_search_has_ones_and_documents_that_are_not_there_are_missed() {
        let found = vec![vec![3, 1, 2], vec![0, 2, 1], vec![1, 0, 2]];
        let relevant = [Relevant::from([3]), Relevant::from([0, 9]), Relevant::new()];
        let metrics = retrieval_metrics(&found, &relevant, &[1, 3]);
        assert_eq!((metrics["ndcg@1"], metrics["mrr@3"], metrics["accuracy@1"]), (1.0, 1.0, 1.0));
        assert_eq!((metrics["recall@3"], metrics["precision@3"], metrics["map@3"]), (0.75, 1.0 / 3.0, 0.75));
        assert_eq!(metrics.len(), 12);
        assert!(retrieval_metrics(&found, &[Relevant::new(), Relevant::new()], &[3]).is_empty());
    }
}
