//! `/api/admin/products`.

use actix_web::{HttpResponse, http::StatusCode, web::Data};

use super::{
    super::access::Operator,
    body::{Page, ProductBody},
    once::{Call, Done, Unfinished, once, with_version},
    version::expected,
};
use crate::{
    http::{ApiError, Document, ErrorCode, IfMatch, Parameters, PathId, Success},
    ids::ProductId,
    port::{AdminError, NewProduct, Product},
    sale::{
        Steering,
        forms::{ProductForm, ProductPatch, reason},
    },
};

/// Make a product.
///
/// Shoppers see it once a sale of it is published.
#[utoipa::path(
    post, path = "/api/admin/products", operation_id = "createProduct", tag = "Operators", security(("bearer" = [])),
    params(("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 255, pattern = "^[ -~]+$", description = "So that the request can be sent again", example = "8e03978e-40d5-43dd-bc93-6894a57f9324")),
    request_body = ProductForm,
    responses((status = 201, description = "It was made.", body = Success<ProductBody>,
        headers(("ETag" = String, description = "For `If-Match`"), ("Location" = String, description = "Its path"))))
)]
pub async fn create(
    call: Call,
    mut form: Document<ProductForm>,
    steering: Data<Steering>,
) -> Result<HttpResponse, ApiError> {
    let reason = reason(form.value.reason.take())?;
    let product = NewProduct::try_from(form.value)?;
    let entry = call.entry(reason, &form.bytes);
    let admin = &steering.admin;
    let made = |product: Product| Done::new(StatusCode::CREATED, ProductBody::from(product));
    once(
        &steering,
        &call,
        &entry,
        async || Ok(made(admin.create_product(&product, &entry).await?)),
        async |unfinished| match unfinished {
            Unfinished::Product(id) => {
                let product = admin.product(id).await?;
                Ok(made(product.ok_or(AdminError::NotFound)?))
            }
            _ => Err(ApiError::from(ErrorCode::RequestInProgress).into()),
        },
    )
    .await
}

/// List products by their ids.
///
/// Also those that no sale has yet.
#[utoipa::path(
    get, path = "/api/admin/products", operation_id = "listProducts", tag = "Operators", security(("bearer" = [])),
    params(
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 500, description = "How many at most; 50 if missing", example = 50),
        ("after" = Option<i64>, Query, minimum = 1, description = "`next` of the page before", example = 50),
    ),
    responses((status = 200, description = "Some of them, and where the next ones begin.", body = Success<Page<ProductBody>>))
)]
pub async fn list(
    _: Operator,
    parameters: Parameters,
    steering: Data<Steering>,
) -> Result<HttpResponse, ApiError> {
    let limit = parameters.limit(1..=500, 50)?;
    let after = parameters.value("after")?;
    let products = steering.admin.products(after, limit + 1).await?;
    let page = Page::of(
        products,
        limit,
        |last| last.id.to_string(),
        ProductBody::from,
    );
    Ok(HttpResponse::Ok().json(Success::new(page)))
}

/// A product.
///
/// Its `ETag` is needed to change it.
#[utoipa::path(
    get, path = "/api/admin/products/{productId}", operation_id = "showProduct", tag = "Operators", security(("bearer" = [])),
    params(("productId" = i64, Path, minimum = 1, example = 1, description = "The product's id")),
    responses((status = 200, description = "The product.", body = Success<ProductBody>, headers(("ETag" = String, description = "For `If-Match`"))))
)]
pub async fn show(
    _: Operator,
    product: PathId<ProductId>,
    steering: Data<Steering>,
) -> Result<HttpResponse, ApiError> {
    let product = found(&steering, product.0).await?;
    Ok(with_version(product.version, ProductBody::from(product)))
}

/// Change fields of a product.
///
/// Shoppers see it within a second.
#[utoipa::path(
    patch, path = "/api/admin/products/{productId}", operation_id = "changeProduct", tag = "Operators", security(("bearer" = [])),
    params(
        ("productId" = i64, Path, minimum = 1, example = 1, description = "The product's id"),
        ("If-Match" = String, Header, pattern = "^\"v[0-9]{1,18}\"$", description = "The `ETag` that was read", example = "\"v1\""),
    ),
    request_body = ProductPatch,
    responses((status = 200, description = "The product as it is now.", body = Success<ProductBody>, headers(("ETag" = String, description = "For `If-Match`"))))
)]
pub async fn change(
    operator: Operator,
    product: PathId<ProductId>,
    seen: IfMatch,
    mut patch: Document<ProductPatch>,
    steering: Data<Steering>,
) -> Result<HttpResponse, ApiError> {
    let current = async || Ok(found(&steering, product.0).await?.version);
    let expected = expected(&seen, current).await?;
    let reason = reason(patch.value.reason.take())?;
    let change = patch.value.change(expected)?;
    let entry = operator.entry(reason, None);
    let changed = steering.admin.change_product(product.0, &change, &entry);
    let changed = changed.await?;
    Ok(with_version(changed.version, ProductBody::from(changed)))
}

async fn found(steering: &Steering, product: ProductId) -> Result<Product, ApiError> {
    let product = steering.admin.product(product).await?;
    product.ok_or_else(|| AdminError::NotFound.into())
}
