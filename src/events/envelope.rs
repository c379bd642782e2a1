//! One event as consumers receive it: CloudEvents 1.0, with its stable id.
//!
//! ```json
//! {"specversion": "1.0", "id": "0198…", "source": "urn:uuid:<ledger>", "type": "order.created", "subject": "sale/1/order/0198…",
//!  "time": "2027-01-15T12:00:00.123Z", "datacontenttype": "application/json", "dataschema": "urn:flashsale:event:order.created:1",
//!  "sequence": "00000000000000000042", "data": {"saleId": 1, "productId": 1, "orderId": "…", "attemptId": "0198…", "userId": 7}}
//! ```

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;
use uuid::Uuid;

use crate::{
    ids::{LedgerId, ProductId, SaleId},
    port::{EventBatch, EventOrder, EventSubject, EventTerms, EventType, SaleState},
};

/// The media type of `data`.
pub const DATA_TYPE: &str = "application/json";

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Stays the same each time the event is sent.
    pub id: Uuid,
    pub ledger: LedgerId,
    pub sale: SaleId,
    pub product: ProductId,
    /// Its number among the events of the sale, from 1.
    pub sequence: u64,
    pub event_type: EventType,
    pub at: DateTime<Utc>,
    pub about: About,
}

/// What an event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum About {
    Order(EventOrder),
    Sale(EventTerms),
}

/// A CloudEvent in the structured form.
#[derive(Debug, Serialize)]
struct Structured<'a> {
    specversion: &'static str,
    id: Uuid,
    source: String,
    r#type: &'static str,
    subject: String,
    time: String,
    datacontenttype: &'static str,
    dataschema: String,
    /// The extension `sequence`: texts of the same length, so that they are ordered like their numbers.
    sequence: String,
    data: Data<'a>,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Data<'a> {
    Order(OrderData),
    Sale(SaleData<'a>),
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct OrderData {
    sale_id: i64,
    product_id: i64,
    order_id: Uuid,
    attempt_id: Uuid,
    user_id: i64,
    quantity: u32,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct SaleData<'a> {
    sale_id: i64,
    product_id: i64,
    state: &'a str,
    paused_at: Option<String>,
    start_time: String,
    end_time: String,
    total_stock: u64,
    remaining_stock: u64,
    version: u64,
}

impl Event {
    /// The events of a batch with numbers above `after`, in order.
    pub fn of_batch(
        ledger: LedgerId,
        batch: &EventBatch,
        after: u64,
    ) -> impl Iterator<Item = Self> + '_ {
        let about: Vec<About> = match &batch.subject {
            EventSubject::Orders(orders) => orders.iter().copied().map(About::Order).collect(),
            EventSubject::Sale(terms) => vec![About::Sale(*terms)],
        };
        let numbered = (batch.first..).zip(about);
        numbered
            .filter(move |(sequence, _)| *sequence > after)
            .map(move |(sequence, about)| Self {
                id: id(ledger, batch, sequence, &about),
                ledger,
                sale: batch.sale,
                product: batch.product,
                sequence,
                event_type: batch.event_type,
                at: batch.at,
                about,
            })
    }

    #[must_use]
    pub fn source(&self) -> String {
        format!("urn:uuid:{}", self.ledger.0)
    }

    #[must_use]
    pub fn subject(&self) -> String {
        match &self.about {
            About::Order(order) => format!("sale/{}/order/{}", self.sale, order.attempt),
            About::Sale(_) => format!("sale/{}", self.sale),
        }
    }

    /// The key by which Kafka chooses the partition. All events of an order have the same key, and so have all changes of a sale.
    #[must_use]
    pub fn key(&self) -> String {
        match &self.about {
            About::Order(order) => format!("{}:{}", self.sale, order.attempt),
            About::Sale(_) => self.sale.to_string(),
        }
    }

    #[must_use]
    pub fn time(&self) -> String {
        timestamp(self.at)
    }

    /// Names the schema of `data`, in `docs/events`.
    #[must_use]
    pub fn schema(&self) -> String {
        format!("urn:flashsale:event:{}:1", self.event_type.name())
    }

    /// The extension `sequence`.
    #[must_use]
    pub fn sequence_text(&self) -> String {
        format!("{:020}", self.sequence)
    }

    /// `data` alone, as JSON.
    #[must_use]
    pub fn data(&self) -> Vec<u8> {
        json(&self.body())
    }

    /// The whole event as JSON.
    #[must_use]
    pub fn structured(&self) -> Vec<u8> {
        json(self)
    }

    fn body(&self) -> Data<'static> {
        let (sale_id, product_id) = (self.sale.value(), self.product.value());
        match &self.about {
            About::Order(order) => Data::Order(OrderData {
                sale_id,
                product_id,
                order_id: order.order,
                attempt_id: order.attempt.0,
                user_id: order.user.value(),
                quantity: 1,
            }),
            About::Sale(terms) => Data::Sale(SaleData {
                sale_id,
                product_id,
                state: match terms.state {
                    SaleState::Draft => "DRAFT",
                    SaleState::Live => "LIVE",
                    SaleState::Cancelled => "CANCELLED",
                },
                paused_at: terms.paused_at.map(timestamp),
                start_time: timestamp(terms.window.start),
                end_time: timestamp(terms.window.end),
                total_stock: terms.initial_stock,
                remaining_stock: terms.remaining_stock,
                version: terms.version,
            }),
        }
    }
}

impl Serialize for Event {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let structured = Structured {
            specversion: "1.0",
            id: self.id,
            source: self.source(),
            r#type: self.event_type.name(),
            subject: self.subject(),
            time: self.time(),
            datacontenttype: DATA_TYPE,
            dataschema: self.schema(),
            sequence: self.sequence_text(),
            data: self.body(),
        };
        structured.serialize(serializer)
    }
}

/// The id of an event, a UUID of version 5. For an event of an order, it is made of the attempt and the type. So it stays the same
/// if the ledger is set back and settles the attempt again, under another number. For an event that may happen to an order twice,
/// and for a change of a sale, the id is also made of the event's number and time.
fn id(ledger: LedgerId, batch: &EventBatch, sequence: u64, about: &About) -> Uuid {
    let name = batch.event_type.name();
    let moment = batch.at.timestamp_millis();
    match about {
        About::Order(order) if !batch.is_repeated => {
            Uuid::new_v5(&order.attempt.0, name.as_bytes())
        }
        About::Order(order) => {
            let name = format!("{name}:{sequence}:{moment}");
            Uuid::new_v5(&order.attempt.0, name.as_bytes())
        }
        About::Sale(_) => {
            let name = format!("sale:{}:{name}:{sequence}:{moment}", batch.sale);
            Uuid::new_v5(&ledger.0, name.as_bytes())
        }
    }
}

fn timestamp(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// A value as JSON. Serializing cannot fail here: the keys of all maps are texts, and JSON can express every value.
fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}

#[cfg(test)]
mod tests;
