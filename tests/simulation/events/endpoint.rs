//! The sender of webhooks on models, and in the test's time: an endpoint that is down for an hour receives everything afterwards.

use flashsale::{
    outgoing::{Answer, Post, RequestError},
    port::{Delivery, LedgerError, Webhook, WebhookId, WebhookSettings, WebhookState, Webhooks},
};
use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use serde_json::Value;
use uuid::Uuid;

use super::*;

/// Endpoints and tries as a ledger keeps them.
#[derive(Default)]
pub struct ModelWebhooks(Mutex<BTreeMap<WebhookId, (Webhook, Vec<Delivery>)>>);

impl ModelWebhooks {
    fn add(&self, webhook: Webhook) {
        let mut endpoints = self.0.lock().unwrap();
        endpoints.insert(webhook.id, (webhook, Vec::new()));
    }
}

#[async_trait]
impl Webhooks for ModelWebhooks {
    async fn webhooks(&self) -> Result<Vec<Webhook>, LedgerError> {
        let endpoints = self.0.lock().unwrap();
        Ok(endpoints.values().map(|(one, _)| one.clone()).collect())
    }

    async fn set_webhook_state(
        &self,
        id: WebhookId,
        state: &WebhookState,
    ) -> Result<(), LedgerError> {
        if let Some((webhook, _)) = self.0.lock().unwrap().get_mut(&id) {
            webhook.state = state.clone();
        }
        Ok(())
    }

    async fn note_delivery(&self, id: WebhookId, delivery: &Delivery) -> Result<(), LedgerError> {
        if let Some((_, tries)) = self.0.lock().unwrap().get_mut(&id) {
            tries.push(delivery.clone());
        }
        Ok(())
    }

    async fn deliveries(&self, id: WebhookId, limit: u32) -> Result<Vec<Delivery>, LedgerError> {
        let endpoints = self.0.lock().unwrap();
        let tries = endpoints.get(&id).map_or(&[][..], |(_, tries)| tries);
        let newest = tries.iter().rev().take(limit as usize);
        Ok(newest.cloned().collect())
    }
}

/// A receiver of webhooks: the network and the program behind it.
#[derive(Default)]
pub struct Endpoint {
    is_down: AtomicBool,
    /// The bodies that it accepted.
    accepted: Mutex<Vec<Value>>,
}

#[async_trait]
impl Post for Endpoint {
    async fn post(
        &self,
        _: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Result<Answer, RequestError> {
        tokio::time::sleep(Duration::from_millis(20)).await;
        if self.is_down.load(Ordering::SeqCst) {
            return Err(RequestError::Connection("refused".to_owned()));
        }
        let event: Value = serde_json::from_slice(&body).unwrap();
        let id = headers.iter().find(|(name, _)| *name == "webhook-id");
        assert_eq!(id.map(|(_, id)| *id), event["id"].as_str());
        self.accepted.lock().unwrap().push(event);
        Ok(Answer {
            status: 204,
            retry_after: None,
            cache_control: None,
            body: Vec::new(),
        })
    }
}

impl Endpoint {
    fn sequences(&self) -> Vec<u64> {
        let accepted = self.accepted.lock().unwrap();
        let number = |event: &Value| event["sequence"].as_str().unwrap().parse().unwrap();
        accepted.iter().map(number).collect()
    }
}

/// The number of events that the endpoint has not got, as the metric says; its bits.
#[derive(Default)]
struct Unpublished(Arc<AtomicU64>);

impl Unpublished {
    fn count(&self) -> f64 {
        f64::from_bits(self.0.load(Ordering::SeqCst))
    }
}

impl Recorder for Unpublished {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
        Counter::noop()
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        let mut labels = key.labels();
        let is_endpoint = labels.any(|label| label.value() == id().consumer());
        if key.name() == metric::EVENTS_UNPUBLISHED && is_endpoint {
            Gauge::from_arc(Arc::clone(&self.0))
        } else {
            Gauge::noop()
        }
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

fn id() -> WebhookId {
    WebhookId(Uuid::from_u128(7))
}

fn webhook(world: &World) -> Webhook {
    Webhook {
        id: id(),
        settings: WebhookSettings {
            url: "https://shop.example/hook".to_owned(),
            types: Vec::new(),
            sale: None,
            max_batch: 1,
            per_second: 10,
        },
        secret: "whsec_c2VjcmV0".to_owned(),
        previous_secret: None,
        state: WebhookState::default(),
        created_at: world.clock.now(),
    }
}

/// A worker that sends webhooks alone, for so long.
async fn work(world: &World, name: &str, time: Duration) {
    let receivers = Receivers {
        topic: None,
        webhooks: world.webhooks.clone(),
        client: world.endpoint.clone(),
    };
    let settings = PublisherSettings {
        group: "workers".to_owned(),
        id: name.to_owned(),
        lease: Duration::from_secs(10),
        retention: Duration::from_hours(24),
    };
    let (ledger, clock) = (world.ledger.clone(), world.clock.clone());
    let publisher = Publisher::new(ledger, clock, receivers, &settings);
    let killed = tokio::time::timeout(time, publisher.run(CancellationToken::new()));
    killed.await.unwrap_err();
}

/// One change of the sale a minute.
async fn change(world: &World, minutes: u64) {
    for _ in 0..minutes {
        tokio::time::sleep(Duration::from_mins(1)).await;
        let added = SaleChange::AddUnits(1);
        world.ledger.change_sale(sale(), &added, world.clock.now());
    }
}

const HALF: Duration = Duration::from_mins(30);

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_was_down_for_an_hour_receives_everything() {
    let unpublished = Unpublished::default();
    let _recorder = metrics::set_default_local_recorder(&unpublished);
    let world = World::begin(1).await;
    world.webhooks.add(webhook(&world));
    work(&world, "before", Duration::from_secs(5)).await;
    let before = world.endpoint.sequences();
    assert!(!before.is_empty());
    assert_eq!(unpublished.count().to_bits(), 0_f64.to_bits());

    // The worker dies once meanwhile.
    world.endpoint.is_down.store(true, Ordering::SeqCst);
    let begun = Instant::now();
    tokio::join!(change(&world, 50), async {
        work(&world, "down", HALF).await;
        work(&world, "down too", HALF).await;
    });
    assert!(begun.elapsed() >= Duration::from_hours(1));
    assert_eq!(world.endpoint.sequences(), before);
    let last = world.ledger.events(sale()).last().unwrap().last();
    let missing = last - before.last().unwrap();
    assert_eq!(missing, 50);
    let shown = unpublished.count();
    assert!(
        (shown - 50.0).abs() < 0.5,
        "also while it is paused: {shown}"
    );
    let tries = world.webhooks.deliveries(id(), 1_000).await.unwrap();
    let failed = tries.iter().filter(|one| one.error.is_some()).count();
    assert!((5..=20).contains(&failed), "with growing pauses: {failed}");

    // Its pause is shorter than it was down.
    world.endpoint.is_down.store(false, Ordering::SeqCst);
    work(&world, "after", Duration::from_hours(1)).await;
    let all: Vec<u64> = (1..=last).collect();
    assert_eq!(world.endpoint.sequences(), all, "in order, each once");
    assert_eq!(unpublished.count().to_bits(), 0_f64.to_bits());
    let endpoint = world.webhooks.webhooks().await.unwrap().remove(0);
    assert_eq!(endpoint.state, WebhookState::default());
}
