//! Extractors of handlers: the id in the path, and the fields of the body.

use std::{fmt, future::Ready, future::ready, time::Duration};

use actix_web::{
    FromRequest, HttpMessage, HttpRequest,
    dev::Payload,
    error::JsonPayloadError,
    http::header::{CONTENT_ENCODING, CONTENT_LENGTH, HeaderValue},
    web::{Bytes, BytesMut},
};
use futures::{StreamExt, future::LocalBoxFuture};
use percent_encoding::percent_decode;
use serde::de::{DeserializeOwned, Error as _};

use super::{ApiError, ErrorCode, drain::ConnectionRequests};

/// The largest body that is accepted, in bytes. No request of this API needs a tenth of it.
const BODY_LIMIT: usize = 16 * 1024;
/// The largest [`Bulk`] that is accepted, in bytes. Only programs with a scope of their own send one.
const BULK_LIMIT: usize = 3 * 1024 * 1024;

/// The id in the path. In a handler's arguments it comes after the shopper: the first extractor that fails decides the response,
/// and a request without a token gets 401 whatever its id is.
#[derive(Debug, Clone, Copy)]
pub struct PathId<T>(pub T);

/// The fields of a body in JSON or in a form (`application/x-www-form-urlencoded`). The body's size and the time until it has
/// arrived are limited.
pub struct Fields<T>(pub T);

/// The fields of a long body in JSON: thousands of rows at a time.
pub struct Bulk<T>(pub T);

/// The encoding of a body.
#[derive(Clone, Copy)]
pub(super) enum Format {
    Json,
    Form,
}

/// The time within which a body must arrive.
#[derive(Debug, Clone, Copy)]
pub(super) struct BodyTimeout(pub Duration);

impl<T: std::str::FromStr<Err: fmt::Display>> FromRequest for PathId<T> {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let (name, text) = request.match_info().iter().next().unwrap_or_default();
        let invalid_id =
            |error: T::Err| ApiError::saying(ErrorCode::InvalidId, format!("{name} {error}"));
        ready(text.parse().map(Self).map_err(invalid_id))
    }
}

impl<T: DeserializeOwned + 'static> FromRequest for Fields<T> {
    type Error = ApiError;
    type Future = LocalBoxFuture<'static, Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let format = format_of(request);
        let body = bytes_of(request, payload);
        Box::pin(async move {
            let format = format?;
            let body = body.await?;
            let fields = match format {
                Format::Json => parse(&body)
                    .map_err(|error| ApiError::from(JsonPayloadError::Deserialize(error))),
                Format::Form => parse_form(&body),
            };
            fields.map(Self)
        })
    }
}

impl<T: DeserializeOwned + 'static> FromRequest for Bulk<T> {
    type Error = ApiError;
    type Future = LocalBoxFuture<'static, Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let is_json = matches!(format_of(request), Ok(Format::Json));
        let body = bytes_within(BULK_LIMIT, request, payload);
        Box::pin(async move {
            if !is_json {
                return Err(ApiError::saying(
                    ErrorCode::UnsupportedMediaType,
                    "The body must be JSON (Content-Type: application/json).",
                ));
            }
            let body = body.await.map_err(|error| match error.code() {
                ErrorCode::BodyTooLarge => {
                    ApiError::saying(ErrorCode::BodyTooLarge, "The body is larger than 3 MiB.")
                }
                _ => error,
            })?;
            let fields = parse(&body);
            let fields =
                fields.map_err(|error| ApiError::from(JsonPayloadError::Deserialize(error)));
            fields.map(Self)
        })
    }
}

/// The bytes of a body, within the limits of size and time.
pub(super) fn bytes_of(
    request: &HttpRequest,
    payload: &mut Payload,
) -> impl Future<Output = Result<Bytes, ApiError>> + use<> {
    bytes_within(BODY_LIMIT, request, payload)
}

/// The bytes of a body, within another limit of size.
fn bytes_within(
    most: usize,
    request: &HttpRequest,
    payload: &mut Payload,
) -> impl Future<Output = Result<Bytes, ApiError>> + use<> {
    let limit = request
        .app_data::<BodyTimeout>()
        .map_or(Duration::from_secs(5), |limit| limit.0);
    let acceptable = acceptable(most, request);
    let payload = payload.take();
    let requests = request.conn_data::<ConnectionRequests>().cloned();
    let body = async move {
        acceptable?;
        match collect(most, payload).await {
            // The stream ended because the memory budget is exhausted, which is not the client's fault.
            Err(JsonPayloadError::Payload(_))
                if requests.is_some_and(|requests| requests.is_cut_off()) =>
            {
                Err(ErrorCode::Busy.into())
            }
            body => Ok(body?.freeze()),
        }
    };
    async move {
        tokio::time::timeout(limit, body)
            .await
            .map_err(|_| ErrorCode::RequestTimeout)?
    }
}

/// Checked before the body is parsed: the error "not valid JSON" would not tell the client that the compression is the reason
/// (RFC 9110, 15.5.16).
fn has_content_encoding(request: &HttpRequest) -> bool {
    let encodings = request.headers().get_all(CONTENT_ENCODING);
    let mut encodings = encodings.map(HeaderValue::as_bytes);
    encodings.any(|encoding| !encoding.eq_ignore_ascii_case(b"identity"))
}

/// Refuses a body that is compressed or too long, by the head of the request alone.
fn acceptable(most: usize, request: &HttpRequest) -> Result<(), ApiError> {
    if has_content_encoding(request) {
        let message = "The body must not be compressed: it has a Content-Encoding.";
        return Err(ApiError::saying(ErrorCode::UnsupportedMediaType, message));
    }
    let length = request.headers().get(CONTENT_LENGTH);
    let length = length.and_then(|text| text.to_str().ok()?.parse::<usize>().ok());
    match length {
        Some(length) if length > most => Err(ErrorCode::BodyTooLarge.into()),
        _ => Ok(()),
    }
}

/// The encoding of the body, according to the head of the request.
pub(super) fn format_of(request: &HttpRequest) -> Result<Format, JsonPayloadError> {
    let mime = request.mime_type().ok().flatten();
    match &mime {
        Some(mime) if mime.essence_str() == "application/x-www-form-urlencoded" => Ok(Format::Form),
        Some(mime)
            if mime.subtype() == "json" || mime.suffix().is_some_and(|suffix| suffix == "json") =>
        {
            Ok(Format::Json)
        }
        Some(_) | None => Err(JsonPayloadError::ContentType),
    }
}

async fn collect(most: usize, mut payload: Payload) -> Result<BytesMut, JsonPayloadError> {
    let mut body = BytesMut::new();
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(JsonPayloadError::Payload)?;
        if body.len() + chunk.len() > most {
            return Err(JsonPayloadError::Overflow { limit: most });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// Parses a JSON object with or without a byte order mark, which a parser may ignore (RFC 8259, 8.1).
///
/// An array is an error: serde would assign its elements to the struct's fields by position, which is not in the API's contract.
fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, serde_json::Error> {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    let value = serde_json::from_slice(body)?;
    if body.trim_ascii_start().first() == Some(&b'[') {
        return Err(serde_json::Error::custom("an object is expected"));
    }
    Ok(value)
}

/// Parses a form as browsers send it. Invalid UTF-8 is an error: the parser would replace it, and two passwords could become
/// equal.
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
            JsonPayloadError::Overflow { .. } => ErrorCode::BodyTooLarge.into(),
            JsonPayloadError::ContentType => ErrorCode::UnsupportedMediaType.into(),
            // serde gives no position, and so line 0, if the body as a whole has the wrong type.
            JsonPayloadError::Deserialize(error) if error.is_data() && error.line() == 0 => {
                Self::saying(
                    ErrorCode::ValidationFailed,
                    "The body must be a JSON object.",
                )
            }
            JsonPayloadError::Deserialize(error) if error.is_data() => {
                // The client gets the position only: serde's message names types of this program.
                let place = format!("line {}, column {}", error.line(), error.column());
                Self::saying(
                    ErrorCode::ValidationFailed,
                    format!("The body has a field of the wrong type, at {place}."),
                )
            }
            JsonPayloadError::Deserialize(_) => ErrorCode::InvalidJson.into(),
            // The enum is non-exhaustive. Its other variants are about requests that are broken.
            _ => ErrorCode::BadRequest.into(),
        }
    }
}
