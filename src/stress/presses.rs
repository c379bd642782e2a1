//! Presses "buy" for all shoppers, and notes what every shopper was answered.

use std::{
    collections::BTreeMap,
    io,
    sync::{Mutex, PoisonError},
};

use uuid::Uuid;

use super::{
    answer::Answer,
    api,
    load::Load,
    no_answer::NoAnswer,
    request::{Request, Token},
    stats::Stats,
};

/// The answers to all presses of one shopper.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Told {
    pub accepted: u32,
    pub sold_out: u32,
    /// Any other answer, or none.
    pub other: u32,
    /// The id of the accepted attempt.
    attempt: Option<Uuid>,
    /// True if accepted presses were answered with different ids, or one of them without an id.
    pub is_contradicted: bool,
}

/// Answers by status, then by code; the code of a success is empty.
pub type Answers = BTreeMap<u16, BTreeMap<String, u64>>;

/// The outcome of all presses.
pub struct Pressed {
    pub stats: Stats,
    pub answers: Answers,
    /// One element for each shopper.
    pub told: Vec<Told>,
}

impl Told {
    /// Notes an answer.
    fn hear(&mut self, answer: Result<&Answer, NoAnswer>) {
        let Ok(answer) = answer else {
            self.other += 1;
            return;
        };
        if answer.status == 200 {
            let attempt = api::data::<api::Attempt>(&answer.body)
                .and_then(|attempt| attempt.attempt_id.parse().ok());
            let first = self.accepted == 0;
            self.is_contradicted |= attempt.is_none() || !(first || attempt == self.attempt);
            self.attempt = attempt;
            self.accepted += 1;
        } else if answer.status == 409 && api::code(&answer.body) == "sold_out" {
            self.sold_out += 1;
        } else {
            self.other += 1;
        }
    }

    /// True if every press was refused for lack of units.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        self.sold_out > 0 && self.accepted + self.other == 0
    }
}

/// Sends an [`attempt`](api::attempt) for one shopper after the other, and then from the first shopper again, until the load's
/// plan ends. Calls `on_answer` after each press.
///
/// Blocks the calling thread. Fails only if the runtime of a thread cannot be started.
pub fn press(
    load: &Load<'_>,
    attempt: &Request,
    tokens: &[Token],
    on_answer: impl Fn() + Sync,
) -> io::Result<Pressed> {
    let told: Vec<Mutex<Told>> = tokens.iter().map(|_| Mutex::default()).collect();
    let answers = Mutex::new(Answers::new());
    let of = |number: u64| usize::try_from(number % tokens.len().max(1) as u64).unwrap_or_default();
    let request = |number| match tokens.get(of(number)) {
        Some(token) => attempt.with_token(token),
        None => attempt.clone(),
    };
    let answered = |number, answer: Result<&Answer, NoAnswer>| {
        if let Ok(answer) = answer {
            count(
                &mut answers.lock().unwrap_or_else(PoisonError::into_inner),
                answer,
            );
        }
        if let Some(told) = told.get(of(number)) {
            told.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .hear(answer);
        }
        on_answer();
    };
    let stats = load.run(request, answered)?;
    let told = told
        .into_iter()
        .map(|told| told.into_inner().unwrap_or_else(PoisonError::into_inner))
        .collect();
    let answers = answers.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok(Pressed {
        stats,
        answers,
        told,
    })
}

fn count(answers: &mut Answers, answer: &Answer) {
    let codes = answers.entry(answer.status).or_default();
    let code = if (200..300).contains(&answer.status) {
        "".into()
    } else {
        api::code(&answer.body)
    };
    if let Some(count) = codes.get_mut(code.as_ref()) {
        *count += 1;
    } else {
        codes.insert(code.into_owned(), 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "01a210ae-1de7-7178-9254-d31b8f601f28";

    fn answer(status: u16, body: &str) -> Answer {
        Answer {
            status,
            retry_after_secs: None,
            body: body.to_owned().into(),
        }
    }

    fn told(answers: &[(u16, &str)]) -> Told {
        let mut told = Told::default();
        for (status, body) in answers {
            told.hear(Ok(&answer(*status, body)));
        }
        told
    }

    fn accepted(id: &str) -> String {
        format!(
            r#"{{"success":true,"message":"…","data":{{"attemptId":"{id}","status":"PENDING"}}}}"#
        )
    }

    const SOLD_OUT: (u16, &str) = (409, r#"{"success":false,"code":"sold_out"}"#);

    #[test]
    fn a_repeated_press_is_to_be_told_the_same_attempt() {
        let (one, other) = (accepted(ID), accepted(&Uuid::nil().to_string()));
        assert!(!told(&[(200, &one), (200, &one)]).is_contradicted);
        assert!(told(&[(200, &one), (200, &other)]).is_contradicted);
        assert!(told(&[(200, &one), (200, &other), (200, &other)]).is_contradicted);
        assert!(told(&[(200, "{}")]).is_contradicted, "no id at all");
    }

    #[test]
    fn only_who_was_refused_every_time_counts_as_refused() {
        assert!(told(&[SOLD_OUT, SOLD_OUT]).is_refused());
        let busy = (503, r#"{"success":false,"code":"outcome_unknown"}"#);
        assert!(!told(&[busy, SOLD_OUT]).is_refused());
        assert!(!told(&[SOLD_OUT, (200, &accepted(ID))]).is_refused());
        assert!(!told(&[]).is_refused());
    }

    #[test]
    fn answers_are_counted_by_status_and_code() {
        let mut answers = Answers::new();
        for (status, body) in [(200, "{}"), SOLD_OUT, SOLD_OUT, (502, "<html>")] {
            count(&mut answers, &answer(status, body));
        }
        let flat: Vec<_> = answers
            .iter()
            .flat_map(|(status, codes)| codes.iter().map(|(c, n)| (*status, c.as_str(), *n)))
            .collect();
        assert_eq!(flat, [(200, "", 1), (409, "sold_out", 2), (502, "", 1)]);
    }
}
