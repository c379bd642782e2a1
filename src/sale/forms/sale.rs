//! Sales, their units, and why something is done.

use chrono::{DateTime, Utc};
use serde::Deserialize;
use utoipa::ToSchema;

use super::{Invalid, number, reason, required, text, time};
use crate::{
    ids::ProductId,
    port::{MovementMode, NewSale, Restock, SaleEdit, SaleWindow},
};

const NOTE: usize = 2_000;
/// What both ledgers' columns hold.
const UNITS: (i64, i64) = (1, i32::MAX as i64);

/// A sale to be made, as a draft.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SaleForm {
    #[schema(value_type = i64, required = true, minimum = 1, example = 1)]
    pub product_id: Option<i64>,
    #[schema(value_type = String, required = true, format = DateTime, example = "2030-11-29T12:00:00Z")]
    pub start_time: Option<String>,
    #[schema(value_type = String, required = true, format = DateTime, example = "2030-11-29T14:00:00Z")]
    pub end_time: Option<String>,
    #[schema(value_type = i64, required = true, minimum = 1, maximum = 2_147_483_647_i64, example = 1000)]
    pub units: Option<i64>,
    /// For operators.
    #[schema(
        max_length = 2000,
        example = "Announced in the newsletter of 20 November"
    )]
    pub note: Option<String>,
    /// For the action log.
    #[schema(max_length = 500, example = "Agreed with marketing")]
    pub reason: Option<String>,
}

/// New values for fields of a sale. Those that are not given stay. Of a draft all may change; of a scheduled sale its times and note;
/// of an open one its end and note; of one that has ended its note.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SalePatch {
    #[schema(minimum = 1, example = 1)]
    pub product_id: Option<i64>,
    #[schema(format = DateTime, example = "2030-11-29T12:00:00Z")]
    pub start_time: Option<String>,
    #[schema(format = DateTime, example = "2030-11-29T15:00:00Z")]
    pub end_time: Option<String>,
    /// Of a draft only: units of a sale that is published are added and taken away by `/stock`.
    #[schema(minimum = 1, maximum = 2_147_483_647_i64, example = 1000)]
    pub units: Option<i64>,
    #[schema(max_length = 2000, example = "Extended by an hour")]
    pub note: Option<String>,
    /// Why, for the action log.
    #[schema(max_length = 500, example = "The queue is still long")]
    pub reason: Option<String>,
}

/// Why something is done, for the action log.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReasonForm {
    #[schema(max_length = 500, example = "The payment provider is down")]
    pub reason: Option<String>,
}

/// Units to be added to a sale, or taken away.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StockForm {
    /// How many more. Below zero they are taken away, of those that nobody holds.
    #[schema(value_type = i64, required = true, minimum = -2_147_483_647_i64, maximum = 2_147_483_647_i64, example = 50)]
    pub delta: Option<i64>,
    /// Of units that are taken away.
    pub mode: Option<Mode>,
    #[schema(max_length = 500, example = "A pallet was found")]
    pub reason: Option<String>,
}

/// How many units may be taken away instead of those that were asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(example = "upTo")]
pub enum Mode {
    /// All of them or none.
    #[default]
    Exact,
    /// As many as are available.
    UpTo,
}

/// An order to be cancelled.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CancelOrderForm {
    /// Whether its unit goes on sale again; if not, the sale has one unit less.
    #[schema(value_type = bool, required = true, example = true)]
    pub restock: Option<bool>,
    #[schema(max_length = 500, example = "Paid with a stolen card")]
    pub reason: Option<String>,
}

/// A change of a sale's units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Units {
    Add(u32),
    Withdraw(u32, MovementMode),
}

impl TryFrom<SaleForm> for NewSale {
    type Error = Invalid;

    fn try_from(form: SaleForm) -> Result<Self, Invalid> {
        let start = time("startTime", &required("startTime", form.start_time)?)?;
        let end = time("endTime", &required("endTime", form.end_time)?)?;
        if end <= start {
            return Err(Invalid::Window);
        }
        Ok(Self {
            product: product(required("productId", form.product_id)?)?,
            window: SaleWindow { start, end },
            units: units(required("units", form.units)?)?,
            note: note(form.note.unwrap_or_default())?,
        })
    }
}

impl SalePatch {
    /// The change, for a caller who saw this version. Whether the window is one, with what is stored, is for the ledger to say.
    pub fn edit(self, expected: u64) -> Result<SaleEdit, Invalid> {
        let at = |field, text: Option<String>| -> Result<Option<DateTime<Utc>>, Invalid> {
            text.map(|text| time(field, &text)).transpose()
        };
        let (start, end) = (
            at("startTime", self.start_time)?,
            at("endTime", self.end_time)?,
        );
        if start.zip(end).is_some_and(|(start, end)| end <= start) {
            return Err(Invalid::Window);
        }
        Ok(SaleEdit {
            expected,
            product: self.product_id.map(product).transpose()?,
            start,
            end,
            units: self.units.map(units).transpose()?,
            note: self.note.map(note).transpose()?,
        })
    }
}

impl ReasonForm {
    /// The reason; may be empty.
    pub fn checked(self) -> Result<String, Invalid> {
        reason(self.reason)
    }

    /// The reason, which must be given.
    pub fn given(self) -> Result<String, Invalid> {
        let reason = reason(self.reason)?;
        if reason.trim().is_empty() {
            return Err(Invalid::Missing("reason"));
        }
        Ok(reason)
    }
}

impl StockForm {
    /// What to do, and why.
    pub fn checked(self) -> Result<(Units, String), Invalid> {
        let most = i64::from(i32::MAX);
        let delta = number("delta", required("delta", self.delta)?, (-most, most))?;
        let units = u32::try_from(delta.unsigned_abs()).unwrap_or(u32::MAX);
        let mode = match self.mode.unwrap_or_default() {
            Mode::Exact => MovementMode::Exact,
            Mode::UpTo => MovementMode::UpTo,
        };
        let change = match delta.signum() {
            0 => return Err(Invalid::NoDelta),
            1 => Units::Add(units),
            _ => Units::Withdraw(units, mode),
        };
        Ok((change, reason(self.reason)?))
    }
}

impl CancelOrderForm {
    /// What becomes of the unit, and why.
    pub fn checked(self) -> Result<(Restock, String), Invalid> {
        let restock = if required("restock", self.restock)? {
            Restock::Yes
        } else {
            Restock::No
        };
        Ok((restock, reason(self.reason)?))
    }
}

fn product(id: i64) -> Result<ProductId, Invalid> {
    ProductId::new(id).ok_or(Invalid::Range {
        field: "productId",
        least: 1,
        most: i64::MAX,
    })
}

fn units(units: i64) -> Result<u32, Invalid> {
    let units = number("units", units, UNITS)?;
    Ok(u32::try_from(units).unwrap_or(u32::MAX))
}

fn note(note: String) -> Result<String, Invalid> {
    text("note", note, NOTE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form() -> SaleForm {
        SaleForm {
            product_id: Some(1),
            start_time: Some("2030-11-29T12:00:00.1239+01:00".to_owned()),
            end_time: Some("2030-11-29T12:00:00Z".to_owned()),
            units: Some(10),
            note: None,
            reason: None,
        }
    }

    fn verdict(change: impl FnOnce(&mut SaleForm)) -> String {
        let mut form = form();
        change(&mut form);
        NewSale::try_from(form).unwrap_err().to_string()
    }

    #[test]
    fn times_are_kept_to_the_millisecond_in_utc() {
        let sale = NewSale::try_from(form()).unwrap();
        let start = sale.window.start.to_rfc3339();
        assert_eq!(start, "2030-11-29T11:00:00.123+00:00");
    }

    #[test]
    fn a_wrong_field_is_named() {
        let some = |text: &str| Some(text.to_owned());
        assert!(verdict(|form| form.product_id = Some(0)).starts_with("productId "));
        assert!(verdict(|form| form.units = Some(0)).starts_with("units "));
        assert!(verdict(|form| form.units = Some(1 << 31)).starts_with("units "));
        assert!(verdict(|form| form.note = some("\u{202e}")).starts_with("note "));
        for wrong in [
            "",
            "noon",
            "2030-11-29",
            "2030-11-29 12:00",
            "+12030-11-29T12:00:00Z",
        ] {
            assert!(verdict(|form| form.start_time = some(wrong)).starts_with("startTime "));
        }
        assert_eq!(verdict(|form| form.end_time = None), "endTime is required");
        let empty = verdict(|form| form.end_time = some("2030-11-29T11:00:00.123Z"));
        assert_eq!(empty, "endTime must be after startTime");
    }

    #[test]
    fn units_are_added_or_taken_away() {
        let read = |text: &str| serde_json::from_str::<StockForm>(text).unwrap().checked();
        let of = |text: &str| read(text).map(|(units, _)| units);
        assert_eq!(of(r#"{"delta":50}"#), Ok(Units::Add(50)));
        let exact = Units::Withdraw(5, MovementMode::Exact);
        assert_eq!(of(r#"{"delta":-5}"#), Ok(exact));
        let up_to = Units::Withdraw(5, MovementMode::UpTo);
        assert_eq!(of(r#"{"delta":-5,"mode":"upTo"}"#), Ok(up_to));
        assert_eq!(of(r#"{"delta":0}"#), Err(Invalid::NoDelta));
        assert_eq!(of("{}"), Err(Invalid::Missing("delta")));
        let long = format!(r#"{{"delta":1,"reason":"{}"}}"#, "x".repeat(501));
        assert!(of(&long).is_err());
    }
}
