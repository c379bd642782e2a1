//! The extractor of a JSON body. It keeps the body's bytes, and its errors name the wrong field.

use actix_web::{FromRequest, HttpRequest, dev::Payload, http::header::CONTENT_TYPE, web::Bytes};
use futures::future::LocalBoxFuture;
use serde::de::DeserializeOwned;

use super::{
    ApiError, ErrorCode,
    extract::{Format, bytes_of, format_of},
};

/// An object of JSON with these fields and no others. A request without a body has an empty one, whatever its type says: some
/// clients always send one.
pub struct Document<T> {
    pub value: T,
    /// The body as it was received.
    pub bytes: Bytes,
}

impl<T: DeserializeOwned + 'static> FromRequest for Document<T> {
    type Error = ApiError;
    type Future = LocalBoxFuture<'static, Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let has_type = request.headers().contains_key(CONTENT_TYPE);
        let is_json = !has_type || matches!(format_of(request), Ok(Format::Json));
        let body = bytes_of(request, payload);
        Box::pin(async move {
            if !is_json {
                return Err(ApiError::saying(
                    ErrorCode::UnsupportedMediaType,
                    "The body must be JSON (Content-Type: application/json).",
                ));
            }
            let bytes = body.await?;
            if !has_type && !bytes.is_empty() {
                return Err(ApiError::saying(
                    ErrorCode::UnsupportedMediaType,
                    "A body needs Content-Type: application/json.",
                ));
            }
            let text: &[u8] = if bytes.is_empty() { b"{}" } else { &bytes };
            let value = parse(text)?;
            Ok(Self { value, bytes })
        })
    }
}

/// Parses a JSON object, with or without a byte order mark.
fn parse<T: DeserializeOwned>(text: &[u8]) -> Result<T, ApiError> {
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let wrong = |message: String| ApiError::saying(ErrorCode::ValidationFailed, message);
    let mut json = serde_json::Deserializer::from_slice(text);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        let inner = error.into_inner();
        if !inner.is_data() {
            return ErrorCode::InvalidJson.into();
        }
        match path.as_str() {
            "." | "?" => wrong("The body must be a JSON object, with each field once.".to_owned()),
            field if is_unknown(&inner) => wrong(format!("{field} is no field of this request")),
            field => wrong(match expected(&inner) {
                Some(expected) => format!("{field} must be {expected}"),
                None => format!("{field} has the wrong type"),
            }),
        }
    })?;
    // serde would also read a struct's fields by their position in an array.
    if text.trim_ascii_start().first() != Some(&b'{') {
        return Err(wrong("The body must be a JSON object.".to_owned()));
    }
    json.end().map_err(|_| ErrorCode::InvalidJson)?;
    Ok(value)
}

/// True if the error is about a field that the struct does not have. serde shows this only by the text that its derive macro
/// writes.
fn is_unknown(error: &serde_json::Error) -> bool {
    error.to_string().starts_with("unknown field")
}

/// What a field must be: `a string` for the error ``invalid type: integer `8`, expected a string at line 1 column 27``.
fn expected(error: &serde_json::Error) -> Option<String> {
    let text = error.to_string();
    let (_, behind) = text.split_once(", expected ")?;
    let (expected, _) = behind.rsplit_once(" at line ")?;
    Some(match expected {
        "i64" | "i32" | "i16" | "i8" | "isize" => "an integer".to_owned(),
        "u64" | "u32" | "u16" | "u8" | "usize" => "an integer of 0 or more".to_owned(),
        expected => expected.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    struct Form {
        price_cents: Option<i64>,
        name: Option<String>,
    }

    fn refused(text: &str) -> (&'static str, String) {
        let error = parse::<Form>(text.as_bytes()).unwrap_err();
        (error.code().code(), error.message().to_owned())
    }

    #[test]
    fn fields_are_read_and_may_be_missing() {
        let form = parse::<Form>(br#" {"priceCents": 5}"#).unwrap();
        assert_eq!((form.price_cents, form.name), (Some(5), None));
        assert!(parse::<Form>(b"\xef\xbb\xbf{}").is_ok());
    }

    #[test]
    fn a_wrong_field_is_named() {
        for (text, expected) in [
            (r#"{"priceCents": "5"}"#, "priceCents must be an integer"),
            (r#"{"priceCents": 1.5}"#, "priceCents must be an integer"),
            (r#"{"name": ["x"]}"#, "name must be a string"),
            (r#"{"nme": "x"}"#, "nme is no field of this request"),
        ] {
            assert_eq!(refused(text), ("validation_failed", expected.to_owned()));
        }
        for text in ["[1]", "5", "null", "\"x\"", r#"{"name":"a","name":"b"}"#] {
            let (code, message) = refused(text);
            assert_eq!(code, "validation_failed", "{text}");
            assert!(
                message.starts_with("The body must be a JSON object"),
                "{text}: {message}"
            );
        }
    }

    #[test]
    fn what_is_no_json_is_told_so() {
        for text in [
            "",
            "{",
            "{} {}",
            "nonsense",
            "{'name': 1}",
            "{\"name\": \"\\ud800\"}",
        ] {
            assert_eq!(refused(text).0, "invalid_json", "{text:?}");
        }
    }
}
