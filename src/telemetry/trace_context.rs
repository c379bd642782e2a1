//! Ids of traces and spans, and the header `traceparent` that carries them (W3C Trace Context, level 2).

use std::fmt;

use uuid::Uuid;

/// The id of a trace, which all its spans share. Never 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceId(u128);

/// The id of a span. Never 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SpanId(u64);

/// What a request or a record says of the span that caused it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpanContext {
    pub trace: TraceId,
    pub span: SpanId,
    /// The trace is recorded.
    pub is_sampled: bool,
}

/// The length of a `traceparent` of version 00, as in `00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01`.
const LENGTH: usize = 55;
/// The bit of the flags that says that a trace is recorded.
const SAMPLED: u8 = 1;

impl TraceId {
    #[must_use]
    pub fn generate() -> Self {
        // A random UUID has fixed bits, so that it is never 0.
        Self(Uuid::new_v4().as_u128())
    }

    /// A number that is as good as random, and the same for all who see the trace.
    #[must_use]
    pub fn low_bits(self) -> u64 {
        #[allow(clippy::cast_possible_truncation)] // the low half
        let low = self.0 as u64;
        low
    }
}

impl SpanId {
    #[must_use]
    pub fn generate() -> Self {
        let (high, low) = Uuid::new_v4().as_u64_pair();
        // The fixed bits of the UUID are in different places of both halves.
        Self((high ^ low).max(1))
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl SpanContext {
    /// A span of the same trace.
    #[must_use]
    pub fn child(self) -> Self {
        Self {
            span: SpanId::generate(),
            ..self
        }
    }

    /// Reads a `traceparent`. `None` if it is not valid: the receiver then begins a trace of its own. Of versions above 00 the fields
    /// that 00 has are read.
    #[must_use]
    pub fn parse(header: &[u8]) -> Option<Self> {
        let (known, rest) = header.split_at_checked(LENGTH)?;
        let mut fields = known.split(|byte| *byte == b'-');
        let mut field = |length| fields.next().filter(|field| field.len() == length);
        let [version, trace, span, flags] = [field(2)?, field(32)?, field(16)?, field(2)?];
        let version = hex(version)?;
        let ends = rest.is_empty() || (version > 0 && rest.first() == Some(&b'-'));
        if version == 0xff || !ends {
            return None;
        }
        let flags = u8::try_from(hex(flags)?).ok()?;
        Some(Self {
            trace: TraceId(hex(trace).filter(|id| *id > 0)?),
            span: SpanId(u64::try_from(hex(span)?).ok().filter(|id| *id > 0)?),
            is_sampled: flags & SAMPLED == SAMPLED,
        })
    }

    /// The header, in version 00.
    #[must_use]
    pub fn traceparent(self) -> [u8; LENGTH] {
        let mut header = *b"00-00000000000000000000000000000000-0000000000000000-00";
        if let Some(digits) = header.get_mut(3..35) {
            write_hex(&self.trace.0.to_be_bytes(), digits);
        }
        if let Some(digits) = header.get_mut(36..52) {
            write_hex(&self.span.0.to_be_bytes(), digits);
        }
        if let Some(flag) = header.last_mut() {
            *flag = if self.is_sampled { b'1' } else { b'0' };
        }
        header
    }

    /// The digits of the trace's id in a [`traceparent`](Self::traceparent).
    #[must_use]
    pub fn trace_digits(traceparent: &[u8; LENGTH]) -> &[u8] {
        traceparent.get(3..35).unwrap_or_default()
    }
}

/// A number of lowercase hexadecimal digits.
fn hex(digits: &[u8]) -> Option<u128> {
    digits.iter().try_fold(0_u128, |number, digit| {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(number << 4 | u128::from(value))
    })
}

fn write_hex(bytes: &[u8], digits: &mut [u8]) {
    let digit = |value: u8| match value {
        0..10 => b'0' + value,
        _ => b'a' + value - 10,
    };
    for (byte, pair) in bytes.iter().zip(digits.chunks_exact_mut(2)) {
        if let [high, low] = pair {
            (*high, *low) = (digit(byte >> 4), digit(byte & 15));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_traceparent_is_read_and_written() {
        let context = SpanContext::parse(HEADER.as_bytes()).unwrap();
        assert_eq!(
            context.trace.to_string(),
            "0af7651916cd43dd8448eb211c80319c"
        );
        let digits = SpanContext::trace_digits(&context.traceparent()).to_vec();
        assert_eq!(digits, b"0af7651916cd43dd8448eb211c80319c");
        assert_eq!(context.span.to_string(), "b7ad6b7169203331");
        assert!(context.is_sampled);
        assert_eq!(context.traceparent(), HEADER.as_bytes());
        let child = context.child();
        assert_eq!(child.trace, context.trace);
        assert_ne!(child.span, context.span);
    }

    #[test]
    fn flags_other_than_the_first_and_later_versions_are_passed_over() {
        let flags = HEADER.replace("-01", "-fe");
        assert!(!SpanContext::parse(flags.as_bytes()).unwrap().is_sampled);
        let later = format!("cc{}-what-comes", &HEADER[2..]);
        assert!(SpanContext::parse(later.as_bytes()).is_some());
    }

    #[test]
    fn what_is_no_traceparent_is_refused() {
        for bad in [
            String::new(),
            HEADER[..54].to_owned(),
            format!("{HEADER}-more"),
            HEADER.to_uppercase(),
            HEADER.replace("00-0", "ff-0"),
            HEADER.replace("0af7651916cd43dd8448eb211c80319c", &"0".repeat(32)),
            HEADER.replace("b7ad6b7169203331", &"0".repeat(16)),
            HEADER.replace("-b7", "xb7"),
            HEADER.replace("b7ad", "b7aé"),
        ] {
            assert_eq!(SpanContext::parse(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn generated_ids_differ() {
        let ids: std::collections::HashSet<_> = (0..1_000).map(|_| SpanId::generate()).collect();
        assert_eq!(ids.len(), 1_000);
    }
}
