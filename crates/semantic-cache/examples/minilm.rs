//! What a local model takes, and whether it agrees with vectors that were made elsewhere.
//!
//! `cargo run --release -p buttress-semantic-cache --features minilm --example minilm -- DIRECTORY [TEXTS VECTORS]`
//!
//! `TEXTS` has a JSON object with a `text` on each line, `VECTORS` the vector of each: numbers of 32 bits, little-endian.

use std::{env, error::Error, fs, path::Path};

use buttress_semantic_cache::MiniLmModel;
use serde_json::Value;

/// So many texts are compared, from all over the file.
const COMPARED: usize = 200;

#[expect(clippy::disallowed_types, reason = "there is no runtime here to ask for the time")]
use std::time::Instant;

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = env::args().skip(1).collect();
    let [directory, files @ ..] = &words[..] else {
        return Err("name the directory of the model".into());
    };
    let model = MiniLmModel::load(Path::new(directory))?;
    let short = "how can i reset the password of my account";
    let long = "please tell me whether the parcel that i have ordered on monday will arrive at my house before friday "
        .repeat(10);
    for (name, text, times) in [("short", short, 200), ("long", &long[..], 20)] {
        println!("{name}: {:.1} ms", milliseconds(&model, text, times)?);
    }
    if let [texts, vectors] = files {
        compare(&model, texts, vectors)?;
    }
    Ok(())
}

/// Returns the median time that the vector of `text` takes.
#[expect(clippy::disallowed_types, reason = "there is no runtime here to ask for the time")]
fn milliseconds(model: &MiniLmModel, text: &str, times: usize) -> Result<f64, Box<dyn Error>> {
    let mut taken = Vec::with_capacity(times);
    for _ in 0..times {
        let start = Instant::now();
        model.embed(text)?;
        taken.push(start.elapsed().as_secs_f64() * 1e3);
    }
    taken.sort_by(f64::total_cmp);
    Ok(taken[times / 2])
}

fn compare(model: &MiniLmModel, texts: &str, vectors: &str) -> Result<(), Box<dyn Error>> {
    let (texts, vectors) = (fs::read_to_string(texts)?, fs::read(vectors)?);
    let texts: Vec<Value> =
        texts.lines().filter(|line| !line.is_empty()).map(serde_json::from_str).collect::<Result<_, _>>()?;
    let numbers: Vec<f32> = vectors.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    let dimensions = model.dimensions().get();
    let mut least = 1.0_f32;
    for at in (0..texts.len()).step_by((texts.len() / COMPARED).max(1)) {
        let text = texts[at]["text"].as_str().ok_or("a line has no text")?;
        let theirs = numbers.get(at * dimensions..(at + 1) * dimensions).ok_or("there are fewer vectors than texts")?;
        let length = theirs.iter().map(|x| x * x).sum::<f32>().sqrt();
        let cosine: f32 = model.embed(text)?.iter().zip(theirs).map(|(a, b)| a * b / length).sum();
        least = least.min(cosine);
    }
    println!("least cosine of {COMPARED} texts: {least:.7}");
    Ok(())
}
