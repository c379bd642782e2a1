//! What handlers take from a request: which id, which body.

use std::{fmt, future::Ready, future::ready, time::Duration};

use actix_web::{
    FromRequest, HttpMessage, HttpRequest,
    dev::Payload,
    error::JsonPayloadError,
    http::header::{CONTENT_ENCODING, CONTENT_LENGTH, HeaderValue},
    web::BytesMut,
};
use futures::{StreamExt, future::LocalBoxFuture};
use percent_encoding::percent_decode;
use serde::de::{DeserializeOwned, Error as _};

use super::{ApiError, ErrorCode, drain::UnderWay};

/// The largest body that is read, bytes. No request needs a tenth of it.
const BODY_LIMIT: usize = 16 * 1024;

/// The id in the path. Stands behind the shopper in a handler's arguments, since without a token nothing else is told.
#[derive(Debug, Clone, Copy)]
pub struct PathId<T>(pub T);

/// A body with fields, as JSON or as a form (`application/x-www-form-urlencoded`), within the limits of size and time.
pub struct Fields<T>(pub T);

/// How a body is written.
#[derive(Clone, Copy)]
enum Format {
    Json,
    Form,
}

/// How long a body may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct BodyTimeout(pub Duration);

impl<T: std::str::FromStr<Err: fmt::Display>> FromRequest for PathId<T> {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let (name, text) = request.match_info().iter().next().unwrap_or_default();
        let wrong =
            |error: T::Err| ApiError::saying(ErrorCode::InvalidId, format!("{name} {error}"));
        ready(text.parse().map(Self).map_err(wrong))
    }
}

impl<T: DeserializeOwned + 'static> FromRequest for Fields<T> {
    type Error = ApiError;
    type Future = LocalBoxFuture<'static, Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let limit = request
            .app_data::<BodyTimeout>()
            .map_or(Duration::from_secs(5), |limit| limit.0);
        if is_packed(request) {
            let packed = "The body must not be compressed: it has a Content-Encoding.";
            let refusal = ApiError::saying(ErrorCode::UnsupportedMediaType, packed);
            return Box::pin(ready(Err(refusal)));
        }
        let (acceptable, payload) = (acceptable(request), payload.take());
        let under_way = request.conn_data::<UnderWay>().cloned();
        let body = async move {
            let format = acceptable?;
            let body = match collect(payload).await {
                // The stream ended for want of room, which is no fault of the client.
                Err(JsonPayloadError::Payload(_))
                    if under_way.is_some_and(|connection| connection.is_cut_off()) =>
                {
                    return Err(ErrorCode::Busy.into());
                }
                body => body?,
            };
            match format {
                Format::Json => parse(&body)
                    .map_err(|error| ApiError::from(JsonPayloadError::Deserialize(error))),
                Format::Form => parse_form(&body),
            }
        };
        Box::pin(async move {
            let body = tokio::time::timeout(limit, body)
                .await
                .map_err(|_| ErrorCode::RequestTimeout)?;
            Ok(Self(body?))
        })
    }
}

/// A compressed body would be no JSON, which tells its client nothing of the reason (RFC 9110, 15.5.16).
fn is_packed(request: &HttpRequest) -> bool {
    let encodings = request.headers().get_all(CONTENT_ENCODING);
    let mut encodings = encodings.map(HeaderValue::as_bytes);
    encodings.any(|encoding| !encoding.eq_ignore_ascii_case(b"identity"))
}

/// Refuses by the head alone: another type, or too long.
fn acceptable(request: &HttpRequest) -> Result<Format, JsonPayloadError> {
    let mime = request.mime_type().ok().flatten();
    let format = match &mime {
        Some(mime) if mime.essence_str() == "application/x-www-form-urlencoded" => Format::Form,
        Some(mime)
            if mime.subtype() == "json" || mime.suffix().is_some_and(|suffix| suffix == "json") =>
        {
            Format::Json
        }
        Some(_) | None => return Err(JsonPayloadError::ContentType),
    };
    let length = request.headers().get(CONTENT_LENGTH);
    let length = length.and_then(|text| text.to_str().ok()?.parse::<usize>().ok());
    match length {
        Some(length) if length > BODY_LIMIT => Err(JsonPayloadError::OverflowKnownLength {
            length,
            limit: BODY_LIMIT,
        }),
        _ => Ok(format),
    }
}

async fn collect(mut payload: Payload) -> Result<BytesMut, JsonPayloadError> {
    let mut body = BytesMut::new();
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(JsonPayloadError::Payload)?;
        if body.len() + chunk.len() > BODY_LIMIT {
            return Err(JsonPayloadError::Overflow { limit: BODY_LIMIT });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// An object, with or without a byte order mark (RFC 8259, 8.1, lets a reader ignore it).
///
/// serde would also read a struct's fields by their position in an array, which is no form of the contract.
fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, serde_json::Error> {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    let value = serde_json::from_slice(body)?;
    if body.trim_ascii_start().first() == Some(&b'[') {
        return Err(serde_json::Error::custom("an object is expected"));
    }
    Ok(value)
}

/// Fields as browsers send a form. Bytes that are no UTF-8 would be replaced, and two passwords could become the same.
fn parse_form<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    if percent_decode(body).decode_utf8().is_err() {
        return Err(ErrorCode::BadRequest.into());
    }
    serde_urlencoded::from_bytes(body).map_err(|_| {
        ApiError::saying(
            ErrorCode::ValidationFailed,
            "The form has a field more than once.",
        )
    })
}

impl From<JsonPayloadError> for ApiError {
    fn from(error: JsonPayloadError) -> Self {
        match error {
            JsonPayloadError::OverflowKnownLength { .. } | JsonPayloadError::Overflow { .. } => {
                ErrorCode::BodyTooLarge.into()
            }
            JsonPayloadError::ContentType => ErrorCode::UnsupportedMediaType.into(),
            // serde knows no place for what is wrong with the body as a whole.
            JsonPayloadError::Deserialize(error) if error.is_data() && error.line() == 0 => {
                Self::saying(
                    ErrorCode::ValidationFailed,
                    "The body must be a JSON object.",
                )
            }
            JsonPayloadError::Deserialize(error) if error.is_data() => {
                // The place in the body is of use to the client; serde's words speak of our types.
                let place = format!("line {}, column {}", error.line(), error.column());
                Self::saying(
                    ErrorCode::ValidationFailed,
                    format!("The body has a field of the wrong type, at {place}."),
                )
            }
            JsonPayloadError::Deserialize(_) => ErrorCode::InvalidJson.into(),
            // Not ours, and open to more: what it adds is about a broken request.
            _ => ErrorCode::BadRequest.into(),
        }
    }
}
