//! The course of a simulated call, which the world draws and a connection carries out.

/// The course of a call. Times are in milliseconds.
#[derive(Debug, Clone, Copy)]
pub(super) enum Fate {
    /// The call has no effect, and its caller learns this after the time `after`.
    Refused { after: u64 },
    /// The request is sent and never arrives.
    Lost,
    /// The call takes effect after the time `there`, and a second time after `again` if that is set. Then the answer takes the
    /// time `back`. If `answered` is false, or the sum of the times exceeds the caller's timeout, the caller gets no answer.
    Delivered {
        there: u64,
        back: u64,
        again: Option<u64>,
        answered: bool,
    },
}
