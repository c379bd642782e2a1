//! A request to the system: what is asked, and in whose name.

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    HeaderMap, Method, Uri,
    header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderValue},
};

/// A shopper's token.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    /// The Authorization header.
    header: HeaderValue,
}

impl Token {
    /// `None` if the text is no token: it has characters that no header may have.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let mut header = HeaderValue::try_from(format!("Bearer {text}")).ok()?;
        header.set_sensitive(true);
        Some(Self { header })
    }
}

/// Made once for each path by [`Target::get`](super::Target::get) and [`Target::post`](super::Target::post), then copied
/// for each shopper.
#[derive(Debug, Clone)]
pub struct Request {
    method: Method,
    /// Path and query only.
    uri: Uri,
    authorization: Option<HeaderValue>,
    document: Option<Bytes>,
}

impl Request {
    pub(super) fn new(method: Method, uri: Uri) -> Self {
        Self {
            method,
            uri,
            authorization: None,
            document: None,
        }
    }

    /// The same in the name of a shopper.
    #[must_use]
    pub fn with_token(&self, token: &Token) -> Self {
        Self {
            authorization: Some(token.header.clone()),
            ..self.clone()
        }
    }

    /// The same with a JSON document as its body.
    #[must_use]
    pub fn with_document(mut self, document: &serde_json::Value) -> Self {
        self.document = Some(document.to_string().into());
        self
    }

    #[cfg(test)]
    pub(super) fn uri(&self) -> &Uri {
        &self.uri
    }

    /// As hyper sends it. The memory of `headers` is used again.
    pub(super) fn to_http(
        &self,
        authority: &HeaderValue,
        mut headers: HeaderMap,
    ) -> hyper::Request<Full<Bytes>> {
        headers.clear();
        headers.insert(HOST, authority.clone());
        if let Some(authorization) = &self.authorization {
            headers.insert(AUTHORIZATION, authorization.clone());
        }
        if self.document.is_some() {
            // hyper adds its length.
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        } else if self.method == Method::POST {
            headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        let body = self.document.clone().map_or_else(Full::default, Full::new);
        let mut request = hyper::Request::new(body);
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = headers;
        request
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Token(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_that_no_header_may_have_is_none() {
        assert!(Token::new("a.b-c_d").is_some());
        assert_eq!(Token::new("token\r\nx: y"), None);
    }

    #[test]
    fn a_token_is_not_shown() {
        let token = Token::new("a.b-c_d").unwrap();
        let request = Request::new(Method::GET, Uri::from_static("/")).with_token(&token);
        for shown in [format!("{token:?}"), format!("{request:?}")] {
            assert!(!shown.contains("a.b-c_d"), "{shown}");
        }
    }

    #[test]
    fn nothing_of_the_answer_before_is_sent() {
        let mut headers = HeaderMap::new();
        headers.insert("set-cookie", HeaderValue::from_static("x"));
        let request = Request::new(Method::POST, Uri::from_static("/"));
        let request = request.to_http(&HeaderValue::from_static("host"), headers);
        let mut names: Vec<_> = request
            .headers()
            .keys()
            .map(hyper::header::HeaderName::as_str)
            .collect();
        names.sort_unstable();
        assert_eq!(names, ["content-length", "host"]);
    }
}
