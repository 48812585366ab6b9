//! The contract as tests.

/// Writes the contract of an HTTP layer as tests, one for each promise.
///
/// Put it into a module of its own. The keys come in this order:
///
/// | key | what |
/// |---|---|
/// | `layer` | a closure or function that makes the layer under test |
/// | `request` | optional: makes the requests; default [`request`](crate::request) |
/// | `body` | optional: the body of the probe's responses; default [`ScriptedBody`](crate::ScriptedBody), else any `From<ScriptedBody>` |
/// | `readiness` | `forwarded`, or `lazy` for a layer that is always ready |
/// | `state` | `none`, or `async \|first, second, handle\|`: uses the first service and asserts that the second knows |
/// | `refusal` | `none`, or `{ kind, admission, layer: \|maker\| …, prepare: async \|service, handle\| … }` |
/// | `edge` | optional: an expression that makes the layer for axum, for hyper's client; `none` to skip; default `layer` |
///
/// In `refusal`, `layer` makes a layer with a given refusal maker, and `prepare` brings it to where it refuses the next
/// request; `admission` says whether it refuses without a call of the inner service.
#[macro_export]
macro_rules! http_contract {
    (
        layer: $layer:expr,
        $(request: $request:expr,)?
        $(body: $body:ty,)?
        readiness: $readiness:ident,
        $($rest:tt)*
    ) => {
        macro_rules! contract {
            () => {
                $crate::Contract::http(
                    $layer,
                    $crate::__contract!(@first $($request,)? $crate::request,),
                    $crate::__contract!(@readiness $readiness),
                )
                .answering::<$crate::__contract!(@first_type $($body,)? $crate::ScriptedBody,)>()
            };
        }
        $crate::__contract! { @common contract }
        $crate::__contract! { @tests contract;
            request_passes,
            response_head_passes,
            body_passes_with_trailers_and_both_hints,
            body_error_passes,
            body_dropped_midway_leaves_nothing,
            body_that_waits_wakes_its_reader,
        }
        $crate::__contract! { @ready $readiness contract }
        $crate::__contract! { @state http contract [$layer] $($rest)* }
    };
}

/// Writes the contract of a layer around a service without HTTP as tests, one for each promise.
///
/// The keys are those of [`http_contract!`] without `request` and `body`. Requests and answers are `u64`, and the last
/// test puts the layer around a plain function: `edge` makes the layer for that.
#[macro_export]
macro_rules! plain_contract {
    (
        layer: $layer:expr,
        readiness: $readiness:ident,
        $($rest:tt)*
    ) => {
        macro_rules! contract {
            () => {
                $crate::Contract::plain($layer, $crate::__contract!(@readiness $readiness))
            };
        }
        $crate::__contract! { @common contract }
        $crate::__contract! { @tests contract; request_and_answer_pass, }
        $crate::__contract! { @ready $readiness contract }
        $crate::__contract! { @state plain contract [$layer] $($rest)* }
    };
}

/// The inner rules of the two contracts.
#[doc(hidden)]
#[macro_export]
macro_rules! __contract {
    (@first $first:expr, $($rest:tt)*) => { $first };
    (@first_type $first:ty, $($rest:tt)*) => { $first };
    (@readiness forwarded) => { $crate::Readiness::Forwarded };
    (@readiness lazy) => { $crate::Readiness::Lazy };

    (@tests $contract:ident; $($test:ident $(($($args:expr),*))?,)*) => {
        $(
            #[test]
            fn $test() {
                $crate::run($contract!().$test($($($args),*)?));
            }
        )*
    };
    (@common $contract:ident) => {
        $crate::__contract! { @tests $contract;
            drives_the_readied_instance_three_calls_in_a_row,
            two_clones_are_ready_each_for_itself,
            layer_called_twice_makes_services_that_work,
            reserve_capacity_without_sending_request,
            service_drop_frees_capacity,
            response_error_releases_capacity,
            response_future_drop_releases_capacity,
            response_future_drop_before_its_first_poll_releases_capacity,
            inner_error_passes_unchanged,
            inner_readiness_error_passes_unchanged,
            layer_service_and_future_have_their_auto_traits,
        }
    };
    (@ready forwarded $contract:ident) => {
        $crate::__contract! { @tests $contract; inner_not_ready_is_waited_for, }
    };
    (@ready lazy $contract:ident) => {
        $crate::__contract! { @tests $contract; is_ready_without_asking_the_inner_service, }
    };

    (@state $flavour:ident $contract:ident [$layer:expr] state: none, $($rest:tt)*) => {
        $crate::__contract! { @refusal $flavour $contract [$layer] $($rest)* }
    };
    (@state $flavour:ident $contract:ident [$layer:expr] state: $check:expr, $($rest:tt)*) => {
        $crate::__contract! { @tests $contract;
            two_clones_share_state($check),
            layer_called_twice_shares_state($check),
            clones_of_the_layer_share_state($check),
        }
        $crate::__contract! { @refusal $flavour $contract [$layer] $($rest)* }
    };

    (@refusal $flavour:ident $contract:ident [$layer:expr] refusal: none, $($rest:tt)*) => {
        $crate::__contract! { @edge $flavour [$layer] $($rest)* }
    };
    (@refusal $flavour:ident $contract:ident [$layer:expr]
        refusal: {
            kind: $kind:expr,
            admission: $admission:expr,
            layer: $refusing:expr,
            prepare: $prepare:expr $(,)?
        },
        $($rest:tt)*
    ) => {
        $crate::__contract! { @refuses $flavour $contract $kind, $admission, $refusing, $prepare }

        #[test]
        fn refuses_by_its_own_error() {
            let contract = $contract!().with(|| ($refusing)($crate::ByError));
            $crate::run(contract.refuses_by_its_own_error($kind.code(), $admission, $prepare));
        }

        $crate::__contract! { @edge $flavour [$layer] $($rest)* }
    };
    (@refuses http $contract:ident $kind:expr, $admission:expr, $refusing:expr, $prepare:expr) => {
        #[test]
        fn refuses_with_a_response() {
            let contract = $contract!().with(|| ($refusing)($crate::HttpRefusal));
            $crate::run(contract.refuses_with_a_response($kind, $admission, $prepare));
        }

        #[test]
        fn refuses_by_its_own_response() {
            let contract = $contract!().with(|| ($refusing)($crate::ByResponse));
            $crate::run(contract.refuses_by_its_own_response($admission, $prepare));
        }
    };
    (@refuses plain $contract:ident $kind:expr, $admission:expr, $refusing:expr, $prepare:expr) => {
        #[test]
        fn refuses_by_its_own_answer() {
            let contract = $contract!().with(|| ($refusing)($crate::ByResponse));
            $crate::run(contract.refuses_by_its_own_answer($admission, $prepare));
        }
    };

    (@edge $flavour:ident [$layer:expr] edge: none,) => {};
    (@edge $flavour:ident [$layer:expr]) => {
        $crate::__contract! { @stands $flavour ($layer)() }
    };
    (@edge $flavour:ident [$layer:expr] edge: $edge:expr,) => {
        $crate::__contract! { @stands $flavour $edge }
    };
    (@stands http $layer:expr) => {
        #[test]
        fn stands_under_an_axum_router() {
            $crate::run($crate::stands_under_axum($layer));
        }

        #[test]
        fn stands_over_hypers_client() {
            $crate::run($crate::stands_over_hypers_client($layer));
        }
    };
    (@stands plain $layer:expr) => {
        #[test]
        fn stands_around_a_plain_function() {
            $crate::run($crate::stands_around_service_fn($layer));
        }
    };
}
