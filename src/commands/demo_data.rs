//! Demo data, as the settings say and by whom the program is run: for `seed` and the first start of `serve --embedded`.

use crate::{
    auth::Passwords,
    clock::{Clock, SystemClock},
    config::Config,
    demo::{DemoData, Seeded},
    port::{AccountStore, Administration},
};

/// The demo data of a ledger, made by the user of the operating system.
pub(super) fn demo_data<'a>(
    config: &'a Config,
    accounts: &'a dyn AccountStore,
    admin: &'a dyn Administration,
) -> DemoData<'a> {
    DemoData {
        accounts,
        admin,
        by: config.operator.name.as_deref(),
        now: SystemClock.now(),
    }
}

/// Makes what is missing of it.
pub(super) async fn make(config: &Config, demo: &DemoData<'_>) -> anyhow::Result<Vec<Seeded>> {
    let passwords = Passwords::new(&config.auth)?;
    let hash = |password: &str| passwords.hash_now(password);
    Ok(demo.make(&config.sale, &hash).await?)
}
