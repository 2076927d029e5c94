//! What are the steps of the work, each usable alone?
//!
//! A stage is a function from inputs, named by content hash, and resolved settings to one artefact
//! folder or file, written beside and renamed. A stage whose artefact is there already with the
//! same key returns it, so a run that is started again goes on where it was.

pub(crate) mod adapt;
mod classify;
mod contrastive;
mod embed_texts;
mod engineered;
mod evaluate;
mod extract;
pub(crate) mod finetune;
mod generate;
mod joint;
mod key;
mod merge;
mod model_folder;
mod output;
mod predict;
mod prepared;
mod search;
mod vocabulary;
mod zeroshot;

pub(crate) use adapt::adapt_probed;
pub use adapt::{
    AdaptInput, AdaptReport, AdaptSettings, adapt, load as adapt_model, objective as adapt_objective,
};
pub use classify::{
    ClassifyInput, ClassifyReport, ClassifySettings, EmbeddingRecipe, LearnerSettings, Learners, classify,
    copy_trained_folder, write_classifier_folder,
};
pub use contrastive::{
    ContrastiveReport, ContrastiveSettings, contrastive, contrastive_classifier, estimate_contrastive,
};
pub use engineered::{EngineerInput, EngineerSettings, EngineeredColumns, engineer};
pub use evaluate::{
    EvaluatedModel, EvaluationReport, EvaluationTask, LabelledTexts, PairInput, RetrievalInput,
    RetrievalSettings, Scores, evaluate_alignment, evaluate_clustering, evaluate_drift, evaluate_retrieval,
    evaluate_sts,
};
pub use extract::{EMBEDDING_COLUMN, ExtractInput, ExtractReport, ExtractSettings, OutputValue, extract};
pub use finetune::{
    FinetuneInput, FinetuneReport, FinetuneSettings, HeadInit, MultiTaskSettings, estimate_finetune, finetune,
};
pub use generate::{GENERATED_COLUMN, GenerateInput, GenerateReport, GenerateSettings, generate};
pub use joint::{JointInput, JointSettings, RawColumns, estimate_joint, evaluate_joint, joint, read_columns};
pub(crate) use key::finished;
pub use key::{StageAbout, stage_key};
pub use merge::{MergeReport, merge};
pub use model_folder::{ADAPTER_FOLDER, ModelFolder};
#[cfg(test)]
pub(crate) use output::testing;
pub use output::{OutputFormat, RowCounts};
pub use predict::{
    Combination, CombinationMember, CombinationMethod, PredictInput, PredictReport, PredictSettings,
    Predictor, SavedTemperature, TextRecipe, TrainedAbout, about_trained, predict, write_terms_folder,
};
pub use prepared::PreparedFeatures;
pub(crate) use prepared::{RawReader, VectorSource, plan as reading_plan};
pub use search::{
    CorpusInput, IndexReport, IndexSettings, ListChoice, SearchIndex, VectorReport, VectorSearch,
    build_index, build_word_index,
};
pub(crate) use vocabulary::extend_vocabulary_as;
pub use vocabulary::{EXTENSION_FOLDER, VocabularyExtension, extend_vocabulary, restore_vocabulary};
pub use zeroshot::{ZeroShot, ZeroShotSettings, zeroshot};
