//! When a call has ended: with the body of its answer, or with the answer.

use http::Response;

use crate::{Permit, ResponseBody};

/// Sees a good answer through to its end.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not know when a `{Res}` ends",
    label = "not an answer of this protocol",
    note = "around a service without HTTP, make the layer by `CircuitBreakerLayer::try_plain`"
)]
pub trait Cover<Res> {
    /// An answer that is seen through.
    type Response;

    /// Reports to `permit` how `response` ends, if there is one. What has failed already, or was refused, has none.
    fn cover(&self, response: Res, permit: Option<Permit>) -> Self::Response;
}

/// HTTP: an answer has ended when its body has. See [`Cover`].
#[derive(Clone, Copy, Debug, Default)]
pub struct HttpProtocol;

/// Any service: an answer has ended when it is there. See [`Cover`].
#[derive(Clone, Copy, Debug, Default)]
pub struct PlainProtocol;

// === impl Cover ===

impl<B: http_body::Body> Cover<Response<B>> for HttpProtocol {
    type Response = Response<ResponseBody<B>>;

    fn cover(&self, response: Response<B>, permit: Option<Permit>) -> Self::Response {
        let (parts, body) = response.into_parts();
        let body = ResponseBody::new(body, permit, &parts.extensions);
        Response::from_parts(parts, body)
    }
}

impl<Res> Cover<Res> for PlainProtocol {
    type Response = Res;

    #[inline(always)]
    fn cover(&self, response: Res, permit: Option<Permit>) -> Res {
        if let Some(permit) = permit {
            permit.succeed();
        }
        response
    }
}
