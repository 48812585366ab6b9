//! Says whether two answers come to the same.

mod asked;
mod asked_counts;
mod asked_limits;

use std::future::{Future, ready};

pub use self::{
    asked::{Comparison, Opinion, ServiceJudge, ServiceJudgeWorker},
    asked_counts::JudgeCounts,
    asked_limits::JudgeLimits,
};
use crate::text::Text;

/// Says whether two answers come to the same.
///
/// `None` means that it cannot tell, and is never taken for a yes. Judges are composed by [`Judge::or`] and [`Judge::and`]. A closure
/// that returns a future is a judge too. A [`ServiceJudge`] asks any service: a language model, by way of `llm::ModelJudge`, or another.
///
/// A judge is asked behind the callers' back, after they have their answers.
///
/// # Cancel safety
///
/// A judgement that is dropped has judged nothing.
pub trait Judge {
    /// Returns whether `fresh` and `known` come to the same as answers to a question.
    fn equal(&self, fresh: &str, known: &str) -> impl Future<Output = Option<bool>> + Send;

    /// Returns a judge that asks `other` where this one does not say yes.
    fn or<J>(self, other: J) -> Or<Self, J>
    where
        Self: Sized,
    {
        Or { first: self, second: other }
    }

    /// Returns a judge that says no where this one does, and asks `other` elsewhere.
    fn and<J>(self, other: J) -> And<Self, J>
    where
        Self: Sized,
    {
        And { first: self, second: other }
    }
}

/// A request of a judge, in its extensions. A cache lets it pass: it is never kept, nor answered by what is, nor judged itself.
///
/// So a judge may ask through the very service that the cache stands in, and does not ask itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "there is nothing else to it")]
pub struct Judging;

/// Says yes to what is the same but for case, white space and what stands at the end of sentences; else it cannot tell.
#[derive(Clone, Copy, Debug, Default)]
pub struct SameText;

/// Says whether two JSON values are the same, in whatever order their keys; cannot tell of what is no JSON.
#[derive(Clone, Copy, Debug, Default)]
pub struct SameJson;

/// Compares the numbers, names and denials of two answers: says no where a guard sees a difference, else it cannot tell.
///
/// For use before a judge that sees meaning only: `SameFacts.and(by_vectors)`.
#[derive(Clone, Copy, Debug, Default)]
pub struct SameFacts;

/// Says yes where the vectors of two answers are similar enough.
#[derive(Clone, Copy, Debug)]
pub struct Similar<E> {
    embed: E,
    least: f32,
}

/// A judge made by [`Judge::or`].
#[derive(Clone, Copy, Debug)]
pub struct Or<J, K> {
    first: J,
    second: K,
}

/// A judge made by [`Judge::and`].
#[derive(Clone, Copy, Debug)]
pub struct And<J, K> {
    first: J,
    second: K,
}

// === impl Judge ===

impl<F, R> Judge for F
where
    F: Fn(&str, &str) -> R,
    R: Future<Output = Option<bool>> + Send,
{
    fn equal(&self, fresh: &str, known: &str) -> impl Future<Output = Option<bool>> + Send {
        self(fresh, known)
    }
}

// === impl SameText ===

impl Judge for SameText {
    fn equal(&self, fresh: &str, known: &str) -> impl Future<Output = Option<bool>> + Send {
        let normal = |text: &str| text.split_whitespace().map(str::to_lowercase).collect::<Vec<_>>().join(" ");
        let end = |text: &str| text.trim_end_matches(['.', '!', ' ']).to_owned();
        let same = end(&normal(fresh)) == end(&normal(known));
        ready(same.then_some(true))
    }
}

// === impl SameJson ===

impl Judge for SameJson {
    fn equal(&self, fresh: &str, known: &str) -> impl Future<Output = Option<bool>> + Send {
        let read = |text: &str| serde_json::from_str::<serde_json::Value>(text).ok();
        ready(read(fresh).zip(read(known)).map(|(fresh, known)| fresh == known))
    }
}

// === impl SameFacts ===

impl Judge for SameFacts {
    fn equal(&self, fresh: &str, known: &str) -> impl Future<Output = Option<bool>> + Send {
        ready(if Text::read(fresh).has_facts_of(&Text::read(known)) { None } else { Some(false) })
    }
}

// === impl Similar ===

impl<E> Similar<E> {
    /// Creates a judge that asks `embed` for the vectors of both answers, and says yes where their cosine is `least` and more and
    /// their numbers are the same. Where it is less, or `embed` has no vector, it says no, or cannot tell.
    #[must_use]
    pub const fn new(least: f32, embed: E) -> Self {
        Self { embed, least }
    }
}

impl<E, R> Judge for Similar<E>
where
    E: Fn(&str) -> R + Sync,
    R: Future<Output = Option<Vec<f32>>> + Send,
{
    fn equal(&self, fresh: &str, known: &str) -> impl Future<Output = Option<bool>> + Send {
        let (first, second) = ((self.embed)(fresh), (self.embed)(known));
        let facts = Text::read(fresh).has_facts_of(&Text::read(known));
        let least = self.least;
        async move {
            if !facts {
                return Some(false);
            }
            let cosine = cosine(&first.await?, &second.await?)?;
            Some(cosine >= least)
        }
    }
}

// === impl Or ===

impl<J: Judge + Sync, K: Judge + Sync> Judge for Or<J, K> {
    async fn equal(&self, fresh: &str, known: &str) -> Option<bool> {
        match self.first.equal(fresh, known).await {
            Some(true) => Some(true),
            first => self.second.equal(fresh, known).await.or(first),
        }
    }
}

// === impl And ===

impl<J: Judge + Sync, K: Judge + Sync> Judge for And<J, K> {
    async fn equal(&self, fresh: &str, known: &str) -> Option<bool> {
        match self.first.equal(fresh, known).await {
            Some(false) => Some(false),
            _ => self.second.equal(fresh, known).await,
        }
    }
}

fn cosine(a: &[f32], b: &[f32]) -> Option<f32> {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    let cosine = dot(a, b) / (dot(a, a) * dot(b, b)).sqrt();
    (a.len() == b.len() && cosine.is_finite()).then_some(cosine)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn vector(text: String) -> Option<Vec<f32>> {
        let count = |letter| text.chars().filter(|&char| char == letter).count();
        (!text.is_empty())
            .then(|| ['a', 'e', 'o'].map(|letter| f32::from(u8::try_from(count(letter)).unwrap())).to_vec())
    }

    #[tokio::test]
    async fn a_judge_that_cannot_tell_never_says_yes() {
        assert_eq!(SameText.equal("It is open. ", "it is  open").await, Some(true));
        assert_eq!(SameText.equal("It is open", "it is closed").await, None);
        assert_eq!(SameJson.equal(r#"{"a":1,"b":[2]}"#, r#"{ "b": [2], "a": 1 }"#).await, Some(true));
        assert_eq!(SameJson.equal(r#"{"a":1}"#, r#"{"a":2}"#).await, Some(false));
        assert_eq!(SameJson.equal("no json", "no json").await, None);
    }

    #[tokio::test]
    async fn similar_answers_with_other_numbers_are_not_equal() {
        let judge = Similar::new(0.95, |text: &str| vector(text.to_owned()));
        assert_eq!(judge.equal("the fare is 5 euros", "the fare is five euros").await, Some(true));
        assert_eq!(judge.equal("the fare is 5 euros", "the fare is 6 euros").await, Some(false));
        assert_eq!(judge.equal("", "").await, None, "no vector");
    }

    #[tokio::test]
    async fn judges_are_composed() {
        let yes = |_: &str, _: &str| ready(Some(true));
        let silent = |_: &str, _: &str| ready(None);
        assert_eq!(SameFacts.and(yes).equal("take 2 pills", "take 3 pills").await, Some(false));
        assert_eq!(SameFacts.and(yes).equal("take 2 pills", "two pills, take them").await, Some(true));
        assert_eq!(SameText.or(silent).equal("a", "b").await, None);
        assert_eq!(SameText.or(yes).equal("a", "b").await, Some(true));
        assert_eq!(SameJson.or(silent).equal("1", "2").await, Some(false), "a no stands where the other cannot tell");
    }
}
