//! The router: paths with their methods, hung up in the order of the table.

use std::rc::Rc;

use actix_web::{
    FromRequest, Handler, Responder, Route, Scope,
    dev::ServiceRequest,
    guard,
    http::Method,
    middleware::from_fn,
    web::{self, ServiceConfig},
};

use super::access::{self, Right};
use crate::http::{ApiError, ErrorCode, RouteMetrics, Statuses, UNMATCHED, finish};

/// The path whose refusals may have the original's statuses.
pub(super) const ATTEMPT_PATH: &str = "/api/flash-sale/attempt/{saleId}";
/// What operators and the shop's programs use. Scopes of their own: the router looks at each once for every other path, however many
/// are in it.
const GUARDED: [&str; 2] = ["/api/admin", "/api/service"];
/// Where a program gets its token: the one path there that takes none.
pub(super) const TOKEN_PATH: &str = "/api/service/token";

/// The beginnings of the paths that the original service answers.
const SLASHED: [&str; 4] = ["/api/auth/", "/api/flash-sale/", "/api/orders/", "/health"];

/// A path and a method with what answers it.
pub(super) struct Endpoint {
    /// What it is called in metrics.
    pub name: &'static str,
    /// GET stands for HEAD too.
    pub method: Method,
    pub path: &'static str,
    pub errors: &'static [ErrorCode],
    /// What the token must be allowed to do. Everything under `/api/admin` and `/api/service` has one, but for [`TOKEN_PATH`].
    pub right: Option<Right>,
    /// Almost all requests are refused in the rush of a sale: only those that succeed are traced.
    is_mostly_refused: bool,
    /// Makes its handler.
    route: Box<dyn Fn() -> Route>,
}

impl Endpoint {
    /// The same for a path of which only requests that succeed are traced.
    pub(super) fn mostly_refused(self) -> Self {
        Self {
            is_mostly_refused: true,
            ..self
        }
    }

    /// The same for tokens with this right alone.
    pub(super) fn needs(self, right: Right) -> Self {
        Self {
            right: Some(right),
            ..self
        }
    }
}

/// What is to be known of a resource while it answers. The first endpoint stands for methods that it does not have.
#[derive(Clone)]
struct Methods(Rc<[Known]>);

struct Known {
    method: Method,
    metrics: Rc<RouteMetrics>,
    right: Option<Right>,
}

/// Hangs the table up: each path once, the wrong methods answered with 405, all other paths with 404.
///
/// `statuses` is what refused attempts are answered with.
pub(super) fn mount(table: Vec<Endpoint>, statuses: Statuses, config: &mut ServiceConfig) {
    let mut guarded = GUARDED.map(|prefix| (prefix, Some(web::scope(prefix))));
    let resources = by_path(table).into_iter();
    let resources: Vec<_> = resources
        .map(|(path, endpoints)| Resource::new(path, endpoints))
        .collect();
    for resource in &resources {
        resource.mount(resource.path, statuses, &mut guarded, config);
    }
    // Express, on which the original runs, takes a trailing slash for the same path. Resources of their own, and after all others: the
    // router tries one after the other, and few clients send the slash.
    for resource in &resources {
        if SLASHED
            .iter()
            .any(|prefix| resource.path.starts_with(prefix))
        {
            let path = format!("{}/", resource.path);
            resource.mount(&path, statuses, &mut guarded, config);
        }
    }
    for scope in guarded.into_iter().filter_map(|(_, scope)| scope) {
        config.service(scope);
    }
    let metrics = RouteMetrics::new(UNMATCHED);
    let not_found = web::to(async || Err::<&str, _>(ApiError::from(ErrorCode::NotFound)));
    config.default_service(not_found.wrap(from_fn(move |request, next| {
        finish(metrics.clone(), Statuses::Ours, request, next)
    })));
}

/// What answers one path, with what all its requests need.
struct Resource {
    path: &'static str,
    endpoints: Vec<Endpoint>,
    methods: Methods,
    /// What the header `Allow` says.
    allow: Rc<str>,
}

/// The prefix of guarded paths, and the scope of what is hung up under it so far.
type Guarded = (&'static str, Option<Scope>);

impl Resource {
    fn new(path: &'static str, endpoints: Vec<Endpoint>) -> Self {
        Self {
            path,
            methods: Methods::of(&endpoints),
            allow: allowed(&endpoints),
            endpoints,
        }
    }

    /// Hangs it up at a path.
    fn mount(
        &self,
        path: &str,
        statuses: Statuses,
        guarded: &mut [Guarded],
        config: &mut ServiceConfig,
    ) {
        let inside = guarded.iter_mut().find_map(|(prefix, scope)| {
            let rest = path.strip_prefix(*prefix)?;
            (path != TOKEN_PATH).then_some((rest, scope))
        });
        let inside_path = inside.as_ref().map(|(rest, _)| *rest);
        let mut resource = web::resource(inside_path.unwrap_or(path));
        for endpoint in &self.endpoints {
            resource = resource.route((endpoint.route)());
        }
        let allow = Rc::clone(&self.allow);
        let refuse = move || {
            let error = ApiError::method_not_allowed(&allow);
            async move { Err::<&str, _>(error) }
        };
        let resource = resource.default_service(web::to(refuse));
        let statuses = if self.path == ATTEMPT_PATH {
            statuses
        } else {
            Statuses::Ours
        };
        let methods = self.methods.clone();
        let finished = from_fn(move |request: ServiceRequest, next| {
            finish(methods.metrics(request.method()), statuses, request, next)
        });
        let Some((_, scope)) = inside else {
            config.service(resource.wrap(finished));
            return;
        };
        let methods = self.methods.clone();
        let checked = from_fn(move |request: ServiceRequest, next| {
            access::check(methods.right(request.method()), request, next)
        });
        *scope = scope
            .take()
            .map(|scope| scope.service(resource.wrap(checked).wrap(finished)));
    }
}

impl Methods {
    fn of(endpoints: &[Endpoint]) -> Self {
        let known = endpoints.iter().map(|endpoint| Known {
            method: endpoint.method.clone(),
            metrics: if endpoint.is_mostly_refused {
                RouteMetrics::of_mostly_refused(endpoint.name)
            } else {
                RouteMetrics::new(endpoint.name)
            },
            right: endpoint.right,
        });
        Self(known.collect())
    }

    fn find(&self, method: &Method) -> Option<&Known> {
        let Self(known) = self;
        // Most paths have one.
        if known.len() > 1 {
            let method = if *method == Method::HEAD {
                &Method::GET
            } else {
                method
            };
            let found = known.iter().find(|known| known.method == *method);
            if found.is_some() {
                return found;
            }
        }
        known.first()
    }

    fn metrics(&self, method: &Method) -> Rc<RouteMetrics> {
        let known = self.find(method);
        known.map_or_else(
            || RouteMetrics::new(UNMATCHED),
            |known| Rc::clone(&known.metrics),
        )
    }

    /// A guarded path without a right of its own is for nobody but administrators.
    fn right(&self, method: &Method) -> Right {
        let known = self.find(method);
        known
            .and_then(|known| known.right)
            .unwrap_or(Right::Accounts)
    }
}

/// The endpoints of each path, in the order in which the paths come first.
fn by_path(table: Vec<Endpoint>) -> Vec<(&'static str, Vec<Endpoint>)> {
    let mut paths: Vec<(_, Vec<Endpoint>)> = Vec::new();
    for endpoint in table {
        match paths.iter_mut().find(|(path, _)| *path == endpoint.path) {
            Some((_, endpoints)) => endpoints.push(endpoint),
            None => paths.push((endpoint.path, vec![endpoint])),
        }
    }
    paths
}

/// What the header `Allow` says.
fn allowed(endpoints: &[Endpoint]) -> Rc<str> {
    let methods = endpoints.iter().map(|endpoint| match endpoint.method {
        Method::GET => "GET, HEAD",
        ref method => method.as_str(),
    });
    methods.collect::<Vec<_>>().join(", ").into()
}

pub(super) fn get<F, Args>(
    name: &'static str,
    path: &'static str,
    errors: &'static [ErrorCode],
    handler: F,
) -> Endpoint
where
    F: Handler<Args>,
    Args: FromRequest + 'static,
    F::Output: Responder + 'static,
{
    on(Method::GET, name, path, errors, handler)
}

pub(super) fn post<F, Args>(
    name: &'static str,
    path: &'static str,
    errors: &'static [ErrorCode],
    handler: F,
) -> Endpoint
where
    F: Handler<Args>,
    Args: FromRequest + 'static,
    F::Output: Responder + 'static,
{
    on(Method::POST, name, path, errors, handler)
}

/// Any method. GET answers HEAD too.
pub(super) fn on<F, Args>(
    method: Method,
    name: &'static str,
    path: &'static str,
    errors: &'static [ErrorCode],
    handler: F,
) -> Endpoint
where
    F: Handler<Args>,
    Args: FromRequest + 'static,
    F::Output: Responder + 'static,
{
    let guarded = method.clone();
    let route = move || {
        let route = web::route();
        let route = if guarded == Method::GET {
            route.guard(guard::Any(guard::Get()).or(guard::Head()))
        } else {
            route.method(guarded.clone())
        };
        route.to(handler.clone())
    };
    Endpoint {
        name,
        method,
        path,
        errors,
        right: None,
        is_mostly_refused: false,
        route: Box::new(route),
    }
}
