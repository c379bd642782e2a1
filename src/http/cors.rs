//! CORS: pages of the configured origins may call the API.

use std::{
    rc::Rc,
    task::{Context, Poll},
};

use actix_cors::Cors;
use actix_service::{Service, Transform};
use actix_web::{
    Error,
    body::{BoxBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::{
        Method,
        header::{ETAG, HeaderValue, LOCATION, ORIGIN, RETRY_AFTER, VARY},
    },
};
use futures::future::LocalBoxFuture;

use super::{
    conditional::IDEMPOTENCY_REPLAYED,
    identity::{REQUEST_ID, TRACEPARENT},
};
use crate::config::ServerConfig;

/// How long a browser may cache the response to a preflight request, in seconds.
const PREFLIGHT_SECS: usize = 3600;

/// CORS for `config.frontend_origins`, where `*` allows every origin. If the list is empty, pages of this machine are allowed in
/// development, and CORS is off in production.
pub(super) fn cors(config: &ServerConfig) -> PageCors {
    let origins = &config.frontend_origins;
    let base = Cors::default()
        .allowed_methods([
            Method::GET,
            Method::HEAD,
            Method::POST,
            Method::PUT,
            Method::PATCH,
            Method::DELETE,
        ])
        // Tracing and request libraries add headers of their own. Access depends on the origin alone, and this API ignores
        // headers that it does not read. The original service, on Express, allows every header too.
        .allow_any_header()
        .expose_headers([
            ETAG,
            LOCATION,
            RETRY_AFTER,
            IDEMPOTENCY_REPLAYED,
            REQUEST_ID,
            TRACEPARENT,
        ])
        .max_age(PREFLIGHT_SECS);
    let cors = if origins.iter().any(|origin| origin == "*") {
        // Browsers refuse a wildcard together with credentials (Fetch, 3.2.5).
        base.allow_any_origin().send_wildcard()
    } else if origins.is_empty() {
        base.supports_credentials()
            .allowed_origin_fn(|origin, _| origin.to_str().is_ok_and(is_local))
    } else {
        let base = base.supports_credentials();
        origins.iter().fold(base, |cors, origin| {
            cors.allowed_origin(origin.trim_end_matches('/'))
        })
    };
    let is_on = !origins.is_empty() || !config.production;
    PageCors(is_on.then_some(cors))
}

/// CORS for the requests of pages, which name their origin. `Cors` would also add its headers to the answers of all other
/// requests, where nobody reads them. `None`: CORS is off.
pub(super) struct PageCors(Option<Cors>);

impl<S, B> Transform<S, ServiceRequest> for PageCors
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error> + 'static,
    B: MessageBody + 'static,
{
    type Response = ServiceResponse<BoxBody>;
    type Error = Error;
    type Transform = PageCorsService<S, <Cors as Transform<Rc<S>, ServiceRequest>>::Transform>;
    type InitError = ();
    type Future = LocalBoxFuture<'static, Result<Self::Transform, ()>>;

    fn new_transform(&self, service: S) -> Self::Future {
        let plain = Rc::new(service);
        let cors = self.0.as_ref();
        let cors = cors.map(|cors| cors.new_transform(Rc::clone(&plain)));
        Box::pin(async move {
            let cors = match cors {
                Some(cors) => Some(cors.await?),
                None => None,
            };
            Ok(PageCorsService { plain, cors })
        })
    }
}

/// The service behind [`PageCors`]: the same one with CORS, and without.
pub(super) struct PageCorsService<S, C> {
    plain: Rc<S>,
    cors: Option<C>,
}

impl<S, C, B, D> Service<ServiceRequest> for PageCorsService<S, C>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error>,
    C: Service<ServiceRequest, Response = ServiceResponse<D>, Error = Error>,
    S::Future: 'static,
    C::Future: 'static,
    B: MessageBody + 'static,
    D: MessageBody + 'static,
{
    type Response = ServiceResponse<BoxBody>;
    type Error = Error;
    type Future = LocalBoxFuture<'static, Result<Self::Response, Error>>;

    fn poll_ready(&self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.plain.poll_ready(context)
    }

    fn call(&self, request: ServiceRequest) -> Self::Future {
        match &self.cors {
            Some(cors) if request.headers().contains_key(ORIGIN) => {
                let answer = cors.call(request);
                Box::pin(async { Ok(answer.await?.map_into_boxed_body()) })
            }
            cors => {
                let is_on = cors.is_some();
                let answer = self.plain.call(request);
                Box::pin(async move {
                    let mut answer = answer.await?.map_into_boxed_body();
                    if is_on {
                        // A cache must not give this answer to a page, which needs the headers of CORS.
                        let headers = answer.headers_mut();
                        headers.append(VARY, HeaderValue::from_static("origin"));
                    }
                    Ok(answer)
                })
            }
        }
    }
}

/// Whether an origin is a page of this machine, on any port.
fn is_local(origin: &str) -> bool {
    let host = origin
        .strip_prefix("http://")
        .or_else(|| origin.strip_prefix("https://"));
    let rest = host.and_then(|host| {
        ["localhost", "127.0.0.1", "[::1]"]
            .iter()
            .find_map(|local| host.strip_prefix(local))
    });
    rest.is_some_and(|rest| {
        rest.is_empty()
            || rest
                .strip_prefix(':')
                .is_some_and(|port| port.parse::<u16>().is_ok())
    })
}
