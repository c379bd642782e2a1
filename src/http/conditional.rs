//! Headers of conditional and repeated requests: `If-Match`, `If-None-Match` and `Idempotency-Key`.

use std::future::{Ready, ready};

use actix_web::{
    FromRequest, HttpRequest, HttpResponse, HttpResponseBuilder,
    dev::Payload,
    http::header::{
        ETAG, EntityTag, Header, HeaderMap, HeaderName, HeaderValue, IF_MATCH, IfNoneMatch,
    },
};

use super::{ApiError, ErrorCode};

/// The header of an answer that repeats an earlier answer to the same key.
pub const IDEMPOTENCY_REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Highest number of characters of a key.
const KEY_CHARS: usize = 255;

/// The versions that a client has seen of the thing that it changes (RFC 9110, 13.1.1). A request without the header is answered
/// 428.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IfMatch {
    /// `*`: any version.
    Any,
    /// The versions of tags like `"v7"`. Weak tags and tags of another form match nothing (RFC 9110, 8.8.3.2) and are left out.
    Versions(Vec<u64>),
}

/// A request's `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header), if it has one: a string of RFC 9651, or the same
/// without quotes, of 1 to 255 visible ASCII characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKeyHeader(pub Option<String>);

impl FromRequest for IfMatch {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(if_match(request.headers()))
    }
}

impl FromRequest for IdempotencyKeyHeader {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(key(request.headers()).map(Self))
    }
}

/// Begins an answer with this tag. If the client has the content already, the answer is 304 (RFC 9110, 13.1.2) and the second
/// value is true: the caller adds no content then.
#[must_use]
pub fn tagged(request: &HttpRequest, tag: EntityTag) -> (HttpResponseBuilder, bool) {
    let is_known = is_known(request, &tag);
    let mut answer = if is_known {
        HttpResponse::NotModified()
    } else {
        HttpResponse::Ok()
    };
    answer.insert_header((ETAG, tag));
    (answer, is_known)
}

fn is_known(request: &HttpRequest, tag: &EntityTag) -> bool {
    match IfNoneMatch::parse(request) {
        Ok(IfNoneMatch::Any) => true,
        Ok(IfNoneMatch::Items(tags)) => tags.iter().any(|known| known.weak_eq(tag)),
        Err(_) => false,
    }
}

fn if_match(headers: &HeaderMap) -> Result<IfMatch, ApiError> {
    if !headers.contains_key(IF_MATCH) {
        return Err(ErrorCode::PreconditionRequired.into());
    }
    let lines = headers.get_all(IF_MATCH).map(HeaderValue::to_str);
    let tags: Vec<&str> = lines
        .filter_map(Result::ok)
        .flat_map(|line| line.split(','))
        .map(str::trim)
        .collect();
    if tags == ["*"] {
        return Ok(IfMatch::Any);
    }
    let version = |tag: &&str| tag.strip_prefix("\"v")?.strip_suffix('"')?.parse().ok();
    let versions: Vec<u64> = tags.iter().filter_map(version).collect();
    // A text without quotes is no tag at all. It must not lead to 412, which would say that somebody else made a change.
    let bare = tags.iter().find(|tag| !tag.ends_with('"'));
    if versions.is_empty()
        && let Some(bare) = bare
    {
        let plain = bare.trim_matches('"');
        let number = plain.strip_prefix('v').unwrap_or(plain).parse::<u64>();
        let example = number.map_or("v2".to_owned(), |number| format!("v{number}"));
        let message = format!(
            "The header If-Match must be the ETag with its quotes, like this: If-Match: \"{example}\""
        );
        return Err(ApiError::saying(ErrorCode::BadRequest, message));
    }
    Ok(IfMatch::Versions(versions))
}

fn key(headers: &HeaderMap) -> Result<Option<String>, ApiError> {
    let mut lines = headers.get_all(IDEMPOTENCY_KEY);
    let Some(line) = lines.next() else {
        return Ok(None);
    };
    let key = line.to_str().ok().map(str::trim).and_then(unquoted);
    match key {
        Some(key) if lines.next().is_none() => Ok(Some(key)),
        _ => Err(ApiError::saying(
            ErrorCode::BadRequest,
            "The header Idempotency-Key must be one string of 1 to 255 visible ASCII characters.",
        )),
    }
}

/// The content of a string of RFC 9651 (3.3.3). A text without quotes is its own content.
fn unquoted(text: &str) -> Option<String> {
    let key = match text.strip_prefix('"') {
        None => text.to_owned(),
        Some(rest) => {
            let inner = rest.strip_suffix('"')?;
            let mut key = String::with_capacity(inner.len());
            let mut chars = inner.chars();
            while let Some(c) = chars.next() {
                key.push(match c {
                    '\\' => chars.next().filter(|c| matches!(c, '"' | '\\'))?,
                    '"' => return None,
                    c => c,
                });
            }
            key
        }
    };
    let is_whole = (1..=KEY_CHARS).contains(&key.len());
    (is_whole && key.bytes().all(|byte| (0x20..0x7f).contains(&byte))).then_some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &HeaderName, lines: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(name.clone(), HeaderValue::from_str(line).unwrap());
        }
        headers
    }

    #[test]
    fn versions_are_read_from_strong_tags_of_ours() {
        let read = |lines: &[&str]| if_match(&headers(&IF_MATCH, lines));
        let versions = |versions: &[u64]| Ok(IfMatch::Versions(versions.to_vec()));
        assert_eq!(read(&[]), Err(ErrorCode::PreconditionRequired.into()));
        assert_eq!(read(&["*"]), Ok(IfMatch::Any));
        assert_eq!(read(&["\"v7\""]), versions(&[7]));
        assert_eq!(read(&["\"v7\", \"v8\"", "\"v9\""]), versions(&[7, 8, 9]));
        for other in ["W/\"v7\"", "\"7\"", "\"v-1\"", "\"x\""] {
            assert_eq!(read(&[other]), versions(&[]), "{other}");
        }
        assert_eq!(read(&["v7, \"v8\""]), versions(&[8]));
    }

    #[test]
    fn who_forgets_the_quotes_of_a_tag_is_told_how_it_is_written() {
        for (bare, right) in [
            ("v7", "\"v7\""),
            ("\"v7", "\"v7\""),
            ("12", "\"v12\""),
            ("", "\"v2\""),
            ("x", "\"v2\""),
        ] {
            let message = format!(
                "The header If-Match must be the ETag with its quotes, like this: If-Match: {right}"
            );
            let expected = ApiError::saying(ErrorCode::BadRequest, message);
            assert_eq!(if_match(&headers(&IF_MATCH, &[bare])), Err(expected));
        }
    }

    #[test]
    fn a_key_is_a_string_with_or_without_quotes() {
        let read = |lines: &[&str]| key(&headers(&IDEMPOTENCY_KEY, lines));
        assert_eq!(read(&[]), Ok(None));
        for (line, expected) in [
            ("\"8e03978e-40d5\"", "8e03978e-40d5"),
            ("8e03978e-40d5", "8e03978e-40d5"),
            (r#""a \"b\" \\ c""#, r#"a "b" \ c"#),
        ] {
            assert_eq!(read(&[line]), Ok(Some(expected.to_owned())), "{line}");
        }
        let long = "x".repeat(256);
        for wrong in ["", "\"\"", "\"a", r#""a"b""#, r#""a\x""#, &long] {
            assert!(read(&[wrong]).is_err(), "{wrong}");
        }
        assert!(read(&["a", "b"]).is_err(), "two of them");
        assert_eq!(read(&[&long[1..]]), Ok(Some(long[1..].to_owned())));
    }
}
