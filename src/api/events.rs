//! Streams of events: `GET /api/flash-sales/{saleId}/events` and `GET /api/orders/events`.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use actix_web::{
    HttpRequest, HttpResponse,
    web::{Bytes, Data},
};
use futures::{Stream, StreamExt, stream};
use serde::Serialize;
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};
use utoipa::ToSchema;

use super::{public::PublicSaleBody, shopper::SignedIn};
use crate::{
    auth::{AccountRefusal, Directory, Identity},
    clock::Clock,
    http::{
        ApiError, Client, ErrorCode, HEARTBEAT, ListenerSeats, PathId, event, stream_of, timestamp,
        until_heartbeat, until_retry, wants_stream,
    },
    ids::{ProductId, SaleId},
    port::ShopperResult,
    push::{NoSaleNews, NotLetIn, ResultFeed, ResultListener, SaleFeed, SaleNews, ShopperState},
    sale::{PublicSale, SaleCatalog},
};

/// How often a stream looks whether its token still holds. Less than 5 s: so fast does the end of a session reach every node.
const TOKEN_CHECK: Duration = Duration::from_secs(4);
/// After how long a shopper with too many streams tries again.
const TOO_MANY: Duration = Duration::from_secs(30);

/// The `data` of an event `sale`.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SaleEvent {
    #[serde(flatten)]
    sale: PublicSaleBody,
    /// When the event was made.
    #[schema(format = DateTime, example = "2030-11-29T11:59:30.000Z")]
    server_time: String,
}

/// The `data` of an event `result`.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ResultEvent {
    #[schema(example = 1)]
    sale_id: i64,
    #[schema(example = 1)]
    product_id: i64,
    status: ResultEventStatus,
}

/// How a shopper's purchase stands.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
#[schema(example = "SUCCESS")]
pub enum ResultEventStatus {
    /// A unit is held; the order is being made.
    Pending,
    Success,
    Failed,
    /// The order has ended, and the shopper may buy again. Only in events.
    None,
}

/// The `data` of an event `ready`.
#[derive(Serialize)]
struct ReadyEvent {
    sales: Vec<i64>,
}

/// A sale, now and whenever it changes.
///
/// Server-sent events, without a token. Each is `event: sale`, with the sale as `data` and a number that goes up on this node as
/// `id`. The first one comes at once. Between them come comments, every 15 s or so. The stream ends when the server stops:
/// connect again after `retry` milliseconds. It needs no `Last-Event-ID`, for the first event is the present state.
#[utoipa::path(
    get, path = "/api/flash-sales/{saleId}/events", operation_id = "saleEvents", security(()), tag = "Public",
    params(("saleId" = i64, Path, minimum = 1, example = 1, description = "The sale's id")),
    responses((status = 200, description = "Events, until one side ends it.", body = SaleEvent, content_type = "text/event-stream"))
)]
pub async fn sale(
    request: HttpRequest,
    sale: PathId<SaleId>,
    client: Client,
    feed: Data<SaleFeed>,
    catalog: Data<SaleCatalog>,
    seats: Data<ListenerSeats>,
) -> Result<HttpResponse, ApiError> {
    if !wants_stream(&request) {
        catalog.public_sale(sale.0).ok_or(ErrorCode::SaleNotFound)?;
        return Ok(stream_of(&request, stream::empty()));
    }
    let (now, news) = feed.listen(sale.0).map_err(|refused| match refused {
        NoSaleNews::UnknownSale => ErrorCode::SaleNotFound.into(),
        NoSaleNews::Draining => draining(),
    })?;
    // The last: a connection that is refused goes on as one of a buyer.
    seats.take(&request, client)?;
    let first = stream::iter([sale_event(&now)]);
    Ok(stream_of(&request, first.chain(changes(news))))
}

/// The shopper's results, now and whenever one changes.
///
/// Server-sent events. The token is in the header, so read them with `fetch`. First one `event: result` for every sale of which the
/// shopper has a result or holds a unit, then `event: ready`, then one `event: result` for every change; `NONE` says that the
/// order has ended and the shopper may buy again. The `data` of `ready` is `{"sales":[…]}`: the ids of the sales that were read with
/// certainty. In those of them without a `result` the shopper has no order; of sales that are not among them nothing is known. It
/// comes again when more sales are certain. Events have an `id`, a number that goes up on this node. Between them come comments,
/// every 15 s or so. The stream ends with the token or its session, and when the server stops: connect again after `retry`
/// milliseconds.
#[utoipa::path(
    get, path = "/api/orders/events", operation_id = "orderEvents", tag = "Orders", security(("bearer" = [])),
    responses((status = 200, description = "Events, until one side ends it.", body = ResultEvent, content_type = "text/event-stream"))
)]
pub async fn orders(
    request: HttpRequest,
    shopper: SignedIn,
    client: Client,
    feed: Data<ResultFeed>,
    directory: Data<Directory>,
    clock: Data<dyn Clock>,
    seats: Data<ListenerSeats>,
) -> Result<HttpResponse, ApiError> {
    if !wants_stream(&request) {
        return Ok(stream_of(&request, stream::empty()));
    }
    let SignedIn(identity) = shopper;
    let listener = feed
        .listen(identity.user)
        .map_err(|refused| match refused {
            NotLetIn::TooManyStreams => ApiError::too_many(TOO_MANY),
            NotLetIn::Draining => draining(),
        })?;
    seats.take(&request, client)?;
    let session = Session {
        identity,
        directory,
        clock,
    };
    Ok(stream_of(&request, results(listener, session)))
}

/// Other nodes have room: a balancer that still leads here will not for long.
fn draining() -> ApiError {
    ApiError::from(ErrorCode::Busy).after(until_retry())
}

/// The text of a sale for [`SaleFeed`].
pub(super) fn render(sale: PublicSale, catalog: &SaleCatalog) -> String {
    let event = SaleEvent {
        sale: sale.into(),
        server_time: timestamp(catalog.now()),
    };
    serde_json::to_string(&event).unwrap_or_default()
}

fn sale_event(news: &SaleNews) -> Bytes {
    event("sale", Some(news.id), &news.text)
}

fn changes(news: watch::Receiver<SaleNews>) -> impl Stream<Item = Bytes> {
    stream::unfold(news, |mut news| async move {
        tokio::select! {
            changed = news.changed() => {
                changed.ok()?;
                let event = sale_event(&news.borrow_and_update());
                Some((event, news))
            }
            () = tokio::time::sleep(until_heartbeat()) => Some((HEARTBEAT, news)),
        }
    })
}

/// The session that a stream depends on; the stream ends with it.
struct Session {
    identity: Identity,
    directory: Data<Directory>,
    clock: Data<dyn Clock>,
}

impl Session {
    async fn holds(&self) -> bool {
        let expired = self.clock.now().timestamp() >= self.identity.expires_at;
        // An account that is not in memory is looked up. If the ledger does not answer, the stream goes on.
        let refused = async {
            let admitted = self.directory.admit(&self.identity).await;
            matches!(
                admitted,
                Err(AccountRefusal::Unknown | AccountRefusal::Ended)
            )
        };
        !expired && (self.directory.is_known(&self.identity) || !refused.await)
    }
}

/// A stream of results, and what it has told.
struct Told {
    listener: ResultListener,
    session: Session,
    results: BTreeMap<SaleId, (ProductId, ShopperResult)>,
    /// The sales that were named in the last event `ready`; `None` before it.
    ready: Option<BTreeSet<SaleId>>,
    check_at: Instant,
    heartbeat_at: Instant,
}

fn results(listener: ResultListener, session: Session) -> impl Stream<Item = Bytes> {
    let now = Instant::now();
    let told = Told {
        listener,
        session,
        results: BTreeMap::new(),
        ready: None,
        check_at: now + TOKEN_CHECK,
        heartbeat_at: now + until_heartbeat(),
    };
    stream::unfold(told, |mut told| async move {
        let bytes = told.next().await?;
        told.heartbeat_at = Instant::now() + until_heartbeat();
        Some((bytes, told))
    })
}

impl Told {
    /// What is to be sent next; `None` at the end.
    async fn next(&mut self) -> Option<Bytes> {
        // Another stream of the shopper may have brought it up before this one waits.
        if let Some(bytes) = self.news() {
            return Some(bytes);
        }
        loop {
            let wake = self.check_at.min(self.heartbeat_at);
            tokio::select! {
                changed = self.listener.state.changed() => {
                    changed.ok()?;
                    if let Some(bytes) = self.news() {
                        return Some(bytes);
                    }
                }
                () = sleep_until(wake) => {
                    if Instant::now() >= self.check_at {
                        if !self.session.holds().await {
                            return None;
                        }
                        self.check_at = Instant::now() + TOKEN_CHECK;
                    }
                    if Instant::now() >= self.heartbeat_at {
                        return Some(HEARTBEAT);
                    }
                }
            }
        }
    }

    /// The events between what was told and the state now.
    fn news(&mut self) -> Option<Bytes> {
        self.listener.state.mark_unchanged();
        let state: &ShopperState = &self.listener.state.borrow();
        let mut text = Vec::new();
        let mut tell = |name: &str, data: String| {
            text.extend_from_slice(&event(name, Some(state.number), &data));
        };
        for (sale, now) in &state.results {
            let before = self.results.insert(*sale, (now.product, now.result));
            if before.is_none_or(|(_, before)| before != now.result) {
                tell(
                    "result",
                    text_of(&result(*sale, now.product, now.result.into())),
                );
            }
        }
        self.results.retain(|sale, (product, _)| {
            let stands = state.results.contains_key(sale);
            if !stands {
                tell(
                    "result",
                    text_of(&result(*sale, *product, ResultEventStatus::None)),
                );
            }
            stands
        });
        let is_news = match &self.ready {
            None => self.listener.is_read(state),
            Some(named) => !state.certain.is_subset(named),
        };
        if is_news {
            let sales = state.certain.iter().map(|sale| sale.value()).collect();
            tell("ready", text_of(&ReadyEvent { sales }));
        }
        let named = self.ready.as_ref();
        if is_news || named.is_some_and(|named| *named != state.certain) {
            // A sale that is certain no more is named again once it is.
            self.ready = Some(state.certain.clone());
        }
        (!text.is_empty()).then(|| text.into())
    }
}

fn text_of(data: &impl Serialize) -> String {
    serde_json::to_string(data).unwrap_or_default()
}

pub(super) fn result(sale: SaleId, product: ProductId, status: ResultEventStatus) -> ResultEvent {
    ResultEvent {
        sale_id: sale.value(),
        product_id: product.value(),
        status,
    }
}

impl From<ShopperResult> for ResultEventStatus {
    fn from(result: ShopperResult) -> Self {
        match result {
            ShopperResult::Pending => Self::Pending,
            ShopperResult::Success => Self::Success,
            ShopperResult::Failed => Self::Failed,
        }
    }
}
