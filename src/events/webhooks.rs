//! Sends events to endpoints (Standard Webhooks 1.0): in order for each sale, at least once, with a pause after failures.
//!
//! A request that fails is sent again until the answer is 2xx; later events of the endpoint wait meanwhile. The endpoint's
//! position in the ledger is moved after the answer. If the worker dies before that, the same events are sent again with the same
//! id.

mod backlog;
mod desk;
mod pause;
mod rate;
mod signature;

pub use desk::{NewWebhook, WebhookDesk, WebhookError};
pub(super) use rate::Rate;
pub use signature::{NoRandomness, new_secret};

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use chrono::TimeDelta;
use futures::{StreamExt, stream::FuturesUnordered};
use metrics::counter;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use self::backlog::Backlog;
use super::{
    Event,
    leases::Leases,
    unread::{self, next_events},
};
use crate::{
    clock::Clock,
    outgoing::{AddressPolicy, Answer, ClientOptions, Post, RequestError, Schemes},
    port::{
        Delivery, Ledger, LedgerError, PendingEvents, SeekOutcome, Webhook, WebhookId,
        WebhookState, Webhooks,
    },
    telemetry::{LogThrottle, metric},
};

/// Interval between two checks for events that an endpoint has not got.
const POLL: Duration = Duration::from_millis(200);
/// Interval between two readings of the endpoints. A change of an endpoint may take this long to have an effect.
const REFRESH: Duration = Duration::from_secs(1);
/// Longest time of one request.
const TIMEOUT: Duration = Duration::from_secs(15);
/// Longest body of an answer, in bytes. The body is read only so that the connection can be used again; its content is ignored.
const MAX_ANSWER: usize = 64 * 1024;
/// Events that are read at a time.
const PAGE: u32 = 500;
/// Longest time for which events are sent to one endpoint with the same settings. Its settings are checked again after that.
const TURN: Duration = Duration::from_secs(5);
/// Longest text of an error that is kept, in characters.
const ERROR_CHARS: usize = 300;

static LOG_THROTTLE: LogThrottle = LogThrottle::new();

/// What requests of webhooks may do. `private_networks`: they may go to addresses that are not public, and without TLS.
#[must_use]
pub fn client_options(private_networks: bool) -> ClientOptions {
    let (addresses, schemes) = if private_networks {
        (AddressPolicy::Any, Schemes::HttpAndHttps)
    } else {
        (AddressPolicy::PublicOnly, Schemes::HttpsOnly)
    };
    ClientOptions {
        addresses,
        schemes,
        timeout: TIMEOUT,
        max_body: MAX_ANSWER,
    }
}

/// Sends webhooks, for one worker.
pub(super) struct Sender {
    pub(super) ledger: Arc<dyn Ledger>,
    pub(super) webhooks: Arc<dyn Webhooks>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) client: Arc<dyn Post>,
    pub(super) rate: Rate,
}

/// What became of one request.
enum Sent {
    Accepted,
    /// The endpoint wants no more events: it answered 410.
    Gone,
    Failed {
        cause: String,
        /// The pause that the endpoint asks for, if any.
        asked: Option<Duration>,
    },
}

impl Sender {
    /// Sends events to the endpoints of this worker's slots, until `stop` is cancelled.
    pub(super) async fn run(&self, leases: &Leases, stop: &CancellationToken) {
        let mut endpoints: BTreeMap<WebhookId, Webhook> = BTreeMap::new();
        let mut refreshed: Option<Instant> = None;
        let mut next_look = Instant::now();
        let mut busy: BTreeSet<WebhookId> = BTreeSet::new();
        let mut backlog = Backlog::default();
        let mut turns = FuturesUnordered::new();
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                Some((id, state)) = turns.next(), if !turns.is_empty() => {
                    busy.remove(&id);
                    if let (Some(endpoint), Some(state)) = (endpoints.get_mut(&id), state) {
                        endpoint.state = state;
                    }
                }
                () = tokio::time::sleep_until(next_look) => {
                    next_look = Instant::now() + POLL;
                    if refreshed.is_none_or(|at| at.elapsed() >= REFRESH) {
                        if let Some(read) = self.read_endpoints().await {
                            endpoints = read;
                            self.rate.retain(|id| endpoints.contains_key(&id));
                        }
                        refreshed = Some(Instant::now());
                    }
                    let own = endpoints.values().filter(|one| is_enabled(one) && leases.has(slot(one.id)));
                    let own: Vec<&Webhook> = own.collect();
                    backlog.keep(&own.iter().map(|one| one.id).chain(busy.iter().copied()).collect());
                    for endpoint in own {
                        let id = endpoint.id;
                        if !busy.contains(&id) && (self.is_due(endpoint) || backlog.is_due(id)) {
                            busy.insert(id);
                            backlog.note(id);
                            turns.push(self.turn(endpoint.clone(), leases, stop));
                        }
                    }
                }
            }
        }
    }

    async fn read_endpoints(&self) -> Option<BTreeMap<WebhookId, Webhook>> {
        match self.webhooks.webhooks().await {
            Ok(read) => Some(read.into_iter().map(|one| (one.id, one)).collect()),
            Err(error) => {
                if LOG_THROTTLE.allow() {
                    tracing::warn!(%error, "the endpoints of webhooks cannot be read");
                }
                None
            }
        }
    }

    /// Whether an endpoint that is enabled may be sent a request, after one that failed.
    fn is_due(&self, endpoint: &Webhook) -> bool {
        let is_later = |at| at > self.clock.now();
        !endpoint.state.next_attempt_at.is_some_and(is_later)
    }

    /// Counts the events that an endpoint has not got and, if it is due, sends them, for [`TURN`] at most. Returns its state
    /// afterwards; `None` if the state is unchanged.
    async fn turn(
        &self,
        endpoint: Webhook,
        leases: &Leases,
        stop: &CancellationToken,
    ) -> (WebhookId, Option<WebhookState>) {
        let id = endpoint.id;
        let mut state = endpoint.state.clone();
        let sent = self.send_pending(&endpoint, &mut state, leases, stop).await;
        if let Err(error) = sent
            && LOG_THROTTLE.allow()
        {
            tracing::warn!(%error, webhook = %id, "webhooks cannot be sent; they will be");
        }
        let changed = state != endpoint.state;
        (id, changed.then_some(state))
    }

    async fn send_pending(
        &self,
        endpoint: &Webhook,
        state: &mut WebhookState,
        leases: &Leases,
        stop: &CancellationToken,
    ) -> Result<(), LedgerError> {
        let (consumer, until) = (endpoint.id.consumer(), Instant::now() + TURN);
        let pending = self.ledger.pending_events(&consumer).await?;
        let wanted = endpoint.settings.sale;
        let is_wanted = |sale: &PendingEvents| wanted.is_none_or(|wanted| wanted == sale.sale);
        let pending: Vec<_> = pending.into_iter().filter(is_wanted).collect();
        unread::show(&consumer, &pending);
        if !self.is_due(endpoint) {
            return Ok(());
        }
        let go_on =
            || !stop.is_cancelled() && leases.has(slot(endpoint.id)) && Instant::now() < until;
        for mut sale in pending {
            while sale.position.is_none_or(|position| position < sale.last) {
                if !go_on() {
                    return Ok(());
                }
                let events = next_events(&*self.ledger, &consumer, &mut sale, PAGE).await?;
                if events.is_empty() {
                    break;
                }
                for part in parts(endpoint, &events) {
                    if !go_on() {
                        return Ok(());
                    }
                    if !self.send_part(endpoint, state, &mut sale, &part).await? {
                        return Ok(());
                    }
                }
            }
        }
        Ok(())
    }

    /// Sends one part, then moves the endpoint's position behind it. False if nothing more is to be sent to the endpoint in this
    /// turn.
    async fn send_part(
        &self,
        endpoint: &Webhook,
        state: &mut WebhookState,
        sale: &mut PendingEvents,
        part: &Part<'_>,
    ) -> Result<bool, LedgerError> {
        if !part.events.is_empty() {
            match self.send(endpoint, part).await? {
                Sent::Accepted if state.failures > 0 => {
                    *state = WebhookState::default();
                    self.webhooks.set_webhook_state(endpoint.id, state).await?;
                }
                Sent::Accepted => {}
                Sent::Gone => {
                    tracing::warn!(webhook = %endpoint.id, "the endpoint answered 410: nothing more is sent to it");
                    state.disabled = Some("the endpoint answered 410 Gone".to_owned());
                    self.webhooks.set_webhook_state(endpoint.id, state).await?;
                    return Ok(false);
                }
                Sent::Failed { cause, asked } => {
                    state.failures = state.failures.saturating_add(1);
                    let pause = pause::after(state.failures, asked, self.clock.new_id());
                    let pause_delta = TimeDelta::from_std(pause).unwrap_or_default();
                    state.next_attempt_at = Some(self.clock.now() + pause_delta);
                    tracing::info!(webhook = %endpoint.id, cause, failures = state.failures, pause_secs = pause.as_secs(), "a webhook failed");
                    self.webhooks.set_webhook_state(endpoint.id, state).await?;
                    return Ok(false);
                }
            }
        }
        let consumer = endpoint.id.consumer();
        let outcome = self
            .ledger
            .advance_events(&consumer, sale.sale, sale.position, part.last)
            .await?;
        let moved = outcome == SeekOutcome::Moved;
        if moved {
            sale.position = Some(part.last);
        }
        Ok(moved)
    }

    async fn send(&self, endpoint: &Webhook, part: &Part<'_>) -> Result<Sent, LedgerError> {
        let per_second = endpoint.settings.per_second;
        self.rate.wait(endpoint.id, per_second).await;
        let (at, began) = (self.clock.now(), Instant::now());
        let (body, content_type) = part.body(endpoint);
        let id = part.message.to_string();
        let timestamp = at.timestamp();
        let previous = endpoint.previous_secret.as_ref();
        let previous = previous.filter(|(_, until)| at < *until);
        let secrets = [Some(&endpoint.secret), previous.map(|(secret, _)| secret)];
        let secrets = secrets.into_iter().flatten().map(String::as_str);
        let signature = signature::signatures(secrets, &id, timestamp, &body);
        let headers = [
            ("content-type", content_type),
            ("webhook-id", id.as_str()),
            ("webhook-timestamp", &timestamp.to_string()),
            ("webhook-signature", signature.as_str()),
        ];
        let answer = self
            .client
            .post(&endpoint.settings.url, &headers, body)
            .await;
        let status = answer.as_ref().ok().map(|answer| answer.status);
        let sent = outcome(answer);
        let (word, error) = match &sent {
            Sent::Accepted => ("accepted", None),
            Sent::Gone => ("gone", Some("410 Gone".to_owned())),
            Sent::Failed { cause, .. } => {
                ("failed", Some(cause.chars().take(ERROR_CHARS).collect()))
            }
        };
        counter!(metric::WEBHOOK_REQUESTS, "outcome" => word).increment(1);
        let delivery = Delivery {
            message: part.message,
            sale: part.sale,
            first: part.first,
            last: part.last,
            at,
            duration_ms: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
            status,
            error,
        };
        self.webhooks.note_delivery(endpoint.id, &delivery).await?;
        Ok(sent)
    }
}

/// The events of one request, together with the events beside them that the endpoint does not want.
struct Part<'a> {
    sale: crate::ids::SaleId,
    events: Vec<&'a Event>,
    message: Uuid,
    /// The numbers of the first and the last event that this part covers, whether the endpoint wants them or not.
    first: u64,
    last: u64,
}

impl Part<'_> {
    /// The body and its media type.
    fn body(&self, endpoint: &Webhook) -> (Vec<u8>, &'static str) {
        match self.events.as_slice() {
            [event] if endpoint.settings.max_batch == 1 => {
                (event.structured(), "application/cloudevents+json")
            }
            events => (
                serde_json::to_vec(events).unwrap_or_default(),
                "application/cloudevents-batch+json",
            ),
        }
    }
}

/// Divides consecutive events into parts. Each part has at most `max_batch` events that the endpoint wants.
fn parts<'a>(endpoint: &Webhook, events: &'a [Event]) -> Vec<Part<'a>> {
    let types = &endpoint.settings.types;
    let is_wanted = |event: &Event| types.is_empty() || types.contains(&event.event_type);
    let most = endpoint.settings.max_batch.max(1) as usize;
    let mut parts: Vec<Part<'a>> = Vec::new();
    for event in events {
        let wanted = is_wanted(event);
        match parts.last_mut() {
            Some(part) if !wanted || part.events.len() < most => {
                part.last = event.sequence;
                part.events.extend(wanted.then_some(event));
            }
            _ => parts.push(Part {
                sale: event.sale,
                events: wanted.then_some(event).into_iter().collect(),
                message: Uuid::nil(),
                first: event.sequence,
                last: event.sequence,
            }),
        }
    }
    for part in &mut parts {
        part.message = match part.events.as_slice() {
            [event] if most == 1 => event.id,
            // A batch that is sent again has the same id. A batch that begins with another event, such as after a replay, has
            // another id.
            _ => {
                let name = format!("{}:{}:{}", part.sale, part.first, part.last);
                Uuid::new_v5(&endpoint.id.0, name.as_bytes())
            }
        };
    }
    parts
}

fn outcome(answer: Result<Answer, RequestError>) -> Sent {
    match answer {
        Ok(Answer {
            status: 200..=299, ..
        }) => Sent::Accepted,
        Ok(Answer { status: 410, .. }) => Sent::Gone,
        Ok(answer) => Sent::Failed {
            cause: match answer.status {
                300..=399 => format!(
                    "the answer was {}: redirects are not followed",
                    answer.status
                ),
                status => format!("the answer was {status}"),
            },
            asked: pause::asked(answer.retry_after.as_deref()),
        },
        Err(error) => Sent::Failed {
            cause: error.to_string(),
            asked: None,
        },
    }
}

fn is_enabled(endpoint: &Webhook) -> bool {
    endpoint.state.disabled.is_none()
}

/// The slot of an endpoint. The worker that has leased this slot sends to the endpoint.
fn slot(id: WebhookId) -> i32 {
    let [.., last] = *id.0.as_bytes();
    i32::from(last) % super::leases::SLOTS
}

#[cfg(test)]
mod tests;
