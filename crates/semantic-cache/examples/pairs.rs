//! How many pairs that mean different things a threshold would serve, with the guards and without.
//!
//! `cargo run --release -p buttress-semantic-cache --features minilm --example pairs -- PAIRS [DIRECTORY]`
//!
//! `PAIRS` has a kind and two questions on each line, parted by ` | `, as `tests/data/adversarial.txt`. `DIRECTORY` has a model;
//! without it, the vectors are made of letters.

use std::{env, error::Error, fs, path::Path};

use buttress_semantic_cache::{Lexical, MiniLmModel, Text};

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = env::args().skip(1).collect();
    let [pairs, directory @ ..] = &words[..] else {
        return Err("name the file of the pairs".into());
    };
    let model = directory.first().map(|directory| MiniLmModel::load(Path::new(directory))).transpose()?;
    let lexical = Lexical::new();
    let vector = |text: &str| -> Result<Vec<f32>, Box<dyn Error>> {
        Ok(match &model {
            Some(model) => model.embed(text)?.to_vec(),
            None => lexical.vector(text)?.to_vec(),
        })
    };
    let thresholds = [0.95, 0.9, 0.8];
    let (mut all, mut bare, mut guarded) = (0, [0; 3], [0; 3]);
    let pairs = fs::read_to_string(pairs)?;
    for pair in pairs.lines().filter(|line| !line.starts_with('#')) {
        let [kind, one, other] = pair.split(" | ").collect::<Vec<_>>()[..] else {
            return Err(format!("no pair: {pair}").into());
        };
        let similarity = cosine(&vector(one)?, &vector(other)?);
        let passes = Text::read(one).compare(&Text::read(other)).is_empty();
        all += 1;
        for (at, threshold) in thresholds.into_iter().enumerate().filter(|&(_, threshold)| similarity >= threshold) {
            bare[at] += 1;
            guarded[at] += usize::from(passes);
            if passes {
                println!("served at {threshold}: {kind} {similarity:.3}: {one} | {other}");
            }
        }
    }
    println!("of {all} pairs, at {thresholds:?}: {bare:?} without the guards, {guarded:?} with them");
    Ok(())
}

fn cosine(a: &[f32], b: &[f32]) -> f32 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}
