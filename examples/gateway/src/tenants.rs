//! Who calls, what a call may cost, and what is left to its caller.

use std::{collections::HashMap, fmt, num::NonZeroUsize, sync::Arc};

use arc_swap::ArcSwap;
use buttress_core::{Label, Payload};
use buttress_llm::{Call, ExpectedOutput, Operation, TokenCounter};
use buttress_token_bucket::{Costs, Estimate, Fingerprint, Prices, Secret};
use http::{HeaderMap, Request, header};

use crate::config::{Access, CallerBy, Config, KeyHash, LimitsConfig, PriceConfig, Strangers};

/// Who calls, and what a call may cost. Clones are one.
#[derive(Clone)]
pub(crate) struct Tenants {
    book: Arc<ArcSwap<Book>>,
    secret: Secret,
    expected: Arc<ExpectedOutput>,
}

/// Who the tenants are, and what models cost. It holds hashes of keys, and no key.
pub struct Book {
    by: CallerBy,
    strangers: Strangers,
    tenants: Vec<(Label, usize)>,
    by_name: HashMap<Label, usize>,
    by_key: HashMap<KeyHash, usize>,
    prices: PriceList,
    assumed_output: u64,
    /// Where replicas share what they count.
    pub(crate) redis: Option<Access>,
}

/// What models cost.
#[derive(Clone, Debug)]
pub(crate) struct PriceList {
    exact: HashMap<String, PriceConfig>,
    /// What stands before the `*` of their names, the longest first.
    families: Vec<(String, PriceConfig)>,
    dearest: Option<PriceConfig>,
}

/// What is found of a caller, in a request's extensions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caller {
    pub(crate) key: Fingerprint,
    pub(crate) tier: usize,
}

/// Whose a question and its answer are, in a request's extensions: nobody else is given that answer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Whose {
    /// A tenant's.
    Tenant(Label),
    /// A stranger's who has shown this.
    Shown(KeyHash),
}

// === impl Whose ===

impl Whose {
    /// Returns the number of one who shares answers with others. All that show nothing are one.
    pub(crate) fn number(whose: Option<&Self>) -> u64 {
        let hash = match whose {
            Some(Self::Shown(hash)) => *hash,
            Some(Self::Tenant(name)) => KeyHash::of(format!("tenant {name}").as_bytes()),
            None => KeyHash::of(b"nobody"),
        };
        let [a, b, c, d, e, f, g, h, ..] = hash.bytes();
        u64::from_le_bytes([a, b, c, d, e, f, g, h])
    }

    /// Finds who sends a request, by its key alone. Whoever shows none is nobody.
    pub(crate) fn by_key(headers: &HeaderMap) -> Option<Self> {
        shown(&CallerBy::ApiKey, headers).map(|shown| Self::Shown(KeyHash::of(shown)))
    }
}

// === impl Tenants ===

impl Tenants {
    pub(crate) fn new(book: Book, secret: Secret) -> Self {
        let expected = ExpectedOutput::new(MOST_MODELS, QUANTILE);
        Self { book: Arc::new(ArcSwap::from_pointee(book)), secret, expected: Arc::new(expected) }
    }

    /// Returns what is known of how long answers are.
    pub(crate) fn expected(&self) -> Arc<ExpectedOutput> {
        Arc::clone(&self.expected)
    }

    /// Takes over who is known, and what models cost.
    pub(crate) fn replace(&self, book: Book) {
        self.book.store(Arc::new(book));
    }

    /// Finds who sends a request, by its headers, and takes out the one that names a tenant: it is not for targets.
    pub(crate) fn find(&self, headers: &mut HeaderMap) -> Caller {
        let book = self.book.load();
        let caller = self.who(&book, headers);
        if let CallerBy::Header(name) = &book.by {
            headers.remove(name);
        }
        caller
    }

    /// Finds whose a request is, by its headers. Strangers are kept apart, also where they share one bucket.
    pub(crate) fn whose(&self, headers: &HeaderMap) -> Option<Whose> {
        let book = self.book.load();
        let shown = shown(&book.by, headers)?;
        let tenant = book.tenant(shown).map(|(name, _)| Whose::Tenant(name.clone()));
        Some(tenant.unwrap_or_else(|| Whose::Shown(KeyHash::of(shown))))
    }

    fn who(&self, book: &Book, headers: &HeaderMap) -> Caller {
        let shown = shown(&book.by, headers);
        match shown.and_then(|shown| book.tenant(shown)) {
            Some((name, tier)) => Caller { key: self.fingerprint(name), tier: *tier },
            None => {
                let key = shown.filter(|_| book.strangers == Strangers::Each);
                // What a stranger shows must not be taken for the name of a tenant.
                let key = key.map(|shown| self.secret.of(&("stranger", shown)));
                Caller { key: key.unwrap_or(Fingerprint::NO_KEY), tier: 0 }
            }
        }
    }

    /// Returns each tenant: its name, its key, and the number of its tier.
    pub(crate) fn all(&self) -> Vec<(Label, Fingerprint, usize)> {
        let book = self.book.load();
        book.tenants.iter().map(|(name, tier)| (name.clone(), self.fingerprint(name), *tier)).collect()
    }

    /// Returns the tenant of this name.
    pub(crate) fn named(&self, name: &str) -> Option<Label> {
        let name = Label::try_new(name).ok()?;
        self.book.load().by_name.contains_key(&name).then_some(name)
    }

    /// Returns the account of the judge, in the tier of this number. It is no tenant's, whatever their names.
    pub(crate) fn judge(&self, tier: usize) -> Caller {
        Caller { key: self.secret.of(&("judge", 0_u8)), tier }
    }

    fn fingerprint(&self, name: &Label) -> Fingerprint {
        self.secret.of(name.as_str())
    }
}

/// Returns what a caller shows of who it is.
fn shown<'a>(by: &CallerBy, headers: &'a HeaderMap) -> Option<&'a [u8]> {
    let of = |name: &str| headers.get(name).map(|value| value.as_bytes());
    match by {
        CallerBy::Header(name) => of(name.as_str()),
        CallerBy::ApiKey => {
            let bearer = |value: &'a [u8]| {
                let (scheme, key) = value.split_at_checked(7)?;
                scheme.eq_ignore_ascii_case(b"bearer ").then(|| key.trim_ascii())
            };
            let others = || ["x-api-key", "api-key", "x-goog-api-key"].into_iter().find_map(of);
            of(header::AUTHORIZATION.as_str()).and_then(bearer).or_else(others)
        }
    }
    .filter(|shown| !shown.is_empty())
}

/// Of how many models it is learned how long their answers are, half a kilobyte each.
const MOST_MODELS: NonZeroUsize = NonZeroUsize::new(1_024).expect("1,024 are not 0");
/// What part of the answers stays within what is reserved for them. What the others need more is owed.
const QUANTILE: f64 = 0.95;

impl Estimate<Request<Payload>> for Tenants {
    fn estimate(&self, request: &Request<Payload>) -> Costs {
        let Some(call) = request.extensions().get::<Call>().filter(|call| generates(call.operation()).is_some()) else {
            return Costs::request();
        };
        let book = self.book.load();
        let details = call.details(request.body().bytes());
        let model = call.model().unwrap_or_default();
        let input = TokenCounter::of_model(model).input(&details).tokens;
        let assumed = book.assumed_output.saturating_mul(details.choices());
        let output = || self.expected.expect(model, &details, assumed);
        let output = if generates(call.operation()) == Some(true) { output() } else { 0 };
        Costs::tokens(input, output).priced(book.prices.of(model))
    }
}

/// Returns whether `operation` makes output of its input, or only takes input; `None` if it costs no tokens.
const fn generates(operation: Operation) -> Option<bool> {
    match operation {
        Operation::Embeddings | Operation::EmbedContent | Operation::OllamaEmbed => Some(false),
        Operation::CountMessageTokens | Operation::CountTokens => None,
        operation if operation.has_body() => Some(true),
        _ => None,
    }
}

impl fmt::Debug for Tenants {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tenants").field("known", &self.book.load().tenants.len()).finish_non_exhaustive()
    }
}

// === impl Book ===

impl Book {
    /// Writes down who is known and what models cost, by `config`. The keys of tenants are looked up by `variable`.
    ///
    /// # Errors
    ///
    /// Returns the key of what is wrong, and what: a variable is not set, or two tenants have one key.
    pub(crate) fn new(
        config: &Config,
        limits: &LimitsConfig,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, (String, String)> {
        let redis = limits.redis.as_ref().map(|redis| redis.access("limits.redis", &variable)).transpose()?;
        let (mut tenants, mut by_key) = (Vec::new(), HashMap::new());
        for (at, tenant) in config.tenants().enumerate() {
            let tier = tenant.tier.as_deref().and_then(|tier| limits.tier(tier)).unwrap_or(0);
            tenants.push((tenant.name.clone(), tier));
            let own = tenant.api_key_env.as_deref().map(|name| {
                let key = variable(name).ok_or_else(|| format!("the environment variable `{name}` is not set"));
                key.map(|key| KeyHash::of(key.as_bytes()))
            });
            let own = own.transpose().map_err(|says| (format!("tenants[{at}].api_key_env"), says))?;
            for hash in own.into_iter().chain(tenant.api_key_sha256.iter().copied()) {
                if by_key.insert(hash, at).is_some_and(|other| other != at) {
                    let says = "a key of this tenant is a key of another one too".to_owned();
                    return Err((format!("tenants[{at}]"), says));
                }
            }
        }
        let strangers = if tenants.is_empty() { Strangers::Each } else { Strangers::Together };
        Ok(Self {
            by: limits.caller.clone(),
            strangers: limits.strangers.unwrap_or(strangers),
            by_name: tenants.iter().enumerate().map(|(at, (name, _))| (name.clone(), at)).collect(),
            tenants,
            by_key,
            prices: PriceList::new(config),
            assumed_output: limits.assumed_output.get(),
            redis,
        })
    }

    fn tenant(&self, shown: &[u8]) -> Option<&(Label, usize)> {
        let at = match &self.by {
            CallerBy::Header(_) => {
                let name = Label::try_new(std::str::from_utf8(shown).ok()?).ok()?;
                self.by_name.get(&name)?
            }
            CallerBy::ApiKey if self.by_key.is_empty() => return None,
            CallerBy::ApiKey => self.by_key.get(&KeyHash::of(shown))?,
        };
        self.tenants.get(*at)
    }
}

impl fmt::Debug for Book {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Book").field("tenants", &self.tenants).finish_non_exhaustive()
    }
}

// === impl PriceList ===

impl PriceList {
    pub(crate) fn new(config: &Config) -> Self {
        let family = |(name, price): (&String, &PriceConfig)| Some((name.strip_suffix('*')?.to_owned(), *price));
        let mut families: Vec<_> = config.prices.iter().filter_map(family).collect();
        families.sort_by_key(|(family, _)| std::cmp::Reverse(family.len()));
        Self {
            exact: config.prices.iter().map(|(name, price)| (name.clone(), *price)).collect(),
            families,
            dearest: config.prices.values().copied().reduce(PriceConfig::dearer),
        }
    }

    /// Returns what a token of `model` costs: as much as of the dearest, where nothing is said of it.
    fn of(&self, model: &str) -> Prices {
        self.known(model).or_else(|| Some(self.dearest?.prices())).unwrap_or_default()
    }

    /// Returns what a token of `model` costs, where that is said.
    pub(crate) fn known(&self, model: &str) -> Option<Prices> {
        let family = || self.families.iter().find(|(family, _)| model.starts_with(family)).map(|(_, price)| price);
        self.exact.get(model).or_else(family).map(|price| price.prices())
    }
}
