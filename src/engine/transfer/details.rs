//! Fields that lines have only where they say something: a file without them is written and read as before there were any.

/// The currency of products without one.
pub(super) fn currency() -> String {
    "USD".to_owned()
}

pub(super) fn is_usual_currency(currency: &str) -> bool {
    currency == "USD"
}

/// The state of sales without one.
pub(super) fn state() -> String {
    "LIVE".to_owned()
}

pub(super) fn is_live(state: &str) -> bool {
    state == "LIVE"
}

#[allow(clippy::trivially_copy_pass_by_ref)] // as serde calls it
pub(super) fn is_false(value: &bool) -> bool {
    !value
}

/// A time that may be missing, in milliseconds.
pub(super) mod time {
    use chrono::{DateTime, SecondsFormat, Utc};
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    #[allow(clippy::ref_option)] // as serde calls it
    pub(in super::super) fn serialize<S: Serializer>(
        at: &Option<DateTime<Utc>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match at {
            Some(at) => serializer.serialize_some(&at.to_rfc3339_opts(SecondsFormat::Millis, true)),
            None => serializer.serialize_none(),
        }
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<DateTime<Utc>>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        text.map(|text| DateTime::parse_from_rfc3339(&text).map(|at| at.to_utc()))
            .transpose()
            .map_err(D::Error::custom)
    }
}
