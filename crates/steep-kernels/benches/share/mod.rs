//! Which share of what the processor can do does something reach? Every measurement stands beside the rate of a loop
//! over registers that ran just before it, because the clock of a shared machine moves.

#[path = "../../../steep-cli/src/allocator.rs"]
mod allocator;
mod peak;

pub(crate) use peak::Kind;
use std::time::Instant;

const REPETITIONS: usize = 9;

/// The table, and which lines of it are wanted.
pub(crate) struct Table {
    words: Vec<String>,
    threads: usize,
}

impl Table {
    /// Runs `work` between loops over registers and prints medians.
    pub(crate) fn line(&self, name: &str, kind: Kind, operations: usize, mut work: impl FnMut()) {
        let full = format!("{name} threads={}", self.threads);
        if !self.words.iter().all(|word| full.contains(word.as_str())) {
            return;
        }
        work();
        let mut rates = Vec::new();
        let mut shares = Vec::new();
        for _ in 0..REPETITIONS {
            let limit = peak::operations_per_second(kind);
            let start = Instant::now();
            work();
            let rate = operations as f64 / start.elapsed().as_secs_f64();
            rates.push(rate);
            shares.extend(limit.map(|limit| rate / limit));
        }
        let share = median(shares).map_or(String::from("-"), |share| format!("{:.1}", 100.0 * share));
        let rate = median(rates).expect("there are repetitions") / 1e9;
        println!("{:>7}  {name:<48} {rate:>8.0}  {share:>6}", self.threads);
    }
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

/// Prints the lines of `measure` for 1 and for all threads; the program's arguments select the lines whose names contain
/// them all (`threads=1` is part of a name).
pub(crate) fn tables(what: &str, measure: impl Fn(&Table) + Sync) {
    // As in the program: fresh pages at every repetition would be measured otherwise.
    allocator::keep_freed_memory();
    let words = std::env::args()
        .skip(1)
        .filter(|word| !word.starts_with("--") && !word.contains('/'))
        .collect::<Vec<_>>();
    println!("threads  {what:<48} G(FL)OP/s  % of peak");
    for threads in [1, rayon::current_num_threads()] {
        let table = Table { words: words.clone(), threads };
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool of threads");
        pool.install(|| measure(&table));
    }
}
