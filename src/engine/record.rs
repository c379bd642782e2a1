//! The record of an attempt, as every engine of the log writes it: JSON, with a version.
//!
//! ```json
//! {"v":1,"attemptId":"0199…","userId":"42","productId":1,"saleId":7,"timestamp":"2026-01-01T12:00:00.000Z"}
//! ```
//!
//! The original service wrote the same fields without `v` and `attemptId`, with ids as strings or numbers and the timestamp as
//! a string or in milliseconds; all these forms can be read. `tests/golden` holds records of every version, to prove that
//! every record that was ever written stays readable.

use std::{fmt, marker::PhantomData};

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Deserializer, Serialize, de};
use uuid::Uuid;

use crate::{
    ids::{AttemptId, ProductId, SaleId, UserId},
    port::{Attempt, RawRecord},
};

/// The version that is written, and the newest that is read.
const VERSION: u32 = 1;
/// UUID namespace of the ids that are derived for records without one. It was chosen at random and must never change.
const DERIVED_IDS: Uuid = Uuid::from_u128(0x6b1f_0c0e_3a55_4d0b_9a53_0e6d_5c1f_7a21);

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct EncodedRecord<'a> {
    v: u32,
    attempt_id: AttemptId,
    user_id: &'a str,
    product_id: i64,
    sale_id: i64,
    timestamp: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DecodedRecord {
    v: Option<u32>,
    attempt_id: Option<AttemptId>,
    #[serde(deserialize_with = "number_or_text")]
    user_id: Id,
    #[serde(deserialize_with = "number_or_text")]
    product_id: Id,
    #[serde(deserialize_with = "number_or_text")]
    sale_id: Id,
    #[serde(deserialize_with = "number_or_text")]
    timestamp: Timestamp,
}

/// An id, written as a number or as its digits.
struct Id(i64);

/// A time, in milliseconds since 1970 or as a text in RFC 3339.
struct Timestamp(DateTime<Utc>);

/// The record of an attempt.
#[must_use]
pub fn encode(attempt: &Attempt) -> Vec<u8> {
    let user = attempt.user.to_string();
    let record = EncodedRecord {
        v: VERSION,
        attempt_id: attempt.id,
        user_id: &user,
        product_id: attempt.product.value(),
        sale_id: attempt.sale.value(),
        timestamp: attempt.at.to_rfc3339_opts(SecondsFormat::Millis, true),
    };
    // Encoding these fields cannot fail. If it did, the empty value could not be decoded, and so would never be taken for an
    // attempt.
    serde_json::to_vec(&record).unwrap_or_default()
}

/// Decodes a record. An error is the reason why the record is not a valid attempt.
pub fn decode(raw: &RawRecord) -> Result<Attempt, String> {
    let value = raw.value.as_deref().ok_or("the record has no value")?;
    let record: DecodedRecord =
        serde_json::from_slice(value).map_err(|error| format!("not an attempt: {error}"))?;
    if let Some(version) = record.v
        && version > VERSION
    {
        return Err(format!(
            "version {version} is newer than this program, which knows {VERSION}"
        ));
    }
    let user = UserId::new(record.user_id.0).ok_or("userId is not positive")?;
    let product = ProductId::new(record.product_id.0).ok_or("productId is not positive")?;
    let sale = SaleId::new(record.sale_id.0).ok_or("saleId is not positive")?;
    let Timestamp(at) = record.timestamp;
    let id = record
        .attempt_id
        .unwrap_or_else(|| derived_id(user, sale, at));
    Ok(Attempt {
        id,
        sale,
        product,
        user,
        at,
    })
}

/// True for an attempt whose record has no id, such as a record of the original service.
pub(super) fn is_without_id(attempt: &Attempt) -> bool {
    attempt.id == derived_id(attempt.user, attempt.sale, attempt.at)
}

/// The id of an attempt that was logged without one. It depends only on the record, so every read of it gives the same id.
fn derived_id(user: UserId, sale: SaleId, at: DateTime<Utc>) -> AttemptId {
    let content = format!("{user}/{sale}/{}", at.timestamp_millis());
    AttemptId(Uuid::new_v5(&DERIVED_IDS, content.as_bytes()))
}

/// What a record has as a number or as a text.
trait NumberOrText: Sized {
    /// What an error calls it.
    const NAME: &str;

    fn from_number(number: i64) -> Option<Self>;
    fn from_text(text: &str) -> Option<Self>;
}

impl NumberOrText for Id {
    const NAME: &str = "an id";

    fn from_number(number: i64) -> Option<Self> {
        Some(Self(number))
    }

    fn from_text(text: &str) -> Option<Self> {
        text.parse().ok().map(Self)
    }
}

impl NumberOrText for Timestamp {
    const NAME: &str = "a time";

    fn from_number(millis: i64) -> Option<Self> {
        DateTime::from_timestamp_millis(millis).map(Self)
    }

    fn from_text(text: &str) -> Option<Self> {
        let time = DateTime::parse_from_rfc3339(text).ok()?;
        Some(Self(time.to_utc()))
    }
}

/// Reads either form. Not an untagged enum of serde, which tries one form after the other and writes an error for each that fails: half
/// of a worker's time.
fn number_or_text<'de, T: NumberOrText, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    struct Visitor<T>(PhantomData<T>);

    fn refused<T: NumberOrText, E: de::Error>(value: &dyn fmt::Debug) -> E {
        E::custom(format_args!("{value:?} is not {}", T::NAME))
    }

    impl<T: NumberOrText> de::Visitor<'_> for Visitor<T> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(T::NAME)
        }

        fn visit_i64<E: de::Error>(self, number: i64) -> Result<T, E> {
            T::from_number(number).ok_or_else(|| refused::<T, E>(&number))
        }

        fn visit_u64<E: de::Error>(self, number: u64) -> Result<T, E> {
            let value = i64::try_from(number).ok().and_then(T::from_number);
            value.ok_or_else(|| refused::<T, E>(&number))
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
            T::from_text(text).ok_or_else(|| refused::<T, E>(&text))
        }
    }

    deserializer.deserialize_any(Visitor(PhantomData))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(value: &str) -> RawRecord {
        RawRecord {
            key: None,
            value: Some(value.as_bytes().to_vec()),
        }
    }

    fn attempt() -> Attempt {
        Attempt {
            id: "01990000-0000-7000-8000-000000000001".parse().unwrap(),
            sale: SaleId::new(7).unwrap(),
            product: ProductId::new(1).unwrap(),
            user: UserId::new(42).unwrap(),
            at: DateTime::from_timestamp_millis(1_767_268_800_123).unwrap(),
        }
    }

    #[test]
    fn version_1_is_written_as_its_golden_file_says() {
        let golden = include_str!("../../tests/golden/attempt-v1.json");
        let record = encode(&attempt());
        assert_eq!(String::from_utf8(record).unwrap(), golden.trim_end());
    }

    #[test]
    fn records_of_every_version_are_read() {
        assert_eq!(
            decode(&raw(include_str!("../../tests/golden/attempt-v1.json"))),
            Ok(attempt())
        );
        let id = derived_id(attempt().user, attempt().sale, attempt().at);
        for original in [
            include_str!("../../tests/golden/attempt-original-texts.json"),
            include_str!("../../tests/golden/attempt-original-numbers.json"),
        ] {
            assert_eq!(decode(&raw(original)), Ok(Attempt { id, ..attempt() }));
        }
        assert_eq!(id.to_string(), "f8992d73-1159-5873-8dc5-b3a898143d4c");
        assert!(is_without_id(&Attempt { id, ..attempt() }));
        assert!(!is_without_id(&attempt()));
    }

    #[test]
    fn undecodable_records_are_refused_with_their_cause() {
        for (value, cause) in [
            ("", "not an attempt"),
            ("{", "not an attempt"),
            ("[]", "not an attempt"),
            (r#"{"userId":"1","productId":1,"saleId":1}"#, "timestamp"),
            (
                r#"{"userId":"x","productId":1,"saleId":1,"timestamp":1}"#,
                "not an id",
            ),
            (
                r#"{"userId":"0","productId":1,"saleId":1,"timestamp":1}"#,
                "userId is not positive",
            ),
            (
                r#"{"userId":"1","productId":-1,"saleId":1,"timestamp":1}"#,
                "productId is not positive",
            ),
            (
                r#"{"userId":"1","productId":1,"saleId":1,"timestamp":"noon"}"#,
                "not a time",
            ),
            (
                r#"{"v":2,"userId":"1","productId":1,"saleId":1,"timestamp":1}"#,
                "newer",
            ),
            (
                r#"{"attemptId":"7","userId":"1","productId":1,"saleId":1,"timestamp":1}"#,
                "not an attempt",
            ),
        ] {
            let refused = decode(&raw(value)).unwrap_err();
            assert!(refused.contains(cause), "{value}: {refused}");
        }
        assert!(
            decode(&RawRecord {
                key: None,
                value: None
            })
            .is_err()
        );
    }
}
