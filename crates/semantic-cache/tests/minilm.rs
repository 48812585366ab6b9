//! The local model, against a slow one that is written as the paper has it.

#![cfg(feature = "minilm")]

use std::{collections::BTreeMap, f64::consts::PI, fs, num::NonZeroUsize, path::Path, time::Duration};

use buttress_semantic_cache::{EmbedErrorKind, EmbedLimits, Embedder as _, Fingerprint, MiniLm, MiniLmModel};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use safetensors::{Dtype, tensor::TensorView};
use serde_json::json;

const WIDTH: usize = 24;
const HEADS: usize = 3;
const INNER: usize = 40;
const LAYERS: usize = 2;
const PLACES: usize = 20;
const VOCABULARY: [&str; 10] = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "how", "are", "you", "##s", "?", "fine"];

/// A small model with weights from a seed.
struct Small(BTreeMap<String, (Vec<usize>, Vec<f32>)>);

impl Small {
    fn new(seed: u64) -> Self {
        let mut small = Self(BTreeMap::new());
        let mut random = StdRng::seed_from_u64(seed);
        let mut add = |name: &str, shape: &[usize]| {
            let numbers = (0..shape.iter().product()).map(|_| random.random_range(-0.5..0.5)).collect();
            small.0.insert(name.to_owned(), (shape.to_vec(), numbers));
        };
        add("embeddings.word_embeddings.weight", &[VOCABULARY.len(), WIDTH]);
        add("embeddings.position_embeddings.weight", &[PLACES, WIDTH]);
        add("embeddings.token_type_embeddings.weight", &[2, WIDTH]);
        add("embeddings.LayerNorm.weight", &[WIDTH]);
        add("embeddings.LayerNorm.bias", &[WIDTH]);
        for layer in 0..LAYERS {
            for (part, outputs, inputs) in [
                ("attention.self.query", WIDTH, WIDTH),
                ("attention.self.key", WIDTH, WIDTH),
                ("attention.self.value", WIDTH, WIDTH),
                ("attention.output.dense", WIDTH, WIDTH),
                ("intermediate.dense", INNER, WIDTH),
                ("output.dense", WIDTH, INNER),
            ] {
                add(&format!("encoder.layer.{layer}.{part}.weight"), &[outputs, inputs]);
                add(&format!("encoder.layer.{layer}.{part}.bias"), &[outputs]);
            }
            for part in ["attention.output.LayerNorm", "output.LayerNorm"] {
                add(&format!("encoder.layer.{layer}.{part}.weight"), &[WIDTH]);
                add(&format!("encoder.layer.{layer}.{part}.bias"), &[WIDTH]);
            }
        }
        small
    }

    fn write(&self, directory: &Path) {
        let config = json!({
            "model_type": "bert", "hidden_act": "gelu", "hidden_size": WIDTH, "num_attention_heads": HEADS,
            "num_hidden_layers": LAYERS, "max_position_embeddings": PLACES, "layer_norm_eps": 1e-12,
        });
        write(directory, "config.json", config.to_string().as_bytes());
        write(directory, "vocab.txt", VOCABULARY.join("\n").as_bytes());
        let bytes: Vec<(String, Vec<usize>, Vec<u8>)> = self
            .0
            .iter()
            .map(|(name, (shape, numbers))| {
                (name.clone(), shape.clone(), numbers.iter().flat_map(|number| number.to_le_bytes()).collect())
            })
            .collect();
        let views = bytes.iter().map(|(name, shape, bytes)| {
            (name, TensorView::new(Dtype::F32, shape.clone(), bytes).expect("shape and numbers fit"))
        });
        write(directory, "model.safetensors", &safetensors::serialize(views, None).expect("it can be written"));
    }

    fn numbers(&self, name: &str) -> Vec<f64> {
        self.0[name].1.iter().map(|number| f64::from(*number)).collect()
    }

    /// Computes the vector of `tokens`, number by number.
    fn embed(&self, tokens: &[usize]) -> Vec<f64> {
        let (words, places) =
            (self.numbers("embeddings.word_embeddings.weight"), self.numbers("embeddings.position_embeddings.weight"));
        let segments = self.numbers("embeddings.token_type_embeddings.weight");
        let mut rows: Vec<Vec<f64>> = tokens
            .iter()
            .enumerate()
            .map(|(at, token)| {
                (0..WIDTH).map(|i| words[token * WIDTH + i] + places[at * WIDTH + i] + segments[i]).collect()
            })
            .collect();
        self.norm(&mut rows, "embeddings.LayerNorm");
        for layer in 0..LAYERS {
            self.layer(&mut rows, &format!("encoder.layer.{layer}"));
        }
        let mean: Vec<f64> =
            (0..WIDTH).map(|i| rows.iter().map(|row| row[i]).sum::<f64>() / rows.len() as f64).collect();
        let length = mean.iter().map(|x| x * x).sum::<f64>().sqrt();
        mean.iter().map(|x| x / length).collect()
    }

    fn layer(&self, rows: &mut [Vec<f64>], layer: &str) {
        let map = |part: &str, rows: &[Vec<f64>]| self.map(&format!("{layer}.{part}"), rows);
        let query = map("attention.self.query", rows);
        let key = map("attention.self.key", rows);
        let value = map("attention.self.value", rows);
        let size = WIDTH / HEADS;
        let mut attended = vec![vec![0.0; WIDTH]; rows.len()];
        for head in 0..HEADS {
            for (at, attended) in attended.iter_mut().enumerate() {
                let columns = head * size..(head + 1) * size;
                let fits = |other: usize| {
                    let product: f64 = columns.clone().map(|i| query[at][i] * key[other][i]).sum();
                    (product / (size as f64).sqrt()).exp()
                };
                let all: f64 = (0..rows.len()).map(fits).sum();
                for i in columns.clone() {
                    attended[i] = (0..rows.len()).map(|other| fits(other) / all * value[other][i]).sum();
                }
            }
        }
        add(rows, &map("attention.output.dense", &attended));
        self.norm(rows, &format!("{layer}.attention.output.LayerNorm"));
        let mut inner = map("intermediate.dense", rows);
        inner.iter_mut().flatten().for_each(|x| *x = *x * 0.5 * (1.0 + erf(*x / 2.0_f64.sqrt())));
        add(rows, &map("output.dense", &inner));
        self.norm(rows, &format!("{layer}.output.LayerNorm"));
    }

    fn map(&self, name: &str, rows: &[Vec<f64>]) -> Vec<Vec<f64>> {
        let (weights, bias) = (self.numbers(&format!("{name}.weight")), self.numbers(&format!("{name}.bias")));
        let output = |row: &[f64], o: usize| {
            bias[o] + row.iter().enumerate().map(|(i, x)| x * weights[o * row.len() + i]).sum::<f64>()
        };
        rows.iter().map(|row| (0..bias.len()).map(|o| output(row, o)).collect()).collect()
    }

    fn norm(&self, rows: &mut [Vec<f64>], name: &str) {
        let (scale, offset) = (self.numbers(&format!("{name}.weight")), self.numbers(&format!("{name}.bias")));
        for row in rows {
            let mean = row.iter().sum::<f64>() / WIDTH as f64;
            let variance = row.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / WIDTH as f64;
            for i in 0..WIDTH {
                row[i] = (row[i] - mean) / (variance + 1e-12).sqrt() * scale[i] + offset[i];
            }
        }
    }
}

/// The error function, by its series: right for the small numbers here.
fn erf(x: f64) -> f64 {
    let mut term = x;
    let mut sum = x;
    for n in 1..60 {
        term *= -x * x / f64::from(n);
        sum += term / f64::from(2 * n + 1);
    }
    sum * 2.0 / PI.sqrt()
}

fn add(rows: &mut [Vec<f64>], others: &[Vec<f64>]) {
    for (row, other) in rows.iter_mut().zip(others) {
        row.iter_mut().zip(other).for_each(|(x, y)| *x += y);
    }
}

fn write(directory: &Path, file: &str, bytes: &[u8]) {
    fs::write(directory.join(file), bytes).expect("the directory can be written");
}

fn directory() -> tempfile::TempDir {
    tempfile::tempdir().expect("a directory can be made")
}

#[test]
fn the_model_computes_what_the_paper_says() {
    for seed in 0..3 {
        let (directory, small) = (directory(), Small::new(seed));
        small.write(directory.path());
        let model = MiniLmModel::load(directory.path()).expect("it is a model");
        assert_eq!(model.dimensions().get(), WIDTH);
        // From one word to more than the tiles of rows that are computed together.
        for (text, tokens) in [
            ("fine", vec![2, 9, 3]),
            ("How are you?", vec![2, 4, 5, 6, 8, 3]),
            ("hows xyz fine", vec![2, 4, 7, 1, 9, 3]),
            ("how are you how are you how are you ???", [&[2][..], &[4, 5, 6].repeat(3), &[8, 8, 8, 3]].concat()),
            (
                "how are you how are you how are you how are you how are you ???",
                [&[2][..], &[4, 5, 6].repeat(5), &[8, 8, 8, 3]].concat(),
            ),
        ] {
            let found = model.embed(text).expect("it has tokens");
            let right = small.embed(&tokens);
            for (found, right) in found.iter().zip(&right) {
                assert!((f64::from(*found) - right).abs() < 2e-5, "{text}: {found} instead of {right}");
            }
        }
    }
}

#[test]
fn texts_that_do_not_fit_are_refused_uncut() {
    let directory = directory();
    Small::new(1).write(directory.path());
    let model = MiniLmModel::load(directory.path()).expect("it is a model");
    let kind = |text: &str| model.embed(text).map(|_| ()).map_err(|error| error.kind());
    assert_eq!(kind(&"fine ".repeat(PLACES - 2)), Ok(()));
    assert_eq!(kind(&"fine ".repeat(PLACES - 1)), Err(EmbedErrorKind::TooLong));
    assert_eq!(kind(" \n"), Err(EmbedErrorKind::Empty));
}

#[test]
fn files_that_are_not_a_model_are_refused() {
    let directory = directory();
    let refused = |what: &str| {
        let error = MiniLmModel::load(directory.path()).expect_err("it is no model").to_string();
        assert_eq!(error, what);
    };
    refused("config.json cannot be read");
    Small::new(1).write(directory.path());
    write(directory.path(), "vocab.txt", b"[UNK]\n[CLS]");
    refused("vocab.txt lacks a special token");
    write(directory.path(), "vocab.txt", [&VOCABULARY[..], &["more"]].concat().join("\n").as_bytes());
    refused("vocab.txt has more tokens than the model");
    write(directory.path(), "config.json", b"{}");
    refused("config.json is not what it should be");

    let mut small = Small::new(1);
    small.0.remove("encoder.layer.1.output.dense.bias");
    small.write(directory.path());
    refused("model.safetensors lacks a tensor");
    let mut small = Small::new(1);
    small.0.insert("encoder.layer.1.output.dense.bias".to_owned(), (vec![7], vec![0.0; 7]));
    small.write(directory.path());
    refused("model.safetensors is not what it should be");
    write(directory.path(), "model.safetensors", &[0xff; 64]);
    refused("model.safetensors is not what it should be");
}

#[tokio::test]
async fn it_runs_on_a_thread_of_its_own() {
    let (directory, small) = (directory(), Small::new(2));
    small.write(directory.path());
    let limits = EmbedLimits::new().timeout(Duration::from_secs(20));
    let model = MiniLmModel::load(directory.path()).expect("it is a model");
    let fingerprint = Fingerprint::new("small", "1", NonZeroUsize::new(WIDTH).expect("not zero"));
    let embedder = MiniLm::start(model, fingerprint, limits).expect("a thread can be started");
    let (first, second) = tokio::join!(embedder.embed("how are you"), embedder.embed("how are you"));
    let first = first.expect("it has tokens");
    assert_eq!(first, second.expect("it has tokens"));
    assert!((f64::from(first[5]) - small.embed(&[2, 4, 5, 6, 3])[5]).abs() < 2e-5);
    assert_eq!(embedder.embed("").await.map_err(|error| error.kind()), Err(EmbedErrorKind::Empty));
    let stats = embedder.stats();
    assert_eq!((stats.asked, stats.joined, stats.calls, stats.failed), (3, 1, 2, 1));
    assert_eq!(embedder.fingerprint().to_string(), "small@1/24");
}
