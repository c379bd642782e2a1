//! The API of operators, everything under `/api/admin`: one file a resource. `once` makes a change once however often it
//! is sent; who may use it is said in `api::access`.

pub(super) mod actions;
pub(super) mod attempts;
pub mod body;
pub(super) mod changes;
pub(super) mod dead_letters;
mod once;
pub(super) mod orders;
pub(super) mod overview;
pub(super) mod products;
pub(super) mod reports;
pub(super) mod sales;
pub(super) mod service_accounts;
pub(super) mod users;
mod version;
pub(super) mod webhooks;

pub use overview::OverviewSource;
pub use reports::{Doctor, Reports};

use actix_web::http::Method;

use super::{
    access::Right::{Accounts, Change, Read},
    router::{Endpoint, get, on, post},
};
use crate::http::ErrorCode::{
    self, BadRequest, BelowSold, BodyTooLarge, Busy, EventsAhead, EventsGone, Forbidden,
    IdempotencyKeyReused, Internal, InvalidId, InvalidJson, NotAllowed, NotFound, OutcomeUnknown,
    OverlappingSale, PreconditionRequired, RequestInProgress, RequestTimeout, SaleNotFound,
    SkuTaken, Stale, TokenExpired, TokenInvalid, TokenMissing, TooManyRequests, Unavailable,
    UnsupportedMediaType, UsernameTaken, ValidationFailed,
};

/// Joins lists of errors.
macro_rules! errors {
    ($name:ident: $($code:ident),* $(,)?) => {
        const $name: &[ErrorCode] = &[
            TokenMissing, TokenInvalid, TokenExpired, Forbidden, Unavailable, $($code,)*
        ];
    };
}

errors!(OVERVIEW:);
errors!(LIST: ValidationFailed, BadRequest);
errors!(LIST_OF_SALE: InvalidId, NotFound, ValidationFailed, BadRequest);
errors!(SHOW: InvalidId, NotFound);
errors!(REPORT: ValidationFailed, BadRequest, NotFound, Busy, Internal);
errors!(CREATE_PRODUCT:
    InvalidJson, ValidationFailed, BadRequest, RequestTimeout, SkuTaken, RequestInProgress, BodyTooLarge,
    UnsupportedMediaType, IdempotencyKeyReused, TooManyRequests, OutcomeUnknown, Busy,
);
errors!(CHANGE_PRODUCT:
    InvalidId, InvalidJson, ValidationFailed, BadRequest, NotFound, RequestTimeout, SkuTaken, NotAllowed, Stale, BodyTooLarge,
    UnsupportedMediaType, PreconditionRequired, TooManyRequests, OutcomeUnknown, Busy,
);
errors!(CREATE_SALE:
    InvalidJson, ValidationFailed, BadRequest, NotFound, RequestTimeout, RequestInProgress, NotAllowed, OverlappingSale,
    BodyTooLarge, UnsupportedMediaType, IdempotencyKeyReused, TooManyRequests, OutcomeUnknown, Busy,
);
errors!(EDIT_SALE:
    InvalidId, InvalidJson, ValidationFailed, BadRequest, NotFound, RequestTimeout, NotAllowed, OverlappingSale, Stale,
    BodyTooLarge, UnsupportedMediaType, PreconditionRequired, TooManyRequests, OutcomeUnknown, Busy,
);
errors!(CHANGE_SALE:
    InvalidId, InvalidJson, ValidationFailed, BadRequest, NotFound, RequestTimeout, NotAllowed, OverlappingSale,
    RequestInProgress, BodyTooLarge, UnsupportedMediaType, IdempotencyKeyReused, TooManyRequests, OutcomeUnknown, Busy,
);
errors!(STOCK:
    InvalidId, InvalidJson, ValidationFailed, BadRequest, NotFound, RequestTimeout, NotAllowed, BelowSold, RequestInProgress,
    Stale, BodyTooLarge, UnsupportedMediaType, IdempotencyKeyReused, TooManyRequests, OutcomeUnknown, Busy,
);
errors!(CHANGE:
    InvalidId, InvalidJson, ValidationFailed, BadRequest, NotFound, RequestTimeout, NotAllowed, RequestInProgress, BodyTooLarge,
    UnsupportedMediaType, IdempotencyKeyReused, TooManyRequests, OutcomeUnknown, Busy,
);
errors!(ERASE:
    InvalidId, InvalidJson, ValidationFailed, BadRequest, NotFound, RequestTimeout, NotAllowed, BodyTooLarge, UnsupportedMediaType,
    TooManyRequests, OutcomeUnknown, Busy,
);
errors!(CREATE_SERVICE:
    InvalidJson, ValidationFailed, BadRequest, RequestTimeout, UsernameTaken, BodyTooLarge, UnsupportedMediaType, TooManyRequests,
    Internal, OutcomeUnknown, Busy,
);
errors!(CHANGE_SERVICE:
    InvalidId, InvalidJson, ValidationFailed, BadRequest, NotFound, RequestTimeout, BodyTooLarge, UnsupportedMediaType,
    TooManyRequests, Internal, OutcomeUnknown, Busy,
);

errors!(WEBHOOKS:);
errors!(ADD_WEBHOOK:
    InvalidJson, ValidationFailed, BadRequest, RequestTimeout, NotAllowed, BodyTooLarge, UnsupportedMediaType, TooManyRequests,
    Internal, OutcomeUnknown, Busy,
);
errors!(CHANGE_WEBHOOK:
    InvalidId, InvalidJson, ValidationFailed, BadRequest, NotFound, RequestTimeout, BodyTooLarge, UnsupportedMediaType,
    TooManyRequests, Internal, OutcomeUnknown, Busy,
);
errors!(REPLAY_WEBHOOK:
    InvalidId, InvalidJson, ValidationFailed, BadRequest, NotFound, SaleNotFound, RequestTimeout, EventsAhead, EventsGone,
    BodyTooLarge, UnsupportedMediaType, TooManyRequests, Internal, OutcomeUnknown, Busy,
);

const PRODUCTS: &str = "/api/admin/products";
const PRODUCT: &str = "/api/admin/products/{productId}";
const SALES: &str = "/api/admin/sales";
const SALE: &str = "/api/admin/sales/{saleId}";
const WEBHOOKS_PATH: &str = "/api/admin/webhooks";
const SERVICE_ACCOUNTS: &str = "/api/admin/service-accounts";

/// All paths of operators, each with the right that it needs.
#[rustfmt::skip] // a table
pub(super) fn table() -> Vec<Endpoint> {
    let patch = Method::PATCH;
    vec![
        get("admin_overview", "/api/admin/overview", OVERVIEW, overview::show).needs(Read),
        get("admin_products", PRODUCTS, LIST, products::list).needs(Read),
        post("admin_create_product", PRODUCTS, CREATE_PRODUCT, products::create).needs(Change),
        get("admin_product", PRODUCT, SHOW, products::show).needs(Read),
        on(patch.clone(), "admin_change_product", PRODUCT, CHANGE_PRODUCT, products::change).needs(Change),
        get("admin_sales", SALES, LIST, sales::list).needs(Read),
        post("admin_create_sale", SALES, CREATE_SALE, sales::create).needs(Change),
        get("admin_sale", SALE, SHOW, sales::show).needs(Read),
        on(patch, "admin_edit_sale", SALE, EDIT_SALE, sales::edit).needs(Change),
        post("admin_publish_sale", "/api/admin/sales/{saleId}/publish", CHANGE_SALE, changes::publish).needs(Change),
        post("admin_pause_sale", "/api/admin/sales/{saleId}/pause", CHANGE_SALE, changes::pause).needs(Change),
        post("admin_resume_sale", "/api/admin/sales/{saleId}/resume", CHANGE_SALE, changes::resume).needs(Change),
        post("admin_end_sale", "/api/admin/sales/{saleId}/end", CHANGE_SALE, changes::end).needs(Change),
        post("admin_cancel_sale", "/api/admin/sales/{saleId}/cancel", CHANGE_SALE, changes::cancel).needs(Change),
        post("admin_stock", "/api/admin/sales/{saleId}/stock", STOCK, changes::stock).needs(Change),
        get("admin_balance", "/api/admin/sales/{saleId}/balance", SHOW, sales::balance).needs(Read),
        get("admin_orders", "/api/admin/sales/{saleId}/orders", LIST_OF_SALE, orders::list).needs(Read),
        post("admin_cancel_order", "/api/admin/orders/{attemptId}/cancel", CHANGE, orders::cancel).needs(Change),
        get("admin_attempt", "/api/admin/attempts/{attemptId}", SHOW, attempts::show).needs(Read),
        get("admin_users", "/api/admin/users", LIST, users::list).needs(Read),
        get("admin_user", "/api/admin/users/{userId}", SHOW, users::show).needs(Read),
        on(Method::DELETE, "admin_erase_user", "/api/admin/users/{userId}", ERASE, users::erase).needs(Accounts),
        get("admin_user_attempts", "/api/admin/users/{userId}/attempts", LIST_OF_SALE, attempts::of_user).needs(Read),
        get("admin_service_accounts", SERVICE_ACCOUNTS, LIST, service_accounts::list).needs(Accounts),
        post("admin_create_service_account", SERVICE_ACCOUNTS, CREATE_SERVICE, service_accounts::create).needs(Accounts),
        on(Method::PATCH, "admin_change_service_account", "/api/admin/service-accounts/{userId}", CHANGE_SERVICE, service_accounts::change).needs(Accounts),
        post("admin_renew_service_secret", "/api/admin/service-accounts/{userId}/secret", CHANGE_SERVICE, service_accounts::renew_secret).needs(Accounts),
        get("admin_webhooks", WEBHOOKS_PATH, WEBHOOKS, webhooks::list).needs(Read),
        post("admin_add_webhook", WEBHOOKS_PATH, ADD_WEBHOOK, webhooks::add).needs(Change),
        on(Method::DELETE, "admin_remove_webhook", "/api/admin/webhooks/{webhookId}", CHANGE_WEBHOOK, webhooks::remove).needs(Change),
        post("admin_rotate_webhook", "/api/admin/webhooks/{webhookId}/rotate", CHANGE_WEBHOOK, webhooks::rotate).needs(Change),
        post("admin_replay_webhook", "/api/admin/webhooks/{webhookId}/replay", REPLAY_WEBHOOK, webhooks::replay).needs(Change),
        get("admin_deliveries", "/api/admin/webhooks/{webhookId}/deliveries", LIST_OF_SALE, webhooks::deliveries).needs(Read),
        get("admin_actions", "/api/admin/actions", LIST, actions::list).needs(Read),
        get("admin_dead_letters", "/api/admin/dead-letters", LIST, dead_letters::list).needs(Read),
        get("admin_dead_letter", "/api/admin/dead-letters/{letterId}", SHOW, dead_letters::show).needs(Read),
        post("admin_replay_dead_letter", "/api/admin/dead-letters/{letterId}/replay", CHANGE, dead_letters::replay).needs(Change),
        post("admin_discard_dead_letter", "/api/admin/dead-letters/{letterId}/discard", CHANGE, dead_letters::discard).needs(Change),
        get("admin_audit", "/api/admin/audits", REPORT, reports::audit).needs(Read),
        get("admin_doctor", "/api/admin/doctor", REPORT, reports::doctor).needs(Read),
    ]
}
