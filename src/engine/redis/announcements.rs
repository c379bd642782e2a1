//! Announcements of results over Redis' publish and subscribe: on one server by PUBLISH, on a cluster by SPUBLISH in the sale's
//! slot, so that only the node of the sale's keys carries them. Each sale has a channel.
//!
//! A subscription has connections of its own, one to each node that has keys of its sales. It ends as soon as messages may have
//! been missed: its connection or that of the gate broke, the server does not answer, the sale's slot moved, or the server ended
//! the subscription.

use std::{sync::Arc, time::Duration};

use fred::types::Message;
use futures::{
    StreamExt,
    future::ready,
    stream::{self, BoxStream},
};
use tokio::{
    sync::broadcast,
    time::{Interval, MissedTickBehavior, interval, timeout},
};

use super::{
    client::Login,
    connection::{Connection, Home},
    keys::{channel, meta_key, sale_of_channel},
    scripts::SCRIPTS,
    session::{Failed, Session},
};
use crate::{
    config::RedisConfig,
    ids::{SaleId, UserId},
    port::{Announcement, AnnouncementStream, GateError, News},
    telemetry::{SpanContext, TracedAttempt, note_attempt},
};

/// How often a subscription checks that its server answers and still has the sale.
const CHECK: Duration = Duration::from_secs(1);

/// The sales by the node that has their keys. Those whose node is not known now are a group of their own.
pub(super) fn groups(connection: &Connection, sales: &[SaleId]) -> Vec<Vec<SaleId>> {
    let mut groups: Vec<(Option<Home>, Vec<SaleId>)> = Vec::new();
    for sale in sales {
        let home = connection.home(&meta_key(*sale)).ok();
        let is_same = |known: &Option<Home>| match (known, &home) {
            (Some(known), Some(home)) => known.is_same(home),
            (None, None) => true,
            _ => false,
        };
        match groups.iter_mut().find(|(known, _)| is_same(known)) {
            Some((_, sales)) => sales.push(*sale),
            None => groups.push((home, vec![*sale])),
        }
    }
    groups.into_iter().map(|(_, sales)| sales).collect()
}

/// Opens a subscription to these sales.
pub(super) async fn subscribe(
    connection: &Connection,
    sales: &[SaleId],
) -> Result<AnnouncementStream, GateError> {
    let mut homes: Vec<(Home, Vec<SaleId>)> = Vec::new();
    for sale in sales {
        let home = connection.home(&meta_key(*sale))?;
        match homes.iter_mut().find(|(known, _)| known.is_same(&home)) {
            Some((known, sales)) => {
                sales.push(*sale);
                known.slots.extend(home.slots);
            }
            None => homes.push((home, vec![*sale])),
        }
    }
    let mut parts = Vec::with_capacity(homes.len());
    for (home, sales) in homes {
        parts.push(
            Subscription::open(&connection.config, home, &sales, connection.clustered).await?,
        );
    }
    let parts = parts.into_iter().map(Subscription::messages);
    // The end of one part ends all: `None` is the last item of each.
    let together = stream::select_all(parts);
    let until_one_ends = together.take_while(|item| ready(item.is_some()));
    Ok(until_one_ends.filter_map(ready).boxed())
}

/// Announces on a cluster that results of these shoppers changed, other than by recording.
pub(super) async fn announce(
    connection: &Connection,
    sale: SaleId,
    users: &[UserId],
) -> Result<(), GateError> {
    let news: Vec<_> = users.iter().map(|user| format!("{user}:?")).collect();
    let args = vec![channel(sale).into(), news.join(" ").into()];
    connection
        .run(&SCRIPTS.announce, vec![meta_key(sale)], args)
        .await
        .map(drop)
}

/// A subscription at one node.
struct Subscription {
    session: Session,
    home: Home,
    messages: broadcast::Receiver<Message>,
    check: Interval,
    /// How long the server may take to answer.
    patience: Duration,
    ended: bool,
}

impl Subscription {
    async fn open(
        config: &Arc<RedisConfig>,
        home: Home,
        sales: &[SaleId],
        sharded: bool,
    ) -> Result<Self, GateError> {
        let refused = |error: super::ConnectError| GateError::Refused(error.to_string());
        let address = &home.session.address;
        let session = Session::bare(config, address, Login::of(config)).await;
        let session = session.map_err(refused)?;
        let messages = session.messages();
        let channels = sales.iter().map(|sale| channel(*sale)).collect();
        let subscribed = session.subscribe(channels, sharded).await;
        subscribed.map_err(Failed::into_error)?;
        let mut check = interval(CHECK);
        check.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Ok(Self {
            session,
            home,
            messages,
            check,
            patience: config.command_timeout,
            ended: false,
        })
    }

    /// Each message; `None` at the end.
    fn messages(self) -> BoxStream<'static, Option<Announcement>> {
        stream::unfold(self, |mut subscription| async move {
            if subscription.ended {
                return None;
            }
            let next = subscription.next().await;
            subscription.ended = next.is_none();
            Some((next, subscription))
        })
        .boxed()
    }

    async fn next(&mut self) -> Option<Announcement> {
        loop {
            tokio::select! {
                message = self.messages.recv() => {
                    // An error: the queue has ended, or was too short for what came.
                    if let Some(announcement) = parse(&message.ok()?) {
                        return Some(announcement);
                    }
                }
                () = self.session.discarded() => return None,
                _ = self.check.tick() => {
                    if !self.home.is_current() {
                        return None;
                    }
                    // A node that gave a slot away has ended its subscription, also if it has the slot again and the map of slots
                    // looks the same. This is seen if no channel of another slot is left.
                    let is_subscribed = timeout(self.patience, self.session.is_subscribed());
                    if !is_subscribed.await.ok()?.ok()? {
                        return None;
                    }
                }
            }
        }
    }
}

/// What the announcement of a traced attempt's order says behind its `S`: the attempt's id and the span that settled it, as in
/// `:01980000-0000-7000-8000-000000000001:00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01`. A node of a version that does not
/// know it reads the result instead.
pub(super) fn trace_of(traced: &TracedAttempt) -> Vec<u8> {
    let mut text = format!(":{}:", traced.id).into_bytes();
    text.extend_from_slice(&traced.span.traceparent());
    text
}

/// Reads what [`trace_of`] wrote. It is noted, so that the push is a span of the trace at every node.
fn note_trace(sale: SaleId, user: UserId, text: &str) -> Option<()> {
    let (id, span) = text.strip_prefix(':')?.split_once(':')?;
    note_attempt(TracedAttempt {
        id: id.parse().ok()?,
        sale: sale.value(),
        user: user.value(),
        span: SpanContext::parse(span.as_bytes())?,
    });
    Some(())
}

fn parse(message: &Message) -> Option<Announcement> {
    let sale = sale_of_channel(&message.channel)?;
    let news = parse_news(sale, message.value.as_str()?.as_ref());
    Some(Announcement { sale, news })
}

/// Reads the text of a message, as in `12:S 34:?`. Parts that cannot be read are left out: another version may write them.
fn parse_news(sale: SaleId, text: &str) -> Vec<(UserId, News)> {
    let news = text.split(' ').filter_map(|part| {
        let (user, news) = part.split_once(':')?;
        let user = user.parse().ok().and_then(UserId::new)?;
        match news.strip_prefix('S') {
            Some(trace) if trace.is_empty() || trace.starts_with(':') => {
                note_trace(sale, user, trace);
                Some((user, News::Ordered))
            }
            _ => Some((user, News::Changed)),
        }
    });
    news.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPAN: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn read(text: &str) -> Vec<(i64, News)> {
        let news = parse_news(SaleId::new(7).unwrap(), text).into_iter();
        news.map(|(user, news)| (user.value(), news)).collect()
    }

    #[test]
    fn a_trace_does_not_change_what_is_announced() {
        let traced = TracedAttempt {
            id: uuid::Uuid::from_u128(1),
            sale: 7,
            user: 34,
            span: SpanContext::parse(SPAN.as_bytes()).unwrap(),
        };
        let trace = String::from_utf8(trace_of(&traced)).unwrap();
        assert_eq!(trace, format!(":{}:{SPAN}", traced.id));
        let news = read(&format!("12:S 34:S{trace} 56:? 78:S:unknown x:S"));
        let ordered = News::Ordered;
        let expected = [
            (12, ordered),
            (34, ordered),
            (56, News::Changed),
            (78, ordered),
        ];
        assert_eq!(news, expected);
    }
}
