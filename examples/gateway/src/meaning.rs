//! Finds questions that mean the same: which embedder, which policy, which judge.

use std::{
    borrow::Cow,
    fmt,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
};

#[cfg(feature = "minilm")]
use buttress_semantic_cache::MiniLm;
use buttress_semantic_cache::{
    Bounds, ByMeaning, EmbedStats, Embedder, HttpEmbedder, Judge, JudgeCounts, Lexical, SameJson, SameText, Semantic,
    ServiceJudge, ServiceJudgeWorker, Similar,
};

use crate::{
    config::{Config, ConfigError, EmbedderKind, JudgeKind},
    embedding::{self, Circuit},
    learned::StateFile,
    stack::{BuildError, HttpClient},
};

/// What finds questions that mean the same.
pub(crate) type Finder = ByMeaning<Arc<dyn Embedder>, AnyJudge>;

/// What finds questions that mean the same, and what is known of it. Clones are one.
#[derive(Clone)]
pub(crate) struct Meanings {
    pub(crate) finder: Finder,
    source: Source,
    judge: AnyJudge,
    /// The work of a judge that is a model, until it is taken.
    judging: Arc<Mutex<Option<ServiceJudgeWorker>>>,
    /// Where what was learned is kept.
    pub(crate) state: Option<StateFile>,
}

/// Where vectors come from.
#[derive(Clone)]
enum Source {
    Lexical(Lexical),
    #[cfg(feature = "minilm")]
    MiniLm(MiniLm),
    Http(HttpEmbedder, Circuit),
}

/// The judge that the configuration names.
#[derive(Clone)]
pub(crate) struct AnyJudge(Arc<Kind>);

/// A judge that is a model, and its work.
pub(crate) type Judging = (ServiceJudge, ServiceJudgeWorker);

type Vector = Pin<Box<dyn Future<Output = Option<Vec<f32>>> + Send>>;

enum Kind {
    SameText,
    SameJson,
    Similar(Similar<Box<dyn Fn(&str) -> Vector + Send + Sync>>),
    /// By what name it is asked, too.
    Model(ServiceJudge, Box<str>),
}

// === impl Meanings ===

impl Meanings {
    /// Makes what `config` says, with `judge` for the model that compares answers. Takes up what was learned before, if it is there.
    ///
    /// # Errors
    ///
    /// Fails if the model cannot be loaded, if the key of the embedder was not looked up, or if what is learned can be kept
    /// nowhere.
    pub(crate) fn new(config: &Config, client: &HttpClient, judge: Option<Judging>) -> Result<Self, BuildError> {
        let semantic = &config.cache.semantic;
        let source = Source::new(config, client)?;
        let (model, judging) = judge.unzip();
        let (embed, judge) = (source.embedder(), AnyJudge::new(config, source.embedder(), model)?);
        let space = format!("{} {}", embed.fingerprint(), judge.name());
        let policy = semantic.policy()?;
        let finder = ByMeaning::judged(policy.clone(), embed, judge.clone());
        let finder = finder.remembering(policy, semantic.bounds(), rand::random(), semantic.min_words);
        let state = semantic.state_file.as_deref().map(|path| StateFile::new(path, space)).transpose()?;
        if let Some(state) = &state {
            let trial = Semantic::new(semantic.policy()?, Bounds::default());
            finder.with_memory(|memory| state.restore(memory, trial));
        }
        Ok(Self { finder, source, judge, judging: Arc::new(Mutex::new(judging)), state })
    }

    /// Returns what the embedder did, if it is one that can fail.
    pub(crate) fn embedded(&self) -> Option<EmbedStats> {
        match &self.source {
            Source::Lexical(_) => None,
            #[cfg(feature = "minilm")]
            Source::MiniLm(embedder) => Some(embedder.stats()),
            Source::Http(embedder, _) => Some(embedder.stats()),
        }
    }

    /// Returns the circuit to the embedder, where there is one.
    pub(crate) const fn circuit(&self) -> Option<&Circuit> {
        if let Source::Http(_, circuit) = &self.source { Some(circuit) } else { None }
    }

    /// Returns what the judge did, if it is a model.
    pub(crate) fn judged(&self) -> Option<JudgeCounts> {
        if let Kind::Model(judge, _) = &*self.judge.0 { Some(judge.counts()) } else { None }
    }

    /// Takes the work of a judge that is a model.
    pub(crate) fn take_judging(&self) -> Option<ServiceJudgeWorker> {
        self.judging.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Writes what was learned, if anything was since the last time.
    pub(crate) async fn save(&self) {
        let Some(state) = &self.state else { return };
        let classes = self.finder.with_memory(|memory| memory.classes());
        // One class at a time: callers wait for the lock.
        let snapshots = classes
            .into_iter()
            .filter_map(|class| Some((class, self.finder.with_memory(|memory| memory.snapshot(class))?)));
        state.save(snapshots).await;
    }
}

impl fmt::Debug for Meanings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Meanings").field("embedder", self.source.embedder().fingerprint()).finish_non_exhaustive()
    }
}

// === impl Source ===

impl Source {
    fn new(config: &Config, client: &HttpClient) -> Result<Self, BuildError> {
        let settings = &config.cache.embedder;
        let wrong = |(key, says): (String, String)| ConfigError::of_key(key, says);
        match config.cache.semantic.embedder {
            EmbedderKind::Lexical => Ok(Self::Lexical(Lexical::new())),
            EmbedderKind::Http => {
                if settings.api_key_env.is_some() && config.embedder_key.is_none() {
                    let says = "the key was not looked up".to_owned();
                    return Err(ConfigError::of_key("cache.embedder.api_key_env".to_owned(), says).into());
                }
                let http = settings.http(config.embedder_key.as_ref()).map_err(wrong)?;
                let (embedder, circuit) = embedding::embedder(client.clone(), http, &config.breaker)?;
                Ok(Self::Http(embedder, circuit))
            }
            #[cfg(feature = "minilm")]
            EmbedderKind::Minilm => {
                let loaded = MiniLm::load(settings.directory(), &settings.version, settings.limits());
                let says = |error| format!("`{}`: {error}", settings.directory().display());
                let fault = |error| wrong(("cache.embedder.directory".to_owned(), says(error)));
                Ok(Self::MiniLm(loaded.map_err(fault)?))
            }
            #[cfg(not(feature = "minilm"))]
            EmbedderKind::Minilm => {
                let says = "`minilm` is not in this build".to_owned();
                Err(ConfigError::of_key("cache.semantic.embedder".to_owned(), says).into())
            }
        }
    }

    fn embedder(&self) -> Arc<dyn Embedder> {
        match self {
            Self::Lexical(embedder) => Arc::new(embedder.clone()),
            #[cfg(feature = "minilm")]
            Self::MiniLm(embedder) => Arc::new(embedder.clone()),
            Self::Http(embedder, _) => Arc::new(embedder.clone()),
        }
    }
}

// === impl AnyJudge ===

impl AnyJudge {
    fn new(config: &Config, embed: Arc<dyn Embedder>, model: Option<ServiceJudge>) -> Result<Self, BuildError> {
        let semantic = &config.cache.semantic;
        Ok(Self(Arc::new(match semantic.judge {
            JudgeKind::SameText => Kind::SameText,
            JudgeKind::SameJson => Kind::SameJson,
            JudgeKind::Similar => {
                let vector = move |text: &str| -> Vector {
                    let (embed, text) = (Arc::clone(&embed), text.to_owned());
                    Box::pin(async move { embed.embed(&text).await.ok().map(|vector| vector.to_vec()) })
                };
                Kind::Similar(Similar::new(semantic.judge_similarity(), Box::new(vector)))
            }
            JudgeKind::Model => {
                let says = || ConfigError::of_key("cache.judge".to_owned(), "the model cannot be asked".to_owned());
                Kind::Model(model.ok_or_else(says)?, config.cache.judge.model.as_deref().unwrap_or_default().into())
            }
        })))
    }

    fn name(&self) -> Cow<'static, str> {
        match &*self.0 {
            Kind::SameText => "same-text".into(),
            Kind::SameJson => "same-json".into(),
            Kind::Similar(_) => "similar".into(),
            Kind::Model(_, model) => format!("model {model}").into(),
        }
    }
}

impl Judge for AnyJudge {
    async fn equal(&self, fresh: &str, known: &str) -> Option<bool> {
        match &*self.0 {
            // Other words may come to the same, but who could tell? A judge that never says no would never teach anything.
            Kind::SameText => Some(SameText.equal(fresh, known).await == Some(true)),
            Kind::SameJson => SameJson.equal(fresh, known).await,
            Kind::Similar(similar) => match SameText.equal(fresh, known).await {
                None => similar.equal(fresh, known).await,
                same => same,
            },
            // What is the same to the letter is not worth a call.
            Kind::Model(model, _) => match SameText.equal(fresh, known).await {
                None => model.equal(fresh, known).await,
                same => same,
            },
        }
    }
}
