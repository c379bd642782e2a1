//! `flashsale webhook`: endpoints that are sent events.

use std::sync::Arc;

use clap::{Args, Subcommand};

use super::{
    connect, embedded,
    operator::{Who, plain},
    target::Target,
};
use crate::{
    api::admin::body::{DeliveryBody, WebhookBody},
    clock::SystemClock,
    config::Config,
    events::webhooks::{NewWebhook, WebhookDesk, client_options},
    ids::SaleId,
    lifecycle::Lifecycle,
    port::{Delivery, Webhook as Endpoint, WebhookId},
    terminal::{print_json, say},
};

/// Add, list and remove endpoints that are sent events, and look at the tries
///
/// The same as /api/admin/webhooks of the HTTP API. Workers send to them if EVENTS_ENABLED is true; a change counts within two
/// seconds. With --embedded it works while the data directory is served, too.
#[derive(Debug, Args)]
#[allow(clippy::doc_markdown)] // shown as help
pub(super) struct Webhook {
    #[command(subcommand)]
    step: Step,
    #[command(flatten)]
    pub(super) target: Target,
    /// Print JSON instead of text
    #[arg(long, global = true)]
    json: bool,
    #[command(flatten)]
    who: Who,
    /// Why, for the action log
    #[arg(long, global = true, value_name = "TEXT", default_value = "")]
    reason: String,
}

#[derive(Debug, Subcommand)]
enum Step {
    /// Add an endpoint that gets what happens from now on; its secret is printed once
    Add {
        url: String,
        /// Only these types, separated by commas, like order.created,order.released
        #[arg(long, value_name = "TYPES", value_delimiter = ',')]
        types: Vec<String>,
        /// Only of this sale
        #[arg(long, value_name = "ID")]
        sale: Option<SaleId>,
        /// Events of one request at most; with more than 1 a body is an array
        #[arg(long, value_name = "N", default_value_t = 1)]
        max_batch: u32,
        /// Requests in a second at most
        #[arg(long, value_name = "N", default_value_t = 10)]
        per_second: u32,
    },
    /// List endpoints
    List,
    /// Remove one, with its tries
    Remove { webhook: WebhookId },
    /// Give one a new secret, which is printed once
    Rotate {
        webhook: WebhookId,
        /// Hours for which deliveries are signed with the secret before, too
        #[arg(long, value_name = "N", default_value_t = 24)]
        overlap_hours: u32,
    },
    /// Send the events of a sale after a number again, and enable the endpoint
    Replay {
        webhook: WebhookId,
        #[arg(long, value_name = "ID")]
        sale: SaleId,
        /// The number after which events are sent; 0: all that are kept
        #[arg(long, value_name = "N")]
        after: u64,
    },
    /// Show the last tries, the newest first
    Log {
        webhook: WebhookId,
        /// How many at most
        #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
    },
}

impl Webhook {
    pub(super) async fn run(self, config: Config) -> anyhow::Result<()> {
        let options = client_options(config.events.private_networks);
        let clock = Arc::new(SystemClock);
        if let Some(directory) = self.target.data_dir(&config)? {
            let opened = embedded::ledger(&config, directory).await?;
            let ledger = opened.ledger();
            let desk = WebhookDesk {
                webhooks: ledger.clone(),
                events: ledger,
                clock,
                options,
            };
            let done = self.work(&config, &desk).await;
            drop(desk);
            opened.close().await;
            return done;
        }
        let lifecycle = Lifecycle::default();
        lifecycle.stop_on_signals()?;
        let ledger = Arc::new(connect::ledger(&config, lifecycle.stop()).await?);
        let desk = WebhookDesk {
            webhooks: ledger.clone(),
            events: ledger,
            clock,
            options,
        };
        self.work(&config, &desk).await
    }

    async fn work(self, config: &Config, desk: &WebhookDesk) -> anyhow::Result<()> {
        let (json, who, reason) = (self.json, self.who, self.reason);
        let entry = || who.entry(config, reason.clone());
        match self.step {
            Step::Add {
                url,
                types,
                sale,
                max_batch,
                per_second,
            } => {
                let new = NewWebhook {
                    url,
                    types,
                    sale,
                    max_batch: Some(max_batch),
                    per_second: Some(per_second),
                };
                show_with_secret(&desk.add(new, &entry()?).await?, json)
            }
            Step::List => {
                let all = desk.list().await?;
                if json {
                    let bodies: Vec<_> =
                        all.iter().map(|one| WebhookBody::of(one, false)).collect();
                    return Ok(print_json(&bodies)?);
                }
                all.iter().for_each(line);
                say!("{} webhooks", all.len());
                Ok(())
            }
            Step::Remove { webhook } => {
                desk.remove(webhook, &entry()?).await?;
                say!("{webhook} is removed");
                Ok(())
            }
            Step::Rotate {
                webhook,
                overlap_hours,
            } => {
                let rotated = desk.rotate(webhook, overlap_hours, &entry()?).await?;
                show_with_secret(&rotated, json)
            }
            Step::Replay {
                webhook,
                sale,
                after,
            } => {
                desk.replay(webhook, sale, after, &entry()?).await?;
                say!("{webhook} is sent the events of sale {sale} after {after} again");
                Ok(())
            }
            Step::Log { webhook, limit } => {
                let tries = desk.deliveries(webhook, limit).await?;
                if json {
                    let bodies: Vec<_> = tries.into_iter().map(DeliveryBody::from).collect();
                    return Ok(print_json(&bodies)?);
                }
                tries.iter().for_each(try_line);
                say!("{} tries", tries.len());
                Ok(())
            }
        }
    }
}

fn show_with_secret(endpoint: &Endpoint, json: bool) -> anyhow::Result<()> {
    if json {
        return Ok(print_json(&WebhookBody::of(endpoint, true))?);
    }
    line(endpoint);
    say!("secret {}", endpoint.secret);
    Ok(())
}

fn line(endpoint: &Endpoint) {
    let (settings, state) = (&endpoint.settings, &endpoint.state);
    let types: Vec<_> = settings.types.iter().map(|known| known.name()).collect();
    let types = if types.is_empty() {
        "all types".to_owned()
    } else {
        types.join(",")
    };
    let sales = settings
        .sale
        .map_or_else(|| "all sales".to_owned(), |sale| format!("sale {sale}"));
    let state = match (&state.disabled, state.failures) {
        (Some(cause), _) => format!("disabled: {}", plain(cause)),
        (None, 0) => "enabled".to_owned(),
        (None, failures) => format!("failed {failures} times in a row"),
    };
    let (id, url) = (endpoint.id, plain(&settings.url));
    say!(
        "{id}  {url}  {types}, {sales}, up to {} events a request, {} requests/s  {state}",
        settings.max_batch,
        settings.per_second
    );
}

fn try_line(delivery: &Delivery) {
    let status = delivery
        .status
        .map_or_else(|| "-".to_owned(), |status| status.to_string());
    let error = delivery.error.as_deref().map(plain).unwrap_or_default();
    say!(
        "{}  {}  sale {} events {} to {}  {status}  {} ms  {error}",
        delivery.at.format("%FT%T%.3fZ"),
        delivery.message,
        delivery.sale,
        delivery.first,
        delivery.last,
        delivery.duration_ms
    );
}
