//! Tests that hold on servers and in one process alike.

/// Makes two tests of each function, `on_servers::name` and `in_one_process::name`. The function gets a system that is
/// started for it, `S::start()`, or what another expression with `S` starts: `on_systems! { TestApp::<S>::start() => name }`.
macro_rules! on_systems {
    (@in $module:ident: $system:ident, $start:expr => $($test:ident),+) => {
        mod $module {
            use super::*;

            type S = $crate::support::system::$system;

            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                super::$test($start.await).await;
            })+
        }
    };
    ($($test:ident),+ $(,)?) => {
        on_systems! { S::start() => $($test),+ }
    };
    ($start:expr => $($test:ident),+ $(,)?) => {
        on_systems! { @in on_servers: Servers, $start => $($test),+ }
        on_systems! { @in in_one_process: OneProcess, $start => $($test),+ }
    };
}
