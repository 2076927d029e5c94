use super::*;
use crate::stages::output::testing::{StopAfter, input, model_folder, quietly, settings, text_file, texts};
use arrow::array::{
    Array, AsArray, DictionaryArray, Int64Array, RecordBatch, StringArray, TimestampMillisecondArray,
};
use arrow::datatypes::{Float32Type, Int8Type, Int32Type};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use std::fs;
use std::fs::File;
use steep_encoder::HeadKind;

const FORMATS: [(&str, OutputFormat); 4] = [
    ("a.parquet", OutputFormat::Parquet),
    ("a.npy", OutputFormat::Npy),
    ("a.csv", OutputFormat::Csv),
    ("a.jsonl", OutputFormat::Jsonl),
];

fn read_parquet(path: &Path) -> RecordBatch {
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap();
    let schema = reader.schema().clone();
    let batches: Vec<RecordBatch> = reader.build().unwrap().map(Result::unwrap).collect();
    arrow::compute::concat_batches(&schema, &batches).unwrap()
}

fn embeddings(batch: &RecordBatch) -> Vec<f32> {
    let list = batch.column_by_name(EMBEDDING_COLUMN).unwrap().as_fixed_size_list();
    list.values().as_primitive::<Float32Type>().values().to_vec()
}

/// The embeddings of texts, computed directly.
fn direct(folder: &ModelFolder, texts: &[String], settings: &ExtractSettings) -> Vec<f32> {
    let (model, _) = Model::load(&folder.path, HeadKind::None, 0).unwrap();
    let embedder = Embedder::new(&model, &[], settings.embed.clone()).unwrap();
    let encodings = folder.tokenizer.encode(texts, &settings.encode_options()).unwrap();
    let rows: Vec<u32> = (0..texts.len() as u32).collect();
    let prompt_tokens = encodings.prompt_tokens as usize;
    let matrix = quietly(|ctx| embedder.embed(&encodings, &rows, prompt_tokens, ctx)).unwrap();
    matrix.values().to_vec()
}

#[test]
fn a_file_holds_the_embedders_bits() {
    let place = tempfile::tempdir().unwrap();
    let model = ModelFolder::open(&model_folder(place.path(), "base")).unwrap();
    let source = text_file(place.path(), 23);
    let output = place.path().join("a.parquet");
    for prompt in [None, Some("feed ".to_owned())] {
        let mut settings = settings(OutputFormat::Parquet);
        settings.embed.include_prompt = false;
        settings.prompt = prompt;
        let report = quietly(|ctx| extract(&input(&model, &source), &settings, &output, ctx)).unwrap();
        let expected = direct(&model, &texts(23), &settings);
        let found = embeddings(&read_parquet(&output));
        assert!(expected.iter().map(|x| x.to_bits()).eq(found.iter().map(|x| x.to_bits())));
        assert_eq!((report.counts.rows, report.width, report.counts.empty_texts), (23, 32, 1));
        assert!(report.counts.truncated > 0 && report.counts.dropped_tokens >= report.counts.truncated);
    }
}

#[test]
fn a_stopped_run_goes_on_to_the_same_bytes() {
    let place = tempfile::tempdir().unwrap();
    let model = ModelFolder::open(&model_folder(place.path(), "base")).unwrap();
    let source = text_file(place.path(), 23);
    for (name, format) in FORMATS {
        let settings = settings(format);
        let (whole, resumed) = (place.path().join(format!("whole-{name}")), place.path().join(name));
        quietly(|ctx| extract(&input(&model, &source), &settings, &whole, ctx)).unwrap();
        for stop in [1, 7, 12, 23] {
            let stopped =
                StopAfter::run(stop, |ctx| extract(&input(&model, &source), &settings, &resumed, ctx));
            assert!(matches!(stopped, Err(Error::Cancelled)), "{name}, stopped after {stop}");
            assert!(!resumed.exists());
        }
        let parts = resumed.with_file_name(format!("{name}.parts"));
        let finished = parts.join(format!("part-00001.{}", if name == "a.npy" { "f32" } else { &name[2..] }));
        let written = fs::metadata(&finished).unwrap().modified().unwrap();
        let stopped = StopAfter::run(11, |ctx| extract(&input(&model, &source), &settings, &resumed, ctx));
        assert!(stopped.is_err());
        assert_eq!(fs::metadata(&finished).unwrap().modified().unwrap(), written, "{name}: computed again");
        let report = quietly(|ctx| extract(&input(&model, &source), &settings, &resumed, ctx)).unwrap();
        assert_eq!(report.counts.rows, 23);
        assert!(fs::read(&whole).unwrap() == fs::read(&resumed).unwrap(), "{name}");
        assert!(!parts.exists());
    }
}

#[test]
fn a_finished_file_is_returned_and_other_settings_make_it_anew() {
    let place = tempfile::tempdir().unwrap();
    let model = ModelFolder::open(&model_folder(place.path(), "base")).unwrap();
    let source = text_file(place.path(), 9);
    let output = place.path().join("a.npy");
    let run = |settings: &ExtractSettings, stop: u64| {
        StopAfter::run(stop, |ctx| extract(&input(&model, &source), settings, &output, ctx))
    };
    let mut settings = settings(OutputFormat::Npy);
    let first = run(&settings, 100).unwrap();
    assert_eq!(run(&settings, 1).unwrap(), first, "nothing is computed, so nothing stops");
    settings.embed.normalize = true;
    assert!(run(&settings, 6).is_err());
    settings.embed.normalize = false;
    settings.embed.truncate_dim = Some(3);
    assert!(run(&settings, 6).is_err(), "the parts of other settings are not taken");
    assert_eq!(run(&settings, 100).unwrap().width, 3);
    fs::write(&output, "damaged").unwrap();
    run(&settings, 100).unwrap();
    assert_eq!(fs::read(&output).unwrap().len(), 128 + 9 * 3 * 4);
}

#[test]
fn the_inputs_columns_keep_their_types() {
    let place = tempfile::tempdir().unwrap();
    let model = ModelFolder::open(&model_folder(place.path(), "base")).unwrap();
    let source = place.path().join("in.parquet");
    let kinds: DictionaryArray<Int8Type> = vec![Some("x"), None, Some("y"), Some("x")].into_iter().collect();
    let sizes = ListArray::from_iter_primitive::<Int32Type, _, _>([
        Some(vec![Some(1), None]),
        None,
        Some(vec![]),
        Some(vec![Some(3)]),
    ]);
    let times = TimestampMillisecondArray::from(vec![Some(0), Some(1), None, Some(1_700_000_000_000)]);
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("text", Arc::new(StringArray::from(vec![Some("a cab"), None, Some("hi"), Some(" ")]))),
        ("kind", Arc::new(kinds)),
        ("sizes", Arc::new(sizes)),
        ("time", Arc::new(times)),
        ("id", Arc::new(Int64Array::from(vec![1, 2, 3, 4]))),
    ];
    let written =
        RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, c)| (n, c, true))).unwrap();
    let mut writer = ArrowWriter::try_new(File::create(&source).unwrap(), written.schema(), None).unwrap();
    writer.write(&written).unwrap();
    writer.close().unwrap();
    let source = source.to_str().unwrap();
    let extracted = |format: OutputFormat, name: &str| {
        let output = place.path().join(name);
        let settings = ExtractSettings { shard_rows: 3, ..settings(format) };
        let report = quietly(|ctx| extract(&input(&model, source), &settings, &output, ctx)).unwrap();
        assert_eq!(report.counts.empty_texts, 2);
        output
    };
    let read = read_parquet(&extracted(OutputFormat::Parquet, "a.parquet"));
    for field in written.schema().fields() {
        let (before, after) =
            (written.column_by_name(field.name()).unwrap(), read.column_by_name(field.name()).unwrap());
        assert_eq!(before.data_type(), after.data_type(), "{}", field.name());
        let plain = |array: &ArrayRef| match array.data_type() {
            DataType::Dictionary(_, values) => arrow::compute::cast(array, values).unwrap(),
            _ => array.clone(),
        };
        assert_eq!(&plain(before), &plain(after), "{}", field.name());
    }
    let csv = fs::read_to_string(extracted(OutputFormat::Csv, "a.csv")).unwrap();
    assert!(csv.starts_with("text,kind,sizes,time,id,embedding_0,embedding_1,"), "{csv}");
    assert!(csv.lines().nth(1).unwrap().starts_with("a cab,x,\"[1,null]\",1970-01-01T00:00:00,1,"), "{csv}");
    let lines = fs::read_to_string(extracted(OutputFormat::Jsonl, "a.jsonl")).unwrap();
    let first: serde_json::Value = serde_json::from_str(lines.lines().nth(1).unwrap()).unwrap();
    assert_eq!(first["text"], serde_json::Value::Null);
    assert_eq!(first["embedding"].as_array().unwrap().len(), 32);
    let settings = read_settings(&place.path().join("a.parquet"));
    assert_eq!(settings["settings"]["shard_rows"], 3);
}

fn read_settings(path: &Path) -> serde_json::Value {
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap();
    let metadata = reader.metadata().file_metadata().key_value_metadata().unwrap();
    let entry = metadata.iter().find(|entry| entry.key == "steep.settings").unwrap();
    serde_json::from_str(entry.value.as_ref().unwrap()).unwrap()
}

#[test]
fn token_embeddings_are_the_states_of_each_text() {
    let place = tempfile::tempdir().unwrap();
    let model = ModelFolder::open(&model_folder(place.path(), "base")).unwrap();
    let source = text_file(place.path(), 13);
    let mut settings = settings(OutputFormat::Parquet);
    settings.output_value = OutputValue::TokenEmbeddings;
    settings.embed.layers = vec![0, -1];
    let output = place.path().join("a.parquet");
    let report = quietly(|ctx| extract(&input(&model, &source), &settings, &output, ctx)).unwrap();
    let read = read_parquet(&output);
    let states = read.column_by_name("token_embeddings").unwrap().as_list::<i32>().clone();
    let tokens = read.column_by_name("tokens").unwrap().as_list::<i32>().clone();
    let (encoder, _) = Model::load(&model.path, HeadKind::None, 0).unwrap();
    let embedder = Embedder::new(&encoder, &[], settings.embed.clone()).unwrap();
    let mut count = 0;
    for (row, text) in texts(13).iter().enumerate() {
        let encodings = model.tokenizer.encode(&[text], &settings.encode_options()).unwrap();
        let alone = embedder.token_states(&encodings.pack(&[0]));
        let vectors = states.value(row);
        let vectors = vectors.as_fixed_size_list();
        assert_eq!(vectors.len(), encodings.length(0));
        let first = vectors.value_offset(0) as usize;
        let values = vectors.values().as_primitive::<Float32Type>();
        assert_eq!(&values.values()[first..first + alone.len()], alone, "row {row}");
        assert_eq!(tokens.value(row).as_string::<i32>().value(0), "[CLS]");
        assert_eq!(tokens.value(row).len(), vectors.len());
        count += vectors.len() as u64;
    }
    assert_eq!((report.counts.tokens, report.width), (count, 16));
    settings.format = OutputFormat::Jsonl;
    let output = place.path().join("a.jsonl");
    quietly(|ctx| extract(&input(&model, &source), &settings, &output, ctx)).unwrap();
    let lines = fs::read_to_string(&output).unwrap();
    let first: serde_json::Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
    assert_eq!(first["tokens"][0], "[CLS]");
    let vectors = states.value(0);
    let expected = vectors.as_fixed_size_list().values().as_primitive::<Float32Type>().value(1);
    assert_eq!(first["token_embeddings"][0][1].as_f64().unwrap() as f32, expected);
}

#[test]
fn faults_of_the_request_have_hints() {
    let place = tempfile::tempdir().unwrap();
    let model = ModelFolder::open(&model_folder(place.path(), "base")).unwrap();
    let source = text_file(place.path(), 3);
    let output = place.path().join("a.csv");
    let error = |input: &ExtractInput, settings: &ExtractSettings| {
        let error = quietly(|ctx| extract(input, settings, &output, ctx)).unwrap_err();
        assert!(error.hint().is_some() && !output.exists(), "{error}");
        error.to_string()
    };
    let plain = settings(OutputFormat::Csv);
    let tokens = ExtractSettings { output_value: OutputValue::TokenEmbeddings, ..plain.clone() };
    assert!(error(&input(&model, &source), &tokens).contains("token embeddings have no place in CSV"));
    let wrong = ExtractInput { text_columns: vec!["texts".to_owned()], ..input(&model, &source) };
    assert!(error(&wrong, &plain).contains("'text'"));
    let none = ExtractSettings { shard_rows: 0, ..plain.clone() };
    assert!(error(&input(&model, &source), &none).contains("shard_rows"));
    let taken = place.path().join("taken.csv");
    fs::write(&taken, "text,embedding_3\na,1\n").unwrap();
    assert!(error(&input(&model, taken.to_str().unwrap()), &plain).contains("'embedding_3'"));
    let onto_itself =
        quietly(|ctx| extract(&input(&model, &source), &plain, Path::new(&source), ctx)).unwrap_err();
    assert!(onto_itself.to_string().contains("is the file that is read"), "{onto_itself}");
    let dropped = ExtractSettings { keep_columns: false, ..plain };
    quietly(|ctx| extract(&input(&model, taken.to_str().unwrap()), &dropped, &output, ctx)).unwrap();
    assert!(fs::read_to_string(&output).unwrap().starts_with("embedding_0,"));
}

#[test]
fn a_source_without_rows_gives_a_file_without_rows() {
    let place = tempfile::tempdir().unwrap();
    let model = ModelFolder::open(&model_folder(place.path(), "base")).unwrap();
    let source = text_file(place.path(), 0);
    for (name, format) in FORMATS {
        let output = place.path().join(name);
        let report =
            quietly(|ctx| extract(&input(&model, &source), &settings(format), &output, ctx)).unwrap();
        assert_eq!(report.counts.rows, 0, "{name}");
    }
    assert_eq!(read_parquet(&place.path().join("a.parquet")).num_columns(), 3);
    assert_eq!(fs::read(place.path().join("a.npy")).unwrap().len(), 128);
    assert!(fs::read_to_string(place.path().join("a.csv")).unwrap().starts_with("id,text,embedding_0,"));
}

/// A CSV file with the column `text`.
fn source_of(folder: &Path, texts: &[&str]) -> String {
    let path = folder.join("repeated.csv");
    let lines: Vec<String> = texts.iter().map(|text| format!("{text}\n")).collect();
    fs::write(&path, format!("text\n{}", lines.concat())).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn repeated_texts_are_counted_and_have_the_bits_of_each_text_alone() {
    let place = tempfile::tempdir().unwrap();
    let model = ModelFolder::open(&model_folder(place.path(), "base")).unwrap();
    // Upper case is lost in the tokens, and the long ones differ behind the cut only.
    let (long, longer) = ("feed me a bad cab of many cages", "feed me a bad cab of many cages and more");
    let rows = ["hi", "a cab", "HI", "hi", "a bad cab", "hi", long, "qed", longer, "qed qed"];
    let source = source_of(place.path(), &rows);
    let output = place.path().join("a.parquet");
    let settings = settings(OutputFormat::Parquet);
    let report = quietly(|ctx| extract(&input(&model, &source), &settings, &output, ctx)).unwrap();
    let found = embeddings(&read_parquet(&output));
    let alone = rows.iter().flat_map(|text| direct(&model, &[(*text).to_owned()], &settings));
    assert!(found.iter().map(|x| x.to_bits()).eq(alone.map(f32::to_bits)));
    // Shards have five rows: two more `hi` in the first, the longer text in the second.
    assert_eq!((report.counts.rows, report.counts.repeated_texts), (10, 3));
    assert!((0.0..=1.0).contains(&report.waiting_share));
}

#[test]
fn a_fault_of_the_source_is_told_and_finished_shards_stay() {
    let place = tempfile::tempdir().unwrap();
    let model = ModelFolder::open(&model_folder(place.path(), "base")).unwrap();
    // The reader makes chunks of 8192 rows; the fault lies in the second one.
    let mut rows = vec!["hi"; 8_200];
    rows.push("a,b");
    let source = source_of(place.path(), &rows);
    let output = place.path().join("a.csv");
    let settings = ExtractSettings { shard_rows: 4_000, ..settings(OutputFormat::Csv) };
    let error = quietly(|ctx| extract(&input(&model, &source), &settings, &output, ctx)).unwrap_err();
    assert!(error.to_string().contains("row 8201"), "{error}");
    assert!(!output.exists());
    let parts = place.path().join("a.csv.parts");
    assert!(parts.join("part-00001.json").is_file() && !parts.join("part-00002.json").exists());
}

#[test]
fn a_fault_in_writing_is_told_and_not_taken_for_a_stop() {
    let place = tempfile::tempdir().unwrap();
    let model = ModelFolder::open(&model_folder(place.path(), "base")).unwrap();
    let source = text_file(place.path(), 23);
    let output = place.path().join("a.csv");
    // A folder stands where the second part wants to be.
    fs::create_dir_all(place.path().join("a.csv.parts/part-00001.csv/occupied")).unwrap();
    let settings = settings(OutputFormat::Csv);
    let error = quietly(|ctx| extract(&input(&model, &source), &settings, &output, ctx)).unwrap_err();
    assert!(matches!(error, Error::Io { .. }), "{error}");
    assert!(error.to_string().contains("part-00001.csv") && !output.exists(), "{error}");
}
