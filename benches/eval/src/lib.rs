//! Sends streams of questions through the semantic cache's policies, and counts hits and wrong answers.
//!
//! Two questions with the same label ask for the same answer. A question is answered wrongly if the answer that is served was
//! given to a question with another label. The judge knows the labels; it errs as often as it is told to.

mod data;
mod report;
mod scene;
mod stream;

pub use self::data::{Data, DataError};
pub use self::report::{Wilson, table};
pub use self::scene::{Kind, Scene};
pub use self::stream::{Noise, Outcome, Run};

use buttress_semantic_cache::Lexical;

/// The vector of a text whose data set has none: of its letters. All zero, which nothing is similar to, if there are none.
#[must_use]
pub fn embed(text: &str) -> Vec<f32> {
    let lexical = Lexical::new();
    lexical.vector(text).map_or_else(|_| vec![0.0; 512], |vector| vector.to_vec())
}
