//! What the server needs to answer, and how it is hung up where handlers find it.

use std::sync::Arc;

use actix_web::web::{Data, ServiceConfig};

use super::{health::MetricsPage, readiness::Readiness, table};
use crate::{
    auth::{Auth, Directory, Tokens},
    clock::Clock,
    http::Statuses,
    order::{AttemptLimit, Purchase, ReplyQueue, Results},
    sale::{CatalogCalls, SaleCatalog},
};

/// All that the API's handlers work with.
#[derive(Clone)]
pub struct App {
    pub auth: Arc<Auth>,
    pub directory: Arc<Directory>,
    pub tokens: Arc<Tokens>,
    pub catalog: Arc<SaleCatalog>,
    pub calls: Arc<CatalogCalls>,
    pub attempt_limit: Arc<AttemptLimit>,
    pub purchase: Arc<Purchase>,
    pub results: Arc<Results>,
    pub probes: Probes,
}

/// All that health checks and metrics work with, in every process.
#[derive(Clone)]
pub struct Probes {
    pub readiness: Arc<Readiness>,
    pub clock: Arc<dyn Clock>,
    /// Renders the metrics in Prometheus' text format.
    pub metrics: MetricsPage,
}

impl App {
    /// Hangs up the table. `api_docs` and `metrics` say whether these optional pages are part of it.
    pub(super) fn configure(
        &self,
        (api_docs, metrics): (bool, bool),
        statuses: Statuses,
        config: &mut ServiceConfig,
    ) {
        let Self {
            auth,
            directory,
            tokens,
            catalog,
            calls,
            attempt_limit,
            purchase,
            results,
            probes,
        } = self.clone();
        let (replies, deliveries) = ReplyQueue::open();
        // It ends with the thread.
        #[allow(clippy::disallowed_methods)]
        actix_web::rt::spawn(deliveries);
        config
            .app_data(Data::from(auth))
            .app_data(Data::from(directory))
            .app_data(Data::from(tokens))
            .app_data(Data::from(catalog))
            .app_data(Data::from(calls))
            .app_data(Data::from(attempt_limit))
            .app_data(Data::from(purchase))
            .app_data(Data::from(results))
            .app_data(Data::new(replies));
        probes.install(config);
        table::mount(table::served(api_docs, metrics), statuses, config);
    }
}

impl Probes {
    pub(super) fn configure(&self, config: &mut ServiceConfig) {
        self.clone().install(config);
        table::mount(table::probes(), Statuses::Ours, config);
    }

    fn install(self, config: &mut ServiceConfig) {
        config
            .app_data(Data::from(self.readiness))
            .app_data(Data::from(self.clock))
            .app_data(Data::new(self.metrics));
    }
}
