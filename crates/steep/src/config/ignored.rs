//! Keys of other tools that are accepted because tutorials are full of them, and change nothing here.

/// A key that is accepted and ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ignored {
    /// Its name.
    pub name: &'static str,
    /// Why nothing is lost.
    pub reason: &'static str,
}

/// What transformers' scripts have and steep has no need of.
pub(super) const IGNORED: [Ignored; 23] = [
    Ignored { name: "dataloader_num_workers", reason: "all cores are used; see --threads" },
    Ignored { name: "ddp_find_unused_parameters", reason: "there is one process" },
    Ignored { name: "disable_tqdm", reason: "use --quiet" },
    Ignored { name: "do_eval", reason: "held-out rows are always evaluated" },
    Ignored { name: "do_predict", reason: "test rows are always scored" },
    Ignored { name: "do_train", reason: "the command says what is done" },
    Ignored { name: "fp16", reason: "16-bit floats are bf16 here; see dtype" },
    Ignored { name: "full_determinism", reason: "every run is deterministic" },
    Ignored { name: "group_by_length", reason: "batches are packed without padding" },
    Ignored { name: "ignore_mismatched_sizes", reason: "a new head is made for the labels at hand" },
    Ignored { name: "line_by_line", reason: "every row is a sequence of its own" },
    Ignored { name: "logging_dir", reason: "the log is written into output_dir" },
    Ignored { name: "low_cpu_mem_usage", reason: "weights are read where they lie" },
    Ignored { name: "no_cuda", reason: "the CPU is used" },
    Ignored { name: "optim", reason: "the optimizer is AdamW" },
    Ignored { name: "overwrite_cache", reason: "the cache goes by content" },
    Ignored {
        name: "overwrite_output_dir",
        reason: "an output of another run is replaced when the new one is whole",
    },
    Ignored { name: "pad_to_max_length", reason: "batches are packed without padding" },
    Ignored { name: "preprocessing_num_workers", reason: "all cores are used; see --threads" },
    Ignored { name: "report_to", reason: "the log is written into output_dir" },
    Ignored { name: "resume_from_checkpoint", reason: "a stopped run always goes on" },
    Ignored { name: "trust_remote_code", reason: "nothing in a model folder is ever executed" },
    Ignored { name: "use_cpu", reason: "the CPU is used" },
];

/// The entry of this name.
pub fn ignored(name: &str) -> Option<&'static Ignored> {
    IGNORED.iter().find(|ignored| ignored.name == name)
}

impl Ignored {
    /// All of them.
    pub fn all() -> &'static [Self] {
        const { &IGNORED }
    }

    /// The line that tells the user.
    pub fn note(&self) -> String {
        format!("{} is ignored: {}", self.name, self.reason)
    }
}
