//! The subcommands, and what each is about to do.

use clap::Subcommand;

use super::{
    actions, attempts, audit, backup, dead_letters, doctor, export, import, migrate, openapi,
    order, product, sale, seed, serve, stress, target::Target, user, webhook, work,
};
use crate::config::Intent;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    Serve(serve::Serve),
    Work(work::Work),
    Migrate(migrate::Migrate),
    Seed(seed::Seed),
    Product(product::Product),
    Sale(sale::Sale),
    Order(order::Order),
    Actions(actions::Actions),
    Attempts(attempts::Attempts),
    Audit(audit::Audit),
    Backup(backup::Backup),
    DeadLetters(dead_letters::DeadLetters),
    Export(export::Export),
    Import(import::Import),
    User(user::User),
    Webhook(webhook::Webhook),
    Doctor(doctor::Doctor),
    Stress(stress::Stress),
    Openapi(openapi::Openapi),
}

impl Command {
    /// Whether a signal ends the command wherever it is. The others finish what they do.
    pub(super) fn ends_at_signals(&self) -> bool {
        matches!(
            self,
            Self::Migrate(_) | Self::Seed(_) | Self::Import(_) | Self::Doctor(_) | Self::Stress(_)
        )
    }

    /// The system that the command works on, if its arguments choose one.
    fn target(&self) -> Option<&Target> {
        match self {
            Self::Serve(serve) => Some(&serve.target),
            Self::Migrate(migrate) => Some(&migrate.target),
            Self::Seed(seed) => Some(&seed.target),
            Self::Product(product) => Some(&product.target),
            Self::Sale(sale) => Some(&sale.target),
            Self::Order(order) => Some(&order.target),
            Self::Actions(actions) => Some(&actions.target),
            Self::Attempts(attempts) => Some(&attempts.target),
            Self::Audit(audit) => Some(&audit.target),
            Self::DeadLetters(dead_letters) => Some(&dead_letters.target),
            Self::Doctor(doctor) => Some(&doctor.target),
            Self::User(user) => Some(&user.target),
            Self::Webhook(webhook) => Some(&webhook.target),
            Self::Work(_)
            | Self::Backup(_)
            | Self::Export(_)
            | Self::Import(_)
            | Self::Stress(_)
            | Self::Openapi(_) => None,
        }
    }

    /// True with --embedded.
    pub(super) fn is_embedded(&self) -> bool {
        self.target().is_some_and(Target::is_embedded)
    }

    /// The intent of the command, which decides which settings are refused in production.
    pub(super) fn intent(&self) -> Intent {
        Intent {
            // Both read a data directory, whatever their arguments.
            embedded: matches!(self, Self::Backup(_) | Self::Export(_)) || self.is_embedded(),
            demo_accounts: matches!(self, Self::Seed(seed) if !seed.force),
        }
    }
}
