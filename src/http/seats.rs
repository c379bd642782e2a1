//! Counts an open connection against its limit: `MAX_CONNECTIONS`, or `MAX_LISTENERS` once the connection carries a stream of
//! events. It changes from the first limit to the second and never back, so that listeners take no connection from buyers.

use std::{cell::RefCell, rc::Rc, sync::Arc};

use actix_web::HttpRequest;
use metrics::counter;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{
    ApiError, Client, ErrorCode,
    events::until_retry,
    networks::{ConnectionGuard, Networks},
    open_connections::{CountedListener, OpenConnections},
};
use crate::{config::ServerConfig, telemetry::metric};

/// The streams of events that may be open. Clones share them.
#[derive(Clone)]
pub struct ListenerSeats {
    permits: Arc<Semaphore>,
    networks: Networks,
    all: u32,
    open: OpenConnections,
}

/// The permit of an open connection and its place in its network's count, both for the limit that the connection counts against.
/// They are returned when the last clone is dropped.
#[derive(Clone)]
pub(super) struct Seat(Rc<RefCell<Held>>);

struct Held {
    _permit: OwnedSemaphorePermit,
    _network: ConnectionGuard,
    /// Set once the connection carries a stream of events.
    listener: Option<CountedListener>,
}

impl ListenerSeats {
    pub(super) fn new(config: &ServerConfig, open: OpenConnections) -> Self {
        let max_listeners = config.max_listeners;
        Self {
            permits: Arc::new(Semaphore::new(max_listeners)),
            networks: Networks::new(config.max_listeners_per_network, &config.trusted_proxies),
            all: u32::try_from(max_listeners).unwrap_or(u32::MAX),
            open,
        }
    }

    /// Moves the connection of a request, whose answer will be a stream of events, to the listeners. The connection must be closed
    /// with the stream.
    pub fn take(&self, request: &HttpRequest, client: Client) -> Result<(), ApiError> {
        let seat = request.conn_data::<Seat>().ok_or(ErrorCode::Internal)?;
        let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() else {
            counter!(metric::LISTENERS_REFUSED, "reason" => "full").increment(1);
            return Err(ApiError::from(ErrorCode::Busy).after(until_retry()));
        };
        let Ok(network) = self.networks.enter(client.0.address()) else {
            counter!(metric::LISTENERS_REFUSED, "reason" => "network").increment(1);
            return Err(ApiError::too_many(until_retry()));
        };
        *seat.0.borrow_mut() = Held {
            _permit: permit,
            _network: network,
            listener: Some(self.open.listen()),
        };
        Ok(())
    }

    /// Waits until no stream is open.
    pub(super) async fn all_ended(&self) {
        let _ = self.permits.acquire_many(self.all).await;
    }
}

impl Seat {
    pub(super) fn new(permit: OwnedSemaphorePermit, network: ConnectionGuard) -> Self {
        Self(Rc::new(RefCell::new(Held {
            _permit: permit,
            _network: network,
            listener: None,
        })))
    }

    pub(super) fn is_listener(&self) -> bool {
        self.0.borrow().listener.is_some()
    }
}
