//! The pauses after failures, during which nothing is sent to an endpoint.

use std::time::Duration;

use uuid::Uuid;

/// Pause after the first failure.
const FIRST: Duration = Duration::from_secs(2);
/// Longest pause, also if the endpoint asks for a longer one.
const LONGEST: Duration = Duration::from_hours(24);
/// Number of steps of the random part of a pause. A pause is twice as long as the one before, minus a random part of up to a half.
/// So endpoints that failed together are not sent requests together again.
const JITTER_PARTS: u32 = 1024;

/// The pause after this many failures in a row. `asked` is what the endpoint's `Retry-After` says; `random` chooses how much shorter
/// the pause is.
pub(super) fn after(failures: u32, asked: Option<Duration>, random: Uuid) -> Duration {
    let doublings = failures.saturating_sub(1).min(20);
    let longest = FIRST.saturating_mul(1 << doublings).min(LONGEST);
    let [.., high, low] = *random.as_bytes();
    let part = u32::from(u16::from_be_bytes([high, low])) % JITTER_PARTS;
    let pause = longest.saturating_sub(longest / 2 / JITTER_PARTS * part);
    pause.max(asked.unwrap_or_default()).min(LONGEST)
}

/// The pause that `Retry-After` asks for in seconds. A date is ignored: the pause is then the same as without the header.
pub(super) fn asked(retry_after: Option<&str>) -> Option<Duration> {
    let secs = retry_after?.trim().parse().ok()?;
    Some(Duration::from_secs(secs))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_day() {
        let pause = |failures| after(failures, None, Uuid::nil());
        assert_eq!(pause(1), Duration::from_secs(2));
        assert_eq!(pause(2), Duration::from_secs(4));
        assert_eq!(pause(5), Duration::from_secs(32));
        assert_eq!(pause(30), LONGEST);
        assert_eq!(pause(u32::MAX), LONGEST);
    }

    #[test]
    fn a_pause_is_up_to_half_shorter() {
        for number in 0..200 {
            let pause = after(3, None, Uuid::from_u128(number * 77));
            assert!(
                pause > Duration::from_secs(4) - Duration::from_millis(8),
                "{pause:?}"
            );
            assert!(pause <= Duration::from_secs(8), "{pause:?}");
        }
    }

    #[test]
    fn the_endpoint_may_ask_for_a_longer_one() {
        let minute = asked(Some("60"));
        assert_eq!(after(1, minute, Uuid::nil()), Duration::from_mins(1));
        let week = asked(Some("604800"));
        assert_eq!(after(1, week, Uuid::nil()), LONGEST);
        assert_eq!(asked(Some("Wed, 21 Oct 2026 07:28:00 GMT")), None);
    }
}
