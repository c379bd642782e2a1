//! Tests of how events are divided into requests, and of what answers mean.

use chrono::DateTime;

use super::*;
use crate::{
    ids::{AttemptId, LedgerId, ProductId, SaleId, UserId},
    port::{EventBatch, EventOrder, EventSubject, EventType, WebhookSettings},
};

fn endpoint(max_batch: u32, types: &[EventType]) -> Webhook {
    Webhook {
        id: WebhookId(Uuid::from_u128(1)),
        settings: WebhookSettings {
            url: "https://shop.example/events".to_owned(),
            types: types.to_vec(),
            sale: None,
            max_batch,
            per_second: 10,
        },
        secret: new_secret().unwrap(),
        previous_secret: None,
        state: WebhookState::default(),
        created_at: DateTime::UNIX_EPOCH,
    }
}

fn events(types: &[EventType]) -> Vec<Event> {
    let one = |(number, event_type): (u64, &EventType)| {
        let order = EventOrder {
            order: Uuid::from_u128(u128::from(number)),
            attempt: AttemptId(Uuid::from_u128(u128::from(number))),
            user: UserId::new(1).unwrap(),
        };
        let batch = EventBatch {
            sale: SaleId::new(1).unwrap(),
            product: ProductId::new(1).unwrap(),
            event_type: *event_type,
            first: number,
            at: DateTime::UNIX_EPOCH,
            is_repeated: false,
            subject: EventSubject::Orders(vec![order]),
        };
        Event::of_batch(LedgerId::NONE, &batch, 0).next().unwrap()
    };
    (1..).zip(types).map(one).collect()
}

/// Numbers of the events of each part, and the number up to which it is done.
fn divided(endpoint: &Webhook, events: &[Event]) -> Vec<(Vec<u64>, u64)> {
    parts(endpoint, events)
        .iter()
        .map(|part| {
            let numbers = part.events.iter().map(|event| event.sequence);
            (numbers.collect(), part.last)
        })
        .collect()
}

#[test]
fn a_request_has_one_event_or_a_batch() {
    let events = events(&[EventType::OrderCreated; 3]);
    assert_eq!(
        divided(&endpoint(1, &[]), &events),
        [(vec![1], 1), (vec![2], 2), (vec![3], 3)]
    );
    assert_eq!(
        divided(&endpoint(2, &[]), &events),
        [(vec![1, 2], 2), (vec![3], 3)]
    );
}

#[test]
fn events_of_other_types_are_passed_over() {
    let (wanted, other) = (EventType::OrderReleased, EventType::OrderCreated);
    let events = events(&[other, wanted, other, other, wanted, other]);
    assert_eq!(
        divided(&endpoint(1, &[wanted]), &events),
        [(vec![2], 4), (vec![5], 6)]
    );
    assert_eq!(
        divided(&endpoint(9, &[EventType::SalePaused]), &events),
        [(vec![], 6)]
    );
}

#[test]
fn a_single_event_s_message_has_its_id_and_a_batch_one_of_its_own() {
    let events = events(&[EventType::OrderCreated; 2]);
    let single = endpoint(1, &[]);
    let alone = parts(&single, &events);
    assert_eq!(alone[0].message, events[0].id);
    let (body, media) = alone[0].body(&single);
    assert_eq!(
        (body, media),
        (events[0].structured(), "application/cloudevents+json")
    );
    let batched = endpoint(5, &[]);
    let (first, again) = (parts(&batched, &events), parts(&batched, &events));
    assert_eq!(first[0].message, again[0].message);
    assert_ne!(first[0].message, events[0].id);
    let (body, media) = first[0].body(&batched);
    assert_eq!(media, "application/cloudevents-batch+json");
    let body: Vec<serde_json::Value> = serde_json::from_slice(&body).unwrap();
    assert_eq!(body.len(), 2);
}

#[test]
fn answers_are_accepted_failed_or_the_end() {
    let answered = |status| {
        let answer = Answer {
            status,
            retry_after: Some("7".to_owned()),
            cache_control: None,
            body: Vec::new(),
        };
        match outcome(Ok(answer)) {
            Sent::Accepted => "accepted".to_owned(),
            Sent::Gone => "gone".to_owned(),
            Sent::Failed { cause, asked } => format!("{cause}, {asked:?}"),
        }
    };
    assert_eq!(answered(204), "accepted");
    assert_eq!(answered(410), "gone");
    assert_eq!(answered(503), "the answer was 503, Some(7s)");
    assert!(answered(302).contains("redirects are not followed"));
}
