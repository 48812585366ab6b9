//! What the gateway learns of targets that nobody asks. Real sockets on loopback, no clock in the assertions.

mod support;

use buttress_sim::{Fault, Simulator};
use gateway::{Config, stack};
use http::StatusCode;
use tokio::{task::yield_now, time::timeout};

use support::{CHAT, CHAT_PATH, FAR, Running};

/// No request looks at a target that is out, unless a probe says that it is worth it.
const PROBED: &str = r#"
[probes]
every = "100ms"
timeout = "2s"
down_after = 2
up_after = 2
[failover]
probe_every = "1h"
return_after = "100ms"
slow_start = "100ms"
"#;

fn health(running: &Running, target: usize) -> f64 {
    running.operator.targets().list(tokio::time::Instant::now())[target].health
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let waiting = async {
        while !holds() {
            yield_now().await;
        }
    };
    timeout(FAR, waiting).await.unwrap_or_else(|_| panic!("{what}"));
}

#[tokio::test]
async fn a_target_that_goes_down_unasked_is_out_and_only_requests_bring_it_back() {
    for fault in [Fault::Refuse, Fault::Hang, Fault::status(StatusCode::BAD_GATEWAY)] {
        let mut running = Running::start(&["eastus", "westeurope"], PROBED).await;
        running.probe();
        running.break_region(0, fault.clone());
        until("probes that fail put it out", || health(&running, 0) == 0.0).await;
        assert_eq!(running.regions[0].stats().operations.chat, 0, "{fault:?}: nobody asked it anything");
        assert_eq!(health(&running, 1), 1.0, "{fault:?}");

        running.regions[0].heal();
        let before = running.regions[0].stats().requests;
        let probed = running.regions[0].wait_for(|stats| stats.requests >= before + 5);
        timeout(FAR, probed).await.expect("it is looked at all the while");
        assert_eq!(health(&running, 0), 0.0, "{fault:?}: who lists models may still serve none");

        let answer = running.post(CHAT_PATH, CHAT).await;
        assert_eq!((answer.status.as_u16(), answer.header("x-served-by")), (200, "eastus"), "{fault:?}");
        while health(&running, 0) < 1.0 {
            assert_eq!(running.post(CHAT_PATH, CHAT).await.status, 200, "{fault:?}");
        }
    }
}

#[tokio::test]
async fn a_target_is_asked_what_its_configuration_says() {
    let mut regions = Vec::new();
    let mut text = format!("listen = \"127.0.0.1:0\"\n{PROBED}");
    for (name, probe) in [("usual", ""), ("path", "probe = \"/nowhere?deep=1\""), ("off", "probe = \"off\"")] {
        let region = Simulator::builder().target(name).start().await.expect("a port is free");
        let url = region.url();
        text += &format!("[[targets]]\nname = \"{name}\"\nurl = \"{url}/v1\"\ndialect = \"openai\"\n{probe}\n");
        regions.push(region);
    }
    let mut running = Running::from_config(&Config::parse(&text, "test.toml").expect("it is good"), regions).await;
    running.probe();
    for asked in [0, 1] {
        let probed = running.regions[asked].wait_for(|stats| stats.requests >= 3);
        timeout(FAR, probed).await.expect("it is asked again and again");
    }
    assert!(running.regions[0].stats().operations.reads >= 3 && running.regions[1].stats().operations.unknown >= 3);
    assert_eq!(running.seen()[2], 0, "off is off");
    assert_eq!([0, 1, 2].map(|target| health(&running, target)), [1.0; 3], "a server that has no such path is there");
}

#[tokio::test]
async fn nothing_is_looked_at_where_that_is_off_or_when_the_stack_is_gone() {
    let target = "[[targets]]\nname = \"a\"\nurl = \"http://127.0.0.1:9/v1\"\ndialect = \"openai\"\n";
    let built = |settings: &str| {
        let config = Config::parse(&format!("{settings}{target}"), "test.toml").expect("it is good");
        let upstreams = config.upstreams(|_| None).expect("no key is needed");
        stack::build(&config, &upstreams, None).expect("it can be built")
    };
    assert!(built("[probes]\nevery = \"off\"\n").1.prober().is_none());

    let (stack, operator) = built("[probes]\nevery = \"100ms\"\n");
    let prober = operator.prober().expect("it is on by default");
    drop((stack, operator));
    timeout(FAR, prober).await.expect("the worker ends with what it works for");
}
