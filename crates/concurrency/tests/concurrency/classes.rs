//! Which calls come first.

use buttress_concurrency::{Criticality, Shares};
use tokio_test::assert_pending;

use crate::support::{Svc, answer, begin_with, done, fixed, ms, n, queue, refusal, streaming};

fn of(class: Criticality) -> http::Request<buttress_core::Payload> {
    let mut request = buttress_testkit::request();
    request.extensions_mut().insert(class);
    request
}

fn wait(service: &mut Svc, class: Criticality) -> crate::support::Call {
    let mut call = begin_with(service, of(class));
    assert_pending!(call.poll());
    call
}

#[tokio::test(start_paused = true)]
async fn who_matters_more_is_served_first() {
    let layer = fixed(1).queue(queue());
    let (mut service, _probe) = streaming(&layer);
    let mut stream = answer(&mut service);
    let mut waiting =
        [Criticality::Sheddable, Criticality::Critical, Criticality::SheddablePlus, Criticality::CriticalPlus]
            .map(|class| (class, wait(&mut service, class)))
            .into_iter()
            .collect::<Vec<_>>();
    for class in Criticality::ALL {
        drop(stream);
        let at = waiting.iter().position(|(_, call)| call.is_woken()).expect("one is woken");
        let (served, mut call) = waiting.remove(at);
        assert_eq!(served, class);
        stream = done(&mut call);
    }
}

#[tokio::test(start_paused = true)]
async fn a_class_has_room_of_its_own_in_the_queue() {
    let layer = fixed(1).queue(buttress_concurrency::Queue::of(n(1)));
    let (mut service, _probe) = streaming(&layer);
    let _stream = answer(&mut service);
    let _first = wait(&mut service, Criticality::Sheddable);
    refusal(&done(&mut begin_with(&mut service, of(Criticality::Sheddable))));
    let _second = wait(&mut service, Criticality::Critical);
}

#[tokio::test(start_paused = true)]
async fn a_share_that_is_not_wanted_is_lent_and_comes_back_when_it_is() {
    let shares = Shares::try_new([(Criticality::Sheddable, 25)]).unwrap();
    let layer = fixed(4).queue(queue()).shares(shares);
    let (mut service, _probe) = streaming(&layer);
    let mut lent: Vec<_> = (0..4).map(|_| answer(&mut service)).collect();
    let mut more = wait(&mut service, Criticality::Critical);
    let mut owed = wait(&mut service, Criticality::Sheddable);
    lent.pop();
    assert!(owed.is_woken() && !more.is_woken(), "though it matters less, it has less than it is guaranteed");
    let kept = done(&mut owed);
    let _second_of_its_class = wait(&mut service, Criticality::Sheddable);
    lent.pop();
    assert!(more.is_woken(), "beyond the share, it is served who matters most");
    drop((done(&mut more), kept, lent));
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_critical_calls_leaves_the_others_their_share_and_no_more() {
    let shares = Shares::try_new([(Criticality::Critical, 50), (Criticality::Sheddable, 25)]).unwrap();
    let layer = fixed(4).queue(queue()).shares(shares);
    let (mut service, _probe) = streaming(&layer);
    let mut streams: Vec<_> = (0..4).map(|_| (Criticality::Critical, answer(&mut service))).collect();
    let mut served = [0; 2];
    for _ in 0..40 {
        let mut calls = [Criticality::Critical, Criticality::Sheddable].map(|class| (class, wait(&mut service, class)));
        streams.remove(0);
        let (class, call) = calls.iter_mut().find(|(_, call)| call.is_woken()).expect("one is served");
        served[usize::from(*class == Criticality::Sheddable)] += 1;
        streams.push((*class, done(call)));
        drop(calls);
        let sheddable = streams.iter().filter(|(class, _)| *class == Criticality::Sheddable).count();
        assert_eq!(sheddable, 1, "one place of four");
    }
    assert_eq!(served, [30, 10]);
}

#[tokio::test(start_paused = true)]
async fn who_matters_least_is_shed_first_when_the_limit_shrinks() {
    let shares = Shares::try_new([(Criticality::Critical, 50), (Criticality::Sheddable, 50)]).unwrap();
    let layer = fixed(2).queue(queue()).shares(shares);
    let (mut service, _probe) = streaming(&layer);
    let streams = [(); 2].map(|()| answer(&mut service));
    layer.handle().set_limit(n(1));
    let mut sheddable = wait(&mut service, Criticality::Sheddable);
    let mut critical = wait(&mut service, Criticality::Critical);
    drop(streams);
    assert!(critical.is_woken() && !sheddable.is_woken());
    let _stream = done(&mut critical);
    tokio::time::advance(ms(10_000)).await;
    refusal(&done(&mut sheddable));
}

#[tokio::test(start_paused = true)]
async fn a_closure_can_say_how_much_a_request_matters() {
    use tower::{Layer as _, ServiceExt as _};
    let by_path = |request: &http::Request<buttress_core::Payload>| match request.uri().path() {
        "/batch" => Criticality::Sheddable,
        _ => Criticality::Critical,
    };
    let layer = fixed(1).queue(queue()).criticality(by_path);
    let (probe, handle) = buttress_testkit::Probe::<buttress_testkit::ScriptedBody>::new();
    handle.always(buttress_testkit::Reply::ok().body(buttress_testkit::Script::new().data("a").hangs()));
    let service = layer.layer(probe);
    let call = |path: &'static str| {
        let request = http::Request::get(path).body(buttress_core::Payload::default()).unwrap();
        tokio_test::task::spawn(service.clone().oneshot(request))
    };
    let stream = tokio_test::assert_ready!(call("/").poll());
    let (mut batch, mut person) = (call("/batch"), call("/chat"));
    assert_pending!(batch.poll());
    assert_pending!(person.poll());
    drop(stream);
    assert!(person.is_woken() && !batch.is_woken());
}
