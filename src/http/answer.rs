//! The body of successful responses.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;
use utoipa::ToSchema;

/// `{"success":true,"data":…}`, with a `message` where there is one for people.
#[derive(Serialize, ToSchema)]
#[allow(clippy::struct_field_names)] // the API's contract names the field
pub struct Success<T> {
    /// Always true.
    #[schema(example = true)]
    success: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    message: Option<&'static str>,
    data: T,
}

impl<T> Success<T> {
    pub fn new(data: T) -> Self {
        Self {
            success: true,
            message: None,
            data,
        }
    }

    pub fn with_message(message: &'static str, data: T) -> Self {
        Self {
            success: true,
            message: Some(message),
            data,
        }
    }
}

/// The time in RFC 3339 and UTC, with milliseconds and `Z`.
#[must_use]
pub fn timestamp(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_have_milliseconds_and_z() {
        let at = DateTime::from_timestamp_millis(1_704_067_200_000).unwrap();
        assert_eq!(timestamp(at), "2024-01-01T00:00:00.000Z");
    }

    #[test]
    fn the_field_message_is_present_only_if_there_is_a_message() {
        assert_eq!(
            serde_json::to_string(&Success::new(1)).unwrap(),
            r#"{"success":true,"data":1}"#
        );
        let with_message = serde_json::to_string(&Success::with_message("Done.", 1)).unwrap();
        assert_eq!(
            with_message,
            r#"{"success":true,"message":"Done.","data":1}"#
        );
    }
}
