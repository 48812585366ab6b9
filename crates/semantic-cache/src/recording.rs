//! How an answer comes to be recorded.

use buttress_core::{Class, Classify, Verdict};
use bytes::Bytes;
use http::Response;
use http_body::Body;
use tokio::time::Instant;

use crate::{
    Admit, ResponseBody, Unfit,
    record::{Record, RecordBounds},
    shared::{Errand, Keeper},
};

// === impl Keeper ===

impl<A: Admit + Send + Sync + 'static> Keeper<A> {
    /// Records an answer, if it may be kept by its head.
    pub(crate) fn recorded<B: Body<Data = Bytes>>(
        &self,
        response: Response<B>,
        class: Class,
        bounds: RecordBounds,
        errand: Errand,
    ) -> Response<ResponseBody<B>> {
        let (head, body) = response.into_parts();
        let success = if class.verdict == Verdict::Success { Ok(()) } else { Err(Unfit::Failure) };
        let body = match success.and_then(|()| Unfit::of_head(&head)) {
            Err(unfit) => {
                self.unfit(errand.question.key, unfit);
                ResponseBody::passing(body)
            }
            Ok(()) => {
                let keeper = self.clone();
                let kept = Box::new(move |recorded| keeper.keep(errand, recorded, Instant::now()));
                let record = Record::new(&head, &body, bounds, Instant::now(), kept);
                ResponseBody::recorded(body, record)
            }
        };
        Response::from_parts(head, body)
    }

    /// The same of the result of a call in the background. Returns the body, to be read to its end.
    pub(crate) fn record<B, E, C>(
        &self,
        result: Result<Response<B>, E>,
        classify: &C,
        bounds: RecordBounds,
        errand: Errand,
    ) -> Option<ResponseBody<B>>
    where
        B: Body<Data = Bytes>,
        C: Classify<Response<B>, E>,
    {
        let class = classify.classify(result.as_ref());
        if let Ok(response) = result {
            return Some(self.recorded(response, class, bounds, errand).into_body());
        }
        self.unfit(errand.question.key, Unfit::Failure);
        None
    }
}
