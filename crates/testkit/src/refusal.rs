//! Refusal makers that no layer has as its default.

use buttress_core::{Refusal, Refuse};
use bytes::Bytes;
use http::{Response, StatusCode};

use crate::ProbeError;

/// Refuses with an answer that a test knows again: 418, or [`ByResponse::NUMBER`] without HTTP.
#[derive(Clone, Copy, Debug, Default)]
pub struct ByResponse;

/// Refuses with the service's own error: [`ByError::error`].
#[derive(Clone, Copy, Debug, Default)]
pub struct ByError;

// === impl ByResponse ===

impl ByResponse {
    /// What a service without HTTP answers.
    pub const NUMBER: u64 = 418;
}

impl<R: Into<Refusal>, B: From<Bytes>> Refuse<R, Response<B>, ProbeError> for ByResponse {
    fn refuse(&self, _: R) -> Result<Response<B>, ProbeError> {
        let mut response = Response::new(B::from(Bytes::new()));
        *response.status_mut() = StatusCode::IM_A_TEAPOT;
        Ok(response)
    }
}

impl<R: Into<Refusal>> Refuse<R, u64, ProbeError> for ByResponse {
    fn refuse(&self, _: R) -> Result<u64, ProbeError> {
        Ok(Self::NUMBER)
    }
}

// === impl ByError ===

impl ByError {
    /// Returns the error that stands for a refusal with `code`.
    #[must_use]
    pub fn error(code: &str) -> ProbeError {
        ProbeError::new(format!("refused: {code}"))
    }
}

impl<R: Into<Refusal>, Res> Refuse<R, Res, ProbeError> for ByError {
    fn refuse(&self, refusal: R) -> Result<Res, ProbeError> {
        Err(Self::error(refusal.into().kind().code()))
    }
}
