//! The query of a request: `?limit=50&after=7`.

use std::{
    fmt,
    future::{Ready, ready},
    ops::RangeInclusive,
    str::FromStr,
};

use actix_web::{FromRequest, HttpRequest, dev::Payload};

use super::{ApiError, ErrorCode};

/// The parameters of a query. Parameters that a path does not know are ignored, since programs on the way may add some.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameters(Vec<(String, String)>);

impl FromRequest for Parameters {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let query = serde_urlencoded::from_str(request.query_string());
        ready(query.map(Self).map_err(|_| ErrorCode::BadRequest.into()))
    }
}

impl Parameters {
    /// The text of a parameter. An empty text counts as a missing parameter.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        let mut known = self.0.iter().filter(|(known, _)| known == name);
        known
            .next()
            .map(|(_, text)| text.as_str())
            .filter(|text| !text.is_empty())
    }

    /// The same; an error if the parameter is there more than once, since nobody can say which of them counts.
    fn once(&self, name: &str) -> Result<Option<&str>, ApiError> {
        if self.0.iter().filter(|(known, _)| known == name).count() > 1 {
            let message = format!("{name} is there more than once");
            return Err(ApiError::saying(ErrorCode::ValidationFailed, message));
        }
        Ok(self.text(name))
    }

    /// The value of a parameter, if there is one. The error for a wrong value names the parameter.
    pub fn value<T: FromStr<Err: fmt::Display>>(&self, name: &str) -> Result<Option<T>, ApiError> {
        let wrong =
            |error| ApiError::saying(ErrorCode::ValidationFailed, format!("{name} {error}"));
        self.once(name)?.map(str::parse).transpose().map_err(wrong)
    }

    /// The highest number of items of a page: the parameter `limit`, or `otherwise` if it is missing.
    pub fn limit(&self, range: RangeInclusive<u32>, otherwise: u32) -> Result<u32, ApiError> {
        let Some(text) = self.once("limit")? else {
            return Ok(otherwise);
        };
        let limit = text.parse().ok().filter(|limit| range.contains(limit));
        limit.ok_or_else(|| {
            let (least, most) = range.into_inner();
            let message = format!("limit must be a whole number from {least} to {most}");
            ApiError::saying(ErrorCode::ValidationFailed, message)
        })
    }

    /// The value of a parameter that is `true` or `false`. A missing one is false.
    pub fn flag(&self, name: &str) -> Result<bool, ApiError> {
        match self.once(name)? {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(ApiError::saying(
                ErrorCode::ValidationFailed,
                format!("{name} must be true or false"),
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameters(query: &str) -> Parameters {
        Parameters(serde_urlencoded::from_str(query).unwrap())
    }

    #[test]
    fn a_wrong_parameter_is_named() {
        let all = parameters("limit=0&sale=x&open=yes&empty=");
        let message = |error: ApiError| error.to_string();
        let limit = all.limit(1..=500, 50).unwrap_err();
        assert!(message(limit).ends_with("limit must be a whole number from 1 to 500"));
        let sale = all.value::<u32>("sale").unwrap_err();
        assert!(message(sale).ends_with("sale invalid digit found in string"));
        assert!(message(all.flag("open").unwrap_err()).contains("open must be"));
        assert_eq!(all.value::<u32>("empty"), Ok(None));
        let twice = parameters("after=&after=7&other=1&other=2&open=true&open=true");
        for refused in [
            twice.value::<u32>("after").map(drop),
            twice.flag("open").map(drop),
        ] {
            assert!(message(refused.unwrap_err()).ends_with("is there more than once"));
        }
        assert_eq!(parameters("").limit(1..=500, 50), Ok(50));
    }
}
