//! Buttress layers around the client that calls OpenAI and Azure OpenAI. The providers are simulated; put real addresses and
//! credentials in their place.
//!
//! `cargo run -p service-builder`

use buttress_commit_gate::CommitGateLayer;
use buttress_core::{Client, Http, Label, Payload, ServedBy, Target};
use buttress_llm::{Credential, Dialect, Endpoint, Inspect, LlmRewrite, LlmStreams};
use buttress_region_failover::RegionFailoverLayer;
use buttress_retry::RetryLayer;
use buttress_sim::{Fault, Simulator};
use buttress_stream_guard::StreamGuardLayer;
use http::Request;
use hyper_util::{client::legacy, rt::TokioExecutor};
use tower::{Service, ServiceBuilder, ServiceExt as _};

const CHAT: &str = r#"{"model":"gpt-4o-mini","stream":true,"messages":[{"role":"user","content":"Hello"}]}"#;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let azure = Simulator::builder().target("azure-eastus").api_key("azure-key").start().await?;
    let openai = Simulator::builder().target("openai").api_key("openai-key").start().await?;

    // Each target: what it speaks, where, with which key, and what it calls the model.
    let endpoints = [
        (
            Label::try_new("azure-eastus")?,
            Endpoint::builder(Dialect::Azure, azure.url())
                .credential(Credential::api_key("azure-key")?)
                .model("gpt-4o-mini", "my-deployment")
                .build()?,
        ),
        (
            Label::try_new("openai")?,
            Endpoint::builder(Dialect::OpenAi, format!("{}/v1", openai.url()))
                .credential(Credential::bearer("openai-key")?)
                .build()?,
        ),
    ];
    let targets = endpoints.iter().map(|(name, _)| Target::new(name.clone()));
    let failover = RegionFailoverLayer::try_new(targets)?.replay(Http).rewrite(LlmRewrite::new(endpoints.clone()));

    // A model computes and stores nothing, so a request may be repeated although it is a POST.
    let client = legacy::Client::builder(TokioExecutor::new()).build_http::<Payload>();
    let mut service = ServiceBuilder::new()
        .layer(RetryLayer::new().replay(Http).repeat_all())
        .layer(failover.repeat_all())
        // What fails before its first word is tried elsewhere; what breaks after it ends with an error, and never silently.
        .layer(CommitGateLayer::new(LlmStreams::new()))
        .layer(StreamGuardLayer::new(LlmStreams::new()))
        .service(Inspect::new(Client::new(client)));

    let says_200_and_fails = Fault::ErrorEvent { after: 1, error: None };
    for (fault, expected) in [
        (None, "azure-eastus"),
        (Some(Fault::Refuse), "openai"),
        (Some(says_200_and_fails), "openai"),
        (None, "azure-eastus"),
    ] {
        azure.set_fault(fault.clone());
        let request = Request::post("/v1/chat/completions").body(Payload::new(CHAT.into()))?;
        let response = service.ready().await?.call(request).await?;

        let served_by = response.extensions().get::<ServedBy>().ok_or("nobody answered")?;
        let model = served_by.model.as_ref().map_or("none", Label::as_str);
        println!("azure {fault:?}: {} from {}, model {model}", response.status(), served_by.target.name());
        assert_eq!(served_by.target.name().as_str(), expected);
    }
    Ok(())
}
