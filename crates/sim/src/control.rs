use std::sync::{Arc, Weak};

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderValue, Method, Response, StatusCode};
use http_body_util::Full;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::fault::Fault;
use crate::profile::Profile;
use crate::script::Script;
use crate::simulator::Simulator;
use crate::stats::Stats;
use crate::target::Target;

/// The control endpoint of some simulators, as a function: a server of one's own can offer it beside its other paths.
/// [`ControlServer`](crate::ControlServer) serves it on a port of its own.
///
/// | Request | Body | Does |
/// |---|---|---|
/// | `GET /control/targets` | | lists all targets |
/// | `GET /control/targets/{name}` | | shows one target |
/// | `PUT /control/targets/{name}/fault` | a [`Fault`] | switches the fault on |
/// | `DELETE /control/targets/{name}/fault` | | switches it off |
/// | `PUT /control/targets/{name}/script` | a [`Script`] | sets the script |
/// | `DELETE /control/targets/{name}/script` | | removes it |
/// | `PUT /control/targets/{name}/profile` | the name of a [`Profile`], as a JSON string | answers as this profile says |
/// | `DELETE /control/targets/{name}/profile` | | as the profile of the start says |
/// | `POST /control/targets/{name}/reset` | | as [`Simulator::reset`] |
///
/// Every answer is JSON: the state of the target after the change, or `{"error": {"message": …}}`.
#[derive(Clone, Debug)]
pub struct Control {
    // Weak, so that a simulator ends when it is dropped, controlled or not.
    targets: Arc<[Weak<Target>]>,
}

#[derive(Serialize)]
struct State {
    name: String,
    url: String,
    profile: Profile,
    fault: Option<Fault>,
    script: Script,
    stats: Stats,
}

type Reply = Response<Full<Bytes>>;

const PREFIX: &str = "/control/targets";

// === impl Control ===

impl Control {
    /// Creates the control endpoint of these simulators. Of two with the same name, it knows the first.
    #[must_use]
    pub fn new<'a>(simulators: impl IntoIterator<Item = &'a Simulator>) -> Self {
        let target = |simulator: &Simulator| Arc::downgrade(&simulator.target());
        Self { targets: simulators.into_iter().map(target).collect() }
    }

    /// Carries out one request. `path` is without a query.
    #[must_use]
    pub fn respond(&self, method: &Method, path: &str, body: &[u8]) -> Response<Full<Bytes>> {
        let Some(rest) = path.strip_prefix(PREFIX) else {
            return error(StatusCode::NOT_FOUND, &format!("no such path, expected {PREFIX}"));
        };
        if rest.is_empty() || rest == "/" {
            return self.list(method);
        }
        let Some(rest) = rest.strip_prefix('/') else {
            return error(StatusCode::NOT_FOUND, &format!("no such path, expected {PREFIX}"));
        };
        let (name, action) = rest.split_once('/').map_or((rest, None), |(name, action)| (name, Some(action)));
        match self.find(name) {
            Ok(target) => act(&target, action, method, body),
            Err(reply) => *reply,
        }
    }

    fn list(&self, method: &Method) -> Reply {
        if method != Method::GET {
            return not_allowed("GET");
        }
        let states: Vec<_> = self.live().map(|target| State::of(&target)).collect();
        reply(StatusCode::OK, &json!({ "targets": states }))
    }

    fn find(&self, name: &str) -> Result<Arc<Target>, Box<Reply>> {
        self.live().find(|target| target.name == name).ok_or_else(|| {
            let names: Vec<_> = self.live().map(|target| format!("`{}`", target.name)).collect();
            let message = format!("no target `{name}`, expected one of {}", names.join(", "));
            Box::new(error(StatusCode::NOT_FOUND, &message))
        })
    }

    fn live(&self) -> impl Iterator<Item = Arc<Target>> {
        self.targets.iter().filter_map(Weak::upgrade)
    }
}

// === impl State ===

impl State {
    fn of(target: &Target) -> Self {
        Self {
            name: target.name.clone(),
            url: format!("http://{}", target.port.addr()),
            profile: target.profile(),
            fault: target.fault(),
            script: target.script(),
            stats: target.counters.now(),
        }
    }
}

fn act(target: &Target, action: Option<&str>, method: &Method, body: &[u8]) -> Reply {
    let done = match (action, method.as_str()) {
        (None, "GET") => Ok(()),
        (Some("fault"), "PUT") => read(body).map(|fault: Fault| target.set_fault(Some(fault))),
        (Some("fault"), "DELETE") => {
            target.set_fault(None);
            Ok(())
        }
        (Some("script"), "PUT") => read(body).map(|script| target.set_script(script)),
        (Some("script"), "DELETE") => {
            target.set_script(Script::default());
            Ok(())
        }
        (Some("profile"), "PUT") => read(body).map(|profile| target.set_profile(profile)),
        (Some("profile"), "DELETE") => {
            target.set_profile(target.config.profile);
            Ok(())
        }
        (Some("reset"), "POST") => {
            target.reset();
            Ok(())
        }
        (None, _) => return not_allowed("GET"),
        (Some("fault" | "script" | "profile"), _) => return not_allowed("PUT, DELETE"),
        (Some("reset"), _) => return not_allowed("POST"),
        (Some(action), _) => {
            let message = format!("no action `{action}`, expected one of `fault`, `script`, `reset`, `profile`");
            return error(StatusCode::NOT_FOUND, &message);
        }
    };
    match done {
        Ok(()) => reply(StatusCode::OK, &State::of(target)),
        Err(message) => error(StatusCode::BAD_REQUEST, &message),
    }
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, String> {
    serde_json::from_slice(body).map_err(|error| error.to_string())
}

fn not_allowed(allowed: &'static str) -> Reply {
    let mut reply = error(StatusCode::METHOD_NOT_ALLOWED, &format!("method not allowed, expected {allowed}"));
    reply.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    reply
}

pub(crate) fn error(status: StatusCode, message: &str) -> Reply {
    reply(status, &json!({"error": {"message": message}}))
}

fn reply(status: StatusCode, body: &impl Serialize) -> Reply {
    let body = serde_json::to_vec(body).expect("a state has string keys and finite numbers only");
    let mut reply = Response::new(Full::new(Bytes::from(body)));
    *reply.status_mut() = status;
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    reply
}
