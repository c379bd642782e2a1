//! What the server needs to answer, and how it is hung up where handlers find it.

use std::sync::Arc;

use actix_web::web::{Data, ServiceConfig};

use super::{
    admin::{OverviewSource, Reports},
    docs::DocumentSource,
    openapi::document,
    pages::Pages,
    readiness::Readiness,
    router,
    sale::LatestStatus,
    table,
};
use crate::{
    auth::{Auth, Directory, ServiceAccountDesk, Tokens},
    clock::Clock,
    config::ServerConfig,
    events::{Feed, webhooks::WebhookDesk},
    http::Statuses,
    order::{AttemptLimit, Purchase, ReplyQueue, Results, dead_letters::DeadLetters},
    port::{AccountStore, Credentials},
    push::{ResultFeed, SaleFeed},
    sale::{CatalogCalls, SaleCatalog, Steering},
    telemetry::MetricsPage,
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
    pub sale_feed: Arc<SaleFeed>,
    pub result_feed: Arc<ResultFeed>,
    pub events: Arc<Feed>,
    pub operators: Operators,
    pub probes: Probes,
    pub(super) pages: Pages,
    pub(super) external: table::External,
}

/// What the API of operators works with.
#[derive(Clone)]
pub struct Operators {
    pub steering: Arc<Steering>,
    pub letters: Arc<DeadLetters>,
    pub reports: Arc<Reports>,
    pub webhooks: WebhookDesk,
    pub overview: Arc<OverviewSource>,
    pub accounts: Arc<dyn AccountStore>,
    pub credentials: Arc<dyn Credentials>,
    pub service_accounts: ServiceAccountDesk,
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
    /// Hangs up the table.
    pub(super) fn configure(&self, server: &ServerConfig, config: &mut ServiceConfig) {
        let (replies, deliveries) = ReplyQueue::open();
        // It ends with the thread.
        #[allow(clippy::disallowed_methods)]
        actix_web::rt::spawn(deliveries);
        config
            .app_data(Data::from(Arc::clone(&self.calls)))
            .app_data(Data::from(Arc::clone(&self.attempt_limit)))
            .app_data(Data::from(Arc::clone(&self.purchase)))
            .app_data(Data::from(Arc::clone(&self.results)))
            .app_data(Data::from(Arc::clone(&self.sale_feed)))
            .app_data(Data::from(Arc::clone(&self.result_feed)))
            .app_data(Data::from(Arc::clone(&self.events)))
            .app_data(Data::from(Arc::clone(&self.catalog)))
            .app_data(Data::new(DocumentSource(document)))
            .app_data(Data::new(LatestStatus::default()))
            .app_data(Data::new(replies));
        self.install_operators(config);
        let statuses = Statuses::new(server.original_status_codes);
        router::mount(table::served(server, self.external), statuses, config);
    }

    /// Hangs up what is for the inside: operators, health and metrics.
    pub(super) fn configure_inside(&self, admin_page: bool, config: &mut ServiceConfig) {
        self.install_operators(config);
        router::mount(table::inside(admin_page), Statuses::Ours, config);
    }

    fn install_operators(&self, config: &mut ServiceConfig) {
        let Operators {
            steering,
            letters,
            reports,
            webhooks,
            overview,
            accounts,
            credentials,
            service_accounts,
        } = self.operators.clone();
        config
            .app_data(Data::from(Arc::clone(&self.auth)))
            .app_data(Data::from(Arc::clone(&self.directory)))
            .app_data(Data::from(Arc::clone(&self.tokens)))
            .app_data(Data::new(self.pages.clone()))
            .app_data(Data::from(steering))
            .app_data(Data::from(letters))
            .app_data(Data::from(reports))
            .app_data(Data::new(webhooks))
            .app_data(Data::from(overview))
            .app_data(Data::from(accounts))
            .app_data(Data::new(service_accounts))
            .app_data(Data::from(credentials));
        self.probes.clone().install(config);
    }
}

impl Probes {
    pub(super) fn configure(&self, config: &mut ServiceConfig) {
        self.clone().install(config);
        router::mount(table::probes(), Statuses::Ours, config);
    }

    fn install(self, config: &mut ServiceConfig) {
        config
            .app_data(Data::from(self.readiness))
            .app_data(Data::from(self.clock))
            .app_data(Data::new(self.metrics));
    }
}
