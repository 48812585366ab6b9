//! What the built-in embedder takes for near, and what not.

use std::{collections::HashSet, num::NonZeroUsize};

use buttress_semantic_cache::{EmbedErrorKind, Embedder as _, Lexical};
use proptest::prelude::*;

fn cosine(a: &str, b: &str) -> f32 {
    let vector = |text| Lexical::new().vector(text).expect("the text has letters");
    vector(a).iter().zip(&*vector(b)).map(|(a, b)| a * b).sum()
}

#[test]
fn case_and_space_make_no_difference() {
    let similarity = cosine("What is the capital of France?", "  what IS the\n\tcapital of   FRANCE? ");
    assert!(similarity > 0.999_99, "{similarity}");
}

#[test]
fn near_duplicates_are_near_and_others_are_not() {
    let question = "How can I change the shipping address of my order?";
    assert!(cosine(question, "How can I change the shipping address of my order") > 0.95);
    assert!(cosine(question, "How can I chnage the shipping address of my order?") > 0.75);
    assert!(cosine(question, "Please tell me: How can I change the shipping address of my order?") > 0.8);
    assert!(cosine(question, "Where do I edit the place you deliver to?") < 0.4, "it knows no meaning");
    assert!(cosine(question, "Wie wird das Wetter morgen in Berlin?") < 0.2);
}

#[test]
fn scripts_without_spaces_have_vectors_too() {
    assert!(cosine("フランスの首都はどこですか", "フランスの首都はどこですか？") > 0.8);
    assert!(cosine("フランスの首都はどこですか", "明日の天気を教えてください") < 0.3);
}

#[test]
fn vectors_are_the_same_in_every_process() {
    let vector =
        Lexical::with_dimensions(NonZeroUsize::new(8).expect("eight")).vector("stable").expect("it has letters");
    let rounded: Vec<i32> = vector.iter().map(|x| (x * 1000.0).round() as i32).collect();
    assert_eq!(rounded, PINNED, "change the version with the vectors");
}

/// If this changes, replicas of two versions do not understand each other.
const PINNED: [i32; 8] = [0, 516, -258, -258, -516, 0, -258, 516];

#[test]
fn texts_without_anything_to_go_by_are_refused() {
    let lexical = Lexical::new().max_text(10);
    let kind = |text| lexical.vector(text).map_err(|error| error.kind());
    assert_eq!(kind(""), Err(EmbedErrorKind::Empty));
    assert_eq!(kind(" \n "), Err(EmbedErrorKind::Empty));
    assert_eq!(kind("eleven char"), Err(EmbedErrorKind::TooLong));
    assert!(kind("ten chars!").is_ok());
    assert_eq!(lexical.fingerprint().to_string(), "lexical@1/512");
}

proptest! {
    #[test]
    fn every_text_with_letters_has_a_unit_vector(text in "\\PC{0,200}[a-z]{3}\\PC{0,200}") {
        let vector = Lexical::new().vector(&text).expect("it has letters");
        let length: f32 = vector.iter().map(|x| x * x).sum();
        prop_assert!((length - 1.0).abs() < 1e-4);
        prop_assert_eq!(&vector, &Lexical::new().vector(&text).expect("again"));
    }
}

#[test]
fn different_texts_have_different_vectors() {
    let lexical = Lexical::new();
    let vectors: HashSet<Vec<u32>> = (0..2000)
        .map(|at| lexical.vector(&format!("ticket {at}")).expect("letters").iter().map(|x| x.to_bits()).collect())
        .collect();
    assert_eq!(vectors.len(), 2000);
}
