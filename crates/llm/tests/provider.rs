//! What is known of providers, and the endpoints that come of it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

use std::collections::HashSet;

use buttress_llm::{CredentialStyle, Dialect, Endpoint, Provider, StreamUsage};

#[test]
fn every_row_has_a_name_of_its_own_and_a_source() {
    let names: HashSet<_> = Provider::ALL.iter().map(|provider| provider.name()).collect();
    assert_eq!(names.len(), Provider::ALL.len());
    for provider in Provider::ALL {
        assert_eq!(Provider::by_name(provider.name()), Some(provider));
        assert!(provider.source().contains('.') && !provider.source().contains("  "), "{provider}");
        assert_eq!(provider.base().is_none(), provider.dialect().is_azure(), "{provider}");
    }
    assert_eq!(Provider::by_name("nobody"), None);
}

#[test]
fn an_endpoint_of_each_row_can_be_built_probed_and_shown_its_credential() {
    for (provider, probe, style) in [
        (Provider::OPENAI, "https://api.openai.com/v1/models", "authorization"),
        (Provider::AZURE, "https://r.openai.azure.com/openai/models?api-version=2024-10-21", "api-key"),
        (Provider::AZURE_V1, "https://r.openai.azure.com/openai/v1/models", "api-key"),
        (Provider::ANTHROPIC, "https://api.anthropic.com/v1/models", "x-api-key"),
        (Provider::GEMINI, "https://generativelanguage.googleapis.com/v1beta/models", "x-goog-api-key"),
        (Provider::GEMINI_OPENAI, "https://generativelanguage.googleapis.com/v1beta/openai/models", "authorization"),
        (Provider::OLLAMA, "http://localhost:11434/api/version", "authorization"),
        (Provider::OLLAMA_OPENAI, "http://localhost:11434/api/version", "authorization"),
        (Provider::VLLM, "http://localhost:8000/health", "authorization"),
        (Provider::GROQ, "https://api.groq.com/openai/v1/models", "authorization"),
        (Provider::OPENROUTER, "https://openrouter.ai/api/v1/models", "authorization"),
        (Provider::DEEPSEEK, "https://api.deepseek.com/models", "authorization"),
        (Provider::MISTRAL, "https://api.mistral.ai/v1/models", "authorization"),
    ] {
        let mut endpoint = Endpoint::provider(provider).credential(provider.credential("secret").unwrap());
        if provider.base().is_none() {
            endpoint = endpoint.base("https://r.openai.azure.com");
        }
        let asked = endpoint.build().unwrap().probe();
        assert_eq!((asked.method().as_str(), asked.uri().to_string()), ("GET", probe.to_owned()), "{provider}");
        assert!(asked.headers()[style].to_str().unwrap().ends_with("secret"), "{provider}");
        assert!(asked.body().bytes().is_empty());
        assert_eq!(asked.headers().contains_key("anthropic-version"), provider == Provider::ANTHROPIC);
    }
}

#[test]
fn an_endpoint_without_a_provider_is_probed_as_its_dialect_is() {
    let probe = |dialect, base: &str| Endpoint::builder(dialect, base).build().unwrap().probe().uri().to_string();
    assert_eq!(probe(Dialect::OpenAi, "http://a:1/v1"), "http://a:1/v1/models");
    assert_eq!(probe(Dialect::Ollama, "http://a:1/x"), "http://a:1/x/api/version");
    assert_eq!(probe(Dialect::Anthropic, "http://a:1"), "http://a:1/v1/models");
}

#[test]
fn usage_is_asked_for_only_where_that_brings_it() {
    let asks =
        |provider| Endpoint::provider(provider).base("http://a/b").ask_for_usage().build().unwrap().asks_for_usage();
    for provider in Provider::ALL {
        assert_eq!(asks(provider), provider.stream_usage() == StreamUsage::OnRequest, "{provider}");
    }
    assert!(Endpoint::builder(Dialect::OpenAi, "http://a").ask_for_usage().build().unwrap().asks_for_usage());
    assert!(!Endpoint::provider(Provider::OPENAI).build().unwrap().asks_for_usage(), "off unless set");
    assert_eq!(Provider::MISTRAL.stream_usage(), StreamUsage::AlwaysUnasked);
}

#[test]
fn a_secret_that_cannot_be_a_header_is_refused_without_being_shown() {
    for provider in Provider::ALL {
        let error = provider.credential("sk-with space").unwrap_err();
        assert!(!format!("{error} {error:?} {provider:?}").contains("sk-"), "{provider}");
    }
    assert_eq!(Provider::GEMINI.credential_style(), CredentialStyle::XGoogApiKey);
    assert!(!Provider::OLLAMA.needs_credential() && Provider::GROQ.needs_credential());
}
