//! What are the steps of the work, each usable alone?
//!
//! A stage is a function from inputs, named by content hash, and resolved settings to one artefact
//! folder or file, written beside and renamed. A stage whose artefact is there already with the
//! same key returns it, so a run that is started again goes on where it was.

pub(crate) mod adapt;
mod classify;
mod engineered;
mod extract;
pub(crate) mod finetune;
mod joint;
mod key;
mod model_folder;
mod output;
mod predict;
mod prepared;
mod search;
mod vocabulary;
mod zeroshot;

pub(crate) use adapt::adapt_probed;
pub use adapt::{AdaptInput, AdaptReport, AdaptSettings, adapt, objective as adapt_objective};
pub use classify::{
    ClassifyInput, ClassifyReport, ClassifySettings, EmbeddingRecipe, LearnerSettings, Learners, classify,
    write_classifier_folder,
};
pub use engineered::{EngineerInput, EngineerSettings, EngineeredColumns, engineer};
pub use extract::{EMBEDDING_COLUMN, ExtractInput, ExtractReport, ExtractSettings, OutputValue, extract};
pub use finetune::{FinetuneInput, FinetuneReport, FinetuneSettings, finetune};
pub use joint::{JointInput, JointSettings, RawColumns, estimate_joint, evaluate_joint, joint, read_columns};
pub(crate) use key::finished;
pub use key::{StageAbout, stage_key};
pub use model_folder::ModelFolder;
pub use output::{OutputFormat, RowCounts};
pub use predict::{PredictInput, PredictReport, PredictSettings, Predictor, predict};
pub use prepared::PreparedFeatures;
pub(crate) use prepared::{RawReader, VectorSource, plan as reading_plan};
pub use search::{IndexReport, IndexSettings, ListChoice, SearchIndex, SearchMethod, build_index};
pub use vocabulary::{EXTENSION_FOLDER, VocabularyExtension, extend_vocabulary, restore_vocabulary};
pub use zeroshot::{ZeroShot, ZeroShotSettings, zeroshot};
