//! How a request with a head is split, and what it carries.

use std::{mem, num::NonZeroU32};

use crate::{CallContext, Head, Replay};

/// Splits a request, and copies its extensions only if there is more in them than a context: a copy costs three allocations,
/// and only a further attempt needs it.
#[inline]
pub(crate) fn begin<Req, R: Replay<Req>>(
    replay: &R,
    mut request: Req,
    attempts: NonZeroU32,
) -> (R::Request, R::Saved, Option<CallContext>) {
    let aside = replay.inbound(&mut request).map(|head| {
        let found = head.extensions().get::<CallContext>().cloned();
        let alone = head.extensions().len() == usize::from(found.is_some());
        let context = found.unwrap_or_else(|| CallContext::of_client(head.headers(), attempts));
        (context, alone.then(|| mem::take(head.extensions_mut())))
    });
    let (mut first, saved) = replay.split(request);
    let context = aside.map(|(context, extensions)| {
        if let Some(head) = replay.outbound(&mut first) {
            if let Some(extensions) = extensions {
                *head.extensions_mut() = extensions;
            }
            complete(head, &context);
        }
        context
    });
    (first, saved, context)
}

/// Puts `context` into a head that may have none.
pub(crate) fn complete(head: &mut dyn Head, context: &CallContext) {
    head.extensions_mut().get_or_insert_with(|| context.clone());
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;
    use crate::{Http, HttpReplay, HttpReplayed, HttpShared, Payload, ReplayBody};

    const ATTEMPTS: NonZeroU32 = NonZeroU32::new(3).expect("3 is not 0");

    fn requests() -> [Request<Payload>; 4] {
        let mut requests = [(); 4].map(|()| Request::post("/").body(Payload::default()).unwrap());
        for request in &mut requests[2..] {
            request.extensions_mut().insert(7_u8);
        }
        for request in [1, 3] {
            requests[request].extensions_mut().insert(CallContext::new(ATTEMPTS));
        }
        requests
    }

    /// Begins with `request`, and makes it again once what is kept is completed.
    fn shares_one_context<Req, R>(replay: &R, mut request: Req)
    where
        R: Replay<Req>,
    {
        let extensions = |head: Option<&mut dyn Head>| {
            let extensions = head.expect("it has a head").extensions();
            (extensions.get::<CallContext>().cloned(), extensions.get::<u8>().copied())
        };
        let (_, beside) = extensions(replay.inbound(&mut request));
        let (mut first, mut saved, context) = replay.begin(request, ATTEMPTS);
        replay.complete(&mut saved, &context.expect("there is a place for it"));
        let kept = replay.kept(&saved).expect("it has a head").extensions();
        let (kept, kept_beside) = (kept.get::<CallContext>().cloned(), kept.get::<u8>().copied());
        let mut again = replay.again(&saved).expect("nothing was read of it");
        let (first, second) = (extensions(replay.outbound(&mut first)), extensions(replay.outbound(&mut again)));
        let all = [kept, first.0, second.0].map(|context| context.expect("each of them carries the context"));
        assert_eq!([kept_beside, first.1, second.1], [beside; 3], "and what was there beside it");
        assert!(all[0].take_attempt());
        assert_eq!(all.map(|context| context.attempts_left()), [1; 3], "one allowance for all");
    }

    #[test]
    fn each_attempt_carries_one_context_and_what_came_with_the_request() {
        let replayed = |body| ReplayBody::new(body, 1 << 10);
        requests().into_iter().for_each(|request| shares_one_context(&Http, request));
        requests().into_iter().for_each(|request| shares_one_context(&HttpReplay::default(), request));
        requests().into_iter().for_each(|request| shares_one_context(&HttpReplayed, request.map(replayed)));
        requests().into_iter().for_each(|request| shares_one_context::<Request<_>, _>(&HttpShared, request));
    }

    #[test]
    fn a_context_alone_is_not_copied_before_it_is_needed() {
        let kept = requests().map(|request| {
            let (_, saved, context) = Http.begin(request, ATTEMPTS);
            (context.is_some(), saved.extensions().len())
        });
        assert_eq!(kept, [(true, 0), (true, 0), (true, 1), (true, 2)]);
    }
}
