//! Which attempts may be removed: by month, and only of sales that have been over for a while.

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};

/// How long attempts of a sale are kept after its end at least. A worker settles within seconds; an outage of a server that keeps
/// attempts unsettled for longer than this is not foreseen.
pub const KEPT_AFTER_END: TimeDelta = TimeDelta::days(7);

/// Why no attempts are removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotRemovable {
    #[error("a month is written as 2026-06")]
    NoMonth,
    #[error("the month has not begun: attempts are removed of sales that are over")]
    InFuture,
}

/// The time before which a sale must have ended so that its attempts are removed, for a month as in `2026-06`: sales that ended
/// before that month began (UTC), and at least [`KEPT_AFTER_END`] ago.
pub fn ended_before(month: &str, now: DateTime<Utc>) -> Result<DateTime<Utc>, NotRemovable> {
    let begin = (month.len() == 7)
        .then(|| NaiveDate::parse_from_str(&format!("{month}-01"), "%Y-%m-%d").ok())
        .flatten()
        .and_then(|day| day.and_hms_opt(0, 0, 0))
        .ok_or(NotRemovable::NoMonth)?
        .and_utc();
    if begin > now {
        return Err(NotRemovable::InFuture);
    }
    Ok(begin.min(now - KEPT_AFTER_END))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn a_month_that_began_is_removed_up_to_a_week_ago() {
        let now = at("2026-11-30T12:00:00Z");
        for (month, until) in [
            ("2026-11", "2026-11-01T00:00:00Z"),
            ("2026-01", "2026-01-01T00:00:00Z"),
        ] {
            assert_eq!(ended_before(month, now), Ok(at(until)));
        }
        // On the first of a month, sales of the last week stay.
        let first = at("2026-12-01T00:00:00Z");
        let until = at("2026-11-24T00:00:00Z");
        assert_eq!(ended_before("2026-12", first), Ok(until));
    }

    #[test]
    fn a_later_month_and_what_is_no_month_are_refused() {
        let now = at("2026-11-30T23:59:59Z");
        assert_eq!(ended_before("2026-12", now), Err(NotRemovable::InFuture));
        for text in [
            "",
            "2026",
            "2026-13",
            "2026-1",
            "2026-11-01",
            "11-2026",
            "2026-00",
            "+026-11x",
        ] {
            assert_eq!(
                ended_before(text, now),
                Err(NotRemovable::NoMonth),
                "{text}"
            );
        }
    }
}
