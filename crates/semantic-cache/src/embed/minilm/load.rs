//! Reads a model from its directory.

use std::{fmt, fs, path::Path};

use safetensors::{Dtype, SafeTensors};
use serde::Deserialize;

use super::{
    bert::{Bert, Layer, Norm, Shape},
    matrix::Linear,
    wordpiece::WordPiece,
};

/// A model could not be loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadError {
    what: &'static str,
    why: &'static str,
}

#[derive(Deserialize)]
struct Config {
    model_type: String,
    hidden_act: String,
    hidden_size: usize,
    num_attention_heads: usize,
    num_hidden_layers: usize,
    max_position_embeddings: usize,
    layer_norm_eps: f32,
}

#[derive(Default, Deserialize)]
struct Sentences {
    max_seq_length: Option<usize>,
}

#[derive(Default, Deserialize)]
struct Tokenizer {
    do_lower_case: Option<bool>,
}

const CONFIG: &str = "config.json";
const VOCABULARY: &str = "vocab.txt";
const WEIGHTS: &str = "model.safetensors";
/// Of a file that claims more, nothing is believed.
const MOST_LAYERS: usize = 128;

struct Weights<'a>(SafeTensors<'a>);

// === impl LoadError ===

impl LoadError {
    pub(super) const fn no_thread() -> Self {
        Self::new("a thread", "cannot be started")
    }

    const fn new(what: &'static str, why: &'static str) -> Self {
        Self { what, why }
    }
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.what, self.why)
    }
}

impl std::error::Error for LoadError {}

/// Reads the model in `directory`.
pub(super) fn read(directory: &Path) -> Result<(Bert, WordPiece), LoadError> {
    let config: Config = parse(directory, CONFIG)?;
    let sentences: Sentences = parse_if_there(directory, "sentence_bert_config.json")?;
    let tokenizer: Tokenizer = parse_if_there(directory, "tokenizer_config.json")?;
    let vocabulary = fs::read_to_string(directory.join(VOCABULARY)).map_err(|_| unreadable(VOCABULARY))?;
    let words = WordPiece::new(&vocabulary, tokenizer.do_lower_case.unwrap_or(true))
        .ok_or(LoadError::new(VOCABULARY, "lacks a special token"))?;
    let bytes = fs::read(directory.join(WEIGHTS)).map_err(|_| unreadable(WEIGHTS))?;
    let tensors = SafeTensors::deserialize(&bytes).map_err(|_| malformed(WEIGHTS))?;
    let bert = Weights(tensors).bert(&config, sentences.max_seq_length)?;
    if words.highest() as usize >= bert.words.len() / config.hidden_size {
        return Err(LoadError::new(VOCABULARY, "has more tokens than the model"));
    }
    Ok((bert, words))
}

fn parse<T: for<'de> Deserialize<'de>>(directory: &Path, file: &'static str) -> Result<T, LoadError> {
    let bytes = fs::read(directory.join(file)).map_err(|_| unreadable(file))?;
    serde_json::from_slice(&bytes).map_err(|_| malformed(file))
}

fn parse_if_there<T: Default + for<'de> Deserialize<'de>>(
    directory: &Path,
    file: &'static str,
) -> Result<T, LoadError> {
    if directory.join(file).exists() { parse(directory, file) } else { Ok(T::default()) }
}

const fn unreadable(file: &'static str) -> LoadError {
    LoadError::new(file, "cannot be read")
}

const fn malformed(file: &'static str) -> LoadError {
    LoadError::new(file, "is not what it should be")
}

// === impl Config ===

impl Config {
    fn shape(&self, most_tokens: Option<usize>) -> Option<Shape> {
        let width = self.hidden_size.try_into().ok()?;
        let heads = self.num_attention_heads;
        let fits = heads > 0 && self.hidden_size.is_multiple_of(heads) && self.num_hidden_layers <= MOST_LAYERS;
        let known = self.model_type == "bert" && self.hidden_act == "gelu" && self.layer_norm_eps >= 0.0;
        let most_tokens = most_tokens.unwrap_or(usize::MAX).min(self.max_position_embeddings);
        (fits && known && most_tokens > 2).then_some(Shape { width, heads, most_tokens, epsilon: self.layer_norm_eps })
    }
}

// === impl Weights ===

impl Weights<'_> {
    fn bert(&self, config: &Config, most_tokens: Option<usize>) -> Result<Bert, LoadError> {
        let shape = config.shape(most_tokens).ok_or(LoadError::new(CONFIG, "is of a model that is not known here"))?;
        let width = config.hidden_size;
        let words = self.numbers("embeddings.word_embeddings.weight")?;
        let mut places = self.numbers("embeddings.position_embeddings.weight")?;
        let segments = self.numbers("embeddings.token_type_embeddings.weight")?;
        if !words.len().is_multiple_of(width)
            || segments.len() < width
            || places.len() < shape.most_tokens.saturating_mul(width)
        {
            return Err(malformed(WEIGHTS));
        }
        for place in places.chunks_exact_mut(width) {
            place.iter_mut().zip(&segments).for_each(|(place, segment)| *place += segment);
        }
        let norm = self.norm("embeddings.LayerNorm", width)?;
        let layers = (0..config.num_hidden_layers).map(|at| self.layer(at, width)).collect::<Result<_, _>>()?;
        Ok(Bert { shape, words, places, norm, layers })
    }

    fn layer(&self, at: usize, width: usize) -> Result<Layer, LoadError> {
        let name = |part: &str| format!("encoder.layer.{at}.{part}");
        let linear = |part: &str, inputs: usize| self.linear(&name(part), inputs);
        let square = |part: &str| {
            linear(part, width).and_then(|map| if map.outputs() == width { Ok(map) } else { Err(malformed(WEIGHTS)) })
        };
        let inner = linear("intermediate.dense", width)?;
        let outer = linear("output.dense", inner.outputs())?;
        if outer.outputs() != width {
            return Err(malformed(WEIGHTS));
        }
        Ok(Layer {
            query: square("attention.self.query")?,
            key: square("attention.self.key")?,
            value: square("attention.self.value")?,
            attended: square("attention.output.dense")?,
            attended_norm: self.norm(&name("attention.output.LayerNorm"), width)?,
            inner,
            outer,
            outer_norm: self.norm(&name("output.LayerNorm"), width)?,
        })
    }

    fn linear(&self, name: &str, inputs: usize) -> Result<Linear, LoadError> {
        let (weights, bias) = (self.numbers(&format!("{name}.weight"))?, self.numbers(&format!("{name}.bias"))?);
        Linear::new(inputs, &weights, &bias).ok_or(malformed(WEIGHTS))
    }

    fn norm(&self, name: &str, width: usize) -> Result<Norm, LoadError> {
        let scale = self.numbers(&format!("{name}.weight"))?;
        let offset = self.numbers(&format!("{name}.bias"))?;
        if scale.len() == width && offset.len() == width { Ok(Norm { scale, offset }) } else { Err(malformed(WEIGHTS)) }
    }

    /// Reads a tensor, which may stand under `bert.`.
    fn numbers(&self, name: &str) -> Result<Vec<f32>, LoadError> {
        let tensor = self.0.tensor(name).or_else(|_| self.0.tensor(&format!("bert.{name}")));
        let tensor = tensor.map_err(|_| LoadError::new(WEIGHTS, "lacks a tensor"))?;
        if tensor.dtype() != Dtype::F32 {
            return Err(LoadError::new(WEIGHTS, "has numbers that are not of 32 bits"));
        }
        Ok(tensor.data().as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
    }
}
