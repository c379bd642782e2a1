//! Pairs the items of a call with its answers.

use std::iter::Zip;

/// Pairs each item of a call with its answer. Calls of the ports return one answer for each item, in the order of the items.
///
/// # Panics
/// If the numbers differ. Answers could then be those of other items, and a `zip` would drop the rest without a trace.
pub fn zip_answers<I, A>(items: I, answers: A) -> Zip<I::IntoIter, A::IntoIter>
where
    I: IntoIterator<IntoIter: ExactSizeIterator>,
    A: IntoIterator<IntoIter: ExactSizeIterator>,
{
    let (items, answers) = (items.into_iter(), answers.into_iter());
    assert_eq!(
        items.len(),
        answers.len(),
        "one answer for each item of a call"
    );
    items.zip(answers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_are_paired_in_their_order() {
        let pairs: Vec<_> = zip_answers([1, 2], ["a", "b"]).collect();
        assert_eq!(pairs, [(1, "a"), (2, "b")]);
    }

    #[test]
    #[should_panic(expected = "one answer for each item")]
    fn a_missing_answer_is_not_passed_over() {
        let _ = zip_answers([1, 2], ["a"]);
    }

    #[test]
    #[should_panic(expected = "one answer for each item")]
    fn an_answer_too_many_is_not_passed_over() {
        let _ = zip_answers([1], ["a", "b"]);
    }
}
