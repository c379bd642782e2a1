//! One suite a port, run against every engine of it.

/// Makes a test of each function of a suite on each bed, `bed::module::name`. `run` of the suite's file starts a bed, runs the
/// function on it, and checks what must hold afterwards.
macro_rules! contract {
    (@bed $bed:ty { $($module:ident { $($test:ident),+ $(,)? })+ }) => {
        $(mod $module {
            use super::super::*;

            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                run::<$bed>(super::super::$module::$test).await;
            })+
        })+
    };
    ([$($name:ident: $bed:ty),+] $suite:tt) => {
        $(mod $name {
            contract! { @bed $bed $suite }
        })+
    };
}

mod gate;
mod ledger;
mod log;
