//! TLS.
#![cfg(feature = "tls")]

mod common;

use std::{fs, net::TcpListener, path::PathBuf, time::Duration};

use buttress_redis::{AwayReason, Config, Redis, Status};
use buttress_testkit::RedisServer;
use common::{connected, ping, run, soon};

struct Certificates {
    pem: String,
    dir: PathBuf,
}

/// A certificate for `localhost` that vouches for itself, and its key, in files.
fn certificates(name: &str) -> Certificates {
    let rcgen::CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate can be made");
    let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
    fs::create_dir_all(&dir).expect("the target directory can be written");
    fs::write(dir.join("cert"), cert.pem()).expect("written");
    fs::write(dir.join("key"), signing_key.serialize_pem()).expect("written");
    Certificates { pem: cert.pem(), dir }
}

fn server(certificates: &Certificates) -> (RedisServer, String) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a loopback port is free");
    let port = listener.local_addr().expect("a bound listener has an address").port();
    drop(listener);
    let path = |name| certificates.dir.join(name).display().to_string();
    let (port_text, cert, key) = (port.to_string(), path("cert"), path("key"));
    let args = ["--tls-port", &port_text, "--tls-cert-file", &cert, "--tls-key-file", &key, "--tls-auth-clients", "no"];
    (RedisServer::start_with(&args), format!("rediss://localhost:{port}"))
}

fn config(url: &str) -> Config {
    common::config(url).connect_timeout(Duration::from_secs(5))
}

#[test]
fn a_server_is_spoken_to_if_its_certificate_comes_from_a_root_that_is_trusted() {
    let certificates = certificates("trusted");
    let (_server, url) = server(&certificates);
    run(async {
        let client = connected(config(&url).tls(Some(certificates.pem.clone().into_bytes()), None)).await;
        assert!(ping(&client).await.is_ok());

        let stranger = common::client(config(&url));
        soon(async {
            while stranger.counts().probes_failed == 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
        let status = stranger.status();
        assert!(matches!(status, Status::Away { reason: AwayReason::Unreachable, .. }), "{status:?}");
    });
    drop(fs::remove_dir_all(&certificates.dir));
}

#[test]
fn what_is_no_certificate_is_told_at_once() {
    let hush = || Some(b"hush".to_vec());
    let pem = b"-----BEGIN CERTIFICATE-----\nhush\n-----END CERTIFICATE-----\n".to_vec();
    let url = "rediss://localhost";
    for config in [
        Config::new(url).tls(hush(), None),
        Config::new(url).tls(Some(pem), None),
        Config::new(url).tls(None, Some((b"hush".to_vec(), b"hush".to_vec()))),
    ] {
        let error = Redis::pair(config).expect_err("no certificate").to_string();
        assert!(error.starts_with("`tls`") && !error.contains("hush"), "{error}");
    }
}
