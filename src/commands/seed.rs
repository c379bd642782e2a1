//! `flashsale seed`: accounts, products and a sale to try things out with.

use clap::Args;
use tokio_util::sync::CancellationToken;

use super::connect::patiently;
use crate::{
    auth::Passwords,
    clock::{Clock, SystemClock},
    config::Config,
    engine::postgres::{ConnectError, PostgresLedger, SeedPlan, SeedUser},
};

/// Username, password, role.
const USERS: [(&str, &str, &str); 4] = [
    ("admin", "admin123", "admin"),
    ("user1", "password123", "user"),
    ("user2", "password123", "user"),
    ("user3", "password123", "user"),
];

/// Make demo accounts, products and a sale to try things out with
///
/// Accounts admin (password admin123) and user1 to user3 (password123), products FLASH-001 to FLASH-003, and a sale of
/// FLASH-001, open from now for 24 hours with 1000 units unless `FLASH_SALE_START_TIME`, `FLASH_SALE_END_TIME`,
/// `FLASH_SALE_PRODUCT_ID` or `FLASH_SALE_TOTAL_STOCK` say otherwise. What is there already stays as it is, so that running it
/// again changes nothing. Not for production: everybody knows these passwords.
#[derive(Debug, Args)]
pub(super) struct Seed {}

impl Seed {
    #[allow(clippy::print_stdout)] // the command's answer
    pub(super) async fn run(self, config: Config) -> anyhow::Result<()> {
        let stop = CancellationToken::new();
        let connect = || PostgresLedger::connect(&config.postgres);
        patiently(
            "PostgreSQL",
            config.server.startup_timeout,
            &stop,
            connect,
            ConnectError::is_passing,
        )
        .await?;

        let passwords = Passwords::new(&config.auth)?;
        let mut users = Vec::new();
        for (username, password, role) in USERS {
            users.push(SeedUser {
                username: username.to_owned(),
                email: format!("{username}@example.com"),
                password_hash: passwords.hash(password.to_owned()).await?,
                role: role.to_owned(),
            });
        }
        let plan = SeedPlan {
            users,
            sale: config.sale.clone(),
            now: SystemClock.now(),
        };
        let report = plan.run(&config.postgres).await?;
        println!(
            "accounts: {} made, {} there",
            report.new_users,
            USERS.len() - report.new_users
        );
        println!("products: {} made", report.new_products);
        let sale = report.sale;
        println!(
            "sale {} of {}: {}, {} of {} units left, open from {} to {}",
            sale.id,
            config.sale.product_sku,
            if sale.new { "made" } else { "there" },
            sale.remaining_stock,
            sale.initial_stock,
            sale.window.start.to_rfc3339(),
            sale.window.end.to_rfc3339(),
        );
        Ok(())
    }
}
